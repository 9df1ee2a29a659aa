"""The bench of endpoints opens what it is told to, says so, and leaves no connection behind."""

from __future__ import annotations

import pytest

from drivers.types import Endpoint
from tests.bench import bench_endpoints
from tests.bench.bench_endpoints import measure
from tests.support.simulator import SimulatorProcess


async def test_every_figure_is_there() -> None:
    with SimulatorProcess(["--hosts", "5"]) as simulator:
        found = {each.name: each for each in await measure(simulator, 5, 0.5)}
    assert list(found) == [
        "to open one endpoint, CPU",
        "until all 5 were open",
        "at rest: heartbeats and events, CPU",
        "memory of one endpoint",
        "threads",
    ]
    assert all(found[name].value > 0 for name in ("to open one endpoint, CPU", "until all 5 were open", "threads"))


async def test_endpoints_that_do_not_answer_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_endpoints, "PATIENCE", 0.5)
    nobody = SimulatorProcess(url="simulator://127.0.0.1:9")
    assert nobody.endpoint("host-00001") == Endpoint("simulator://127.0.0.1:9/host-00001")
    with pytest.raises(TimeoutError):
        await measure(nobody, 2, 0.1)


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench_endpoints.main(2, 0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    assert "to open one endpoint, CPU" in lines[2]
