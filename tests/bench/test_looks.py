"""The bench of looks prints every figure, and that of starts asks seldom while it has long to wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.bench import bench_looks, measures
from tests.bench.client import BenchError
from tests.bench.figures import Sample

FIGURES = [
    "a look at a VM that is as declared",
    "a VM taken into the Store",
    "a VM parsed to be worked on",
    "a VM's status dumped",
    "whether a VM is as declared, asked first",
    "whether a VM is as declared, asked again",
    "modules loaded, not compiled",
    "modules loaded, compiled",
]


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_looks.main(4, 2)
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()]
    assert [row[0].strip() for row in rows[2:]] == FIGURES
    assert {row[1].split()[1] for row in rows[2:]} == {"µs", "s"}


def test_a_vm_that_is_not_as_declared_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_looks, "_NETWORK", bench_looks._NETWORK.replace("name: front", "name: elsewhere"))
    with pytest.raises(AssertionError, match="a VM is not as declared"):
        bench_looks.measure(1, 1)


class _Turning:
    """A controller that gives some VMs their turn between two looks at its metrics, and other objects too."""

    def __init__(self, each: int) -> None:
        self.looks = 0
        self._each = each

    def metrics(self) -> list[Sample]:
        self.looks += 1
        turned = {"VirtualMachine": self.looks * self._each, "Host": 10_000}
        return [Sample("controller_runtime_reconcile_total", {"controller": kind}, count) for kind, count in turned.items()]


def _bench(controller: _Turning, patience: float) -> Any:
    return cast("Any", SimpleNamespace(controller=controller, patience=patience))


async def test_all_vms_have_had_their_turn_once_so_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("tests.bench.measures.asyncio.sleep", sleep)
    controller = _Turning(each=30)
    await measures._reconciled(_bench(controller, 60), 200)
    assert controller.looks == 7
    assert slept == [measures._SELDOM] * 6 + [measures._OFTEN]
    controller = _Turning(each=19)
    slept.clear()
    await measures._reconciled(_bench(controller, 60), 200)
    assert slept == [measures._SELDOM] * 10 + [measures._OFTEN]


async def test_vms_that_have_no_turn_are_not_waited_for_without_end() -> None:
    with pytest.raises(BenchError, match="all VMs were reconciled"):
        await measures._reconciled(_bench(_Turning(each=0), -1), 1)
