"""The bench of looks at KVM hosts prints every figure, and leaves no lab behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from drivers.types import Power

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.bench import bench_kvm_looks
from tests.lab.disposable import disposable

ROWS = [
    "a look at a VM that is On, one of 1: for the first time",
    "a look at a VM that is On, one of 1: again",
    "a look at a VM that is Off, one of 2: for the first time",
    "a look at a VM that is Off, one of 2: again",
]


@pytest.fixture
def labs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where labs are, for this test alone: others on the machine come and go meanwhile. Its path is short, as sockets need it."""
    with TemporaryDirectory(prefix="vl-", dir="/tmp") as directory:
        monkeypatch.setattr(sys.modules[disposable.__module__], "base_directory", lambda: Path(directory) / "labs")
        yield Path(directory)


@pytest.mark.lab
def test_the_command_prints_a_table(labs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = labs.stat().st_mtime_ns
    bench_kvm_looks.main(2, 1)
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines()]
    assert [row[0].strip() for row in rows[2:]] == ROWS
    assert all(float(row[1].split()[0]) > 0 and row[1].split()[1] == "µs" for row in rows[2:])
    assert labs.stat().st_mtime_ns > began, "its lab was here"
    assert list(labs.iterdir()) == []


def test_vms_that_are_not_as_they_were_made_are_no_figure() -> None:
    with pytest.raises(AssertionError, match="not all VMs"):
        bench_kvm_looks._require([], 1, Power.OFF)
