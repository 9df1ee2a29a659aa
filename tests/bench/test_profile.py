"""Reading of profiles, and the reading of a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import bench_profile
from tests.bench.bench_profile import Frame, Stack, itself, read, sampled, within
from tests.bench.client import BenchError
from tests.bench.figures import Figure

RUN = Frame("run", "asyncio/runners.py")
DRIVE = Frame("reconcile", "controller/vm/reconciler.py")
PLAN = Frame("plan", "controller/vm/plan.py")
DUMP = Frame("<lambda>", "json/encoder.py")
STACKS = [Stack((RUN, DRIVE, PLAN), 1), Stack((RUN, DRIVE, DRIVE, DUMP), 2), Stack((RUN, PLAN, DUMP), 3), Stack((RUN,), 4)]


def test_stacks_are_read() -> None:
    text = (
        "run (asyncio/runners.py);reconcile (controller/vm/reconciler.py);plan (controller/vm/plan.py) 1\n"
        "run (asyncio/runners.py);reconcile (controller/vm/reconciler.py);reconcile (controller/vm/reconciler.py);"
        "<lambda> (json/encoder.py) 2\n"
        " 19\n"
        "run (asyncio/runners.py);plan (controller/vm/plan.py);<lambda> (json/encoder.py) 3\nrun (asyncio/runners.py) 4\n"
    )
    assert read(text) == STACKS


def test_of_nothing_there_are_no_stacks() -> None:
    assert read("") == []
    assert itself([]) == within([]) == []


@pytest.mark.parametrize(
    "line", ["run", "run (a.py)", "run (a.py) ", "run (a.py) x", "run (a.py) -1", "run 1", "run (a.py);; 1", "(a.py) 1", "1"]
)
def test_what_is_no_stack_is_named(line: str) -> None:
    with pytest.raises(BenchError, match="no stack"):
        read(f"run (a.py) 1\n{line}\n")


@pytest.mark.parametrize(
    ("file", "place"),
    [
        ("controller/vm/reconciler.py", "run (controller/vm/reconciler.py)"),
        ("controller/app.py", "run (controller/app.py)"),
        ("drivers/kvm/link/session.py", "run (drivers/kvm/link/session.py)"),
        ("controllers/app.py", "controllers"),
        ("asyncio/base_events.py", "asyncio"),
        ("ssl.py", "ssl"),
        ("<string>", "<string>"),
    ],
)
def test_time_is_counted_under(file: str, place: str) -> None:
    assert Frame("run", file).place == place


def test_shares_of_functions_and_libraries_themselves_are_all_the_time() -> None:
    assert itself(STACKS) == [
        Figure("in json itself", 50.0, "%"),
        Figure("in asyncio itself", 40.0, "%"),
        Figure("in plan (controller/vm/plan.py) itself", 10.0, "%"),
    ]


def test_shares_within_functions_of_ours_count_each_look_once() -> None:
    assert within(STACKS) == [
        Figure("within plan (controller/vm/plan.py)", 40.0, "%"),
        Figure("within reconcile (controller/vm/reconciler.py)", 30.0, "%"),
    ]


def test_a_table_has_an_end() -> None:
    many = [Stack((Frame("run", f"controller/m{number}.py"),), number) for number in range(1, 100)]
    assert len(itself(many)) == len(within(many)) == bench_profile.MOST
    assert itself(many)[0].name == "in run (controller/m99.py) itself"


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[int]:
    """A process whose only function goes round and round."""
    (tmp_path / "whirl.py").write_text("def whirl():\n    while True:\n        pass\n\n\nprint('at it', flush=True)\nwhirl()\n")
    process = subprocess.Popen([sys.executable, str(tmp_path / "whirl.py")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at it\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.mark.lab
def test_a_process_is_looked_at_while_the_block_runs(busy: int, tmp_path: Path) -> None:
    with sampled(busy, tmp_path / "stacks"):
        time.sleep(3)
    stacks = read((tmp_path / "stacks").read_text())
    assert any("whirl" in [frame.function for frame in stack.frames] for stack in stacks)
    assert {figure.name for figure in itself(stacks)} == {"in whirl itself"}
    assert Path(f"/proc/{busy}").exists(), "whoever is looked at goes on"


@pytest.mark.lab
def test_what_keeps_from_looking_is_told(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(BenchError, match=r"py-spy wrote nothing: \w"), sampled(ended.pid, tmp_path / "stacks"):
        time.sleep(1)


@pytest.mark.lab
def test_an_error_of_the_block_is_that_of_all(busy: int, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sampled(busy, tmp_path / "stacks"):
        time.sleep(1 / 0)
    assert not [pid for pid in _pids() if b"py-spy" in pid and str(busy).encode() in pid]


def _pids() -> Iterator[bytes]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:
                continue


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was asked for; no cloud is made."""
    asked: dict[str, Any] = {}

    async def measure(directory: Path, vms: int, hosts: int) -> list[Figure]:
        asked.update(vms=vms, hosts=hosts)
        if vms == 0:
            raise BenchError("nothing to look at")
        return itself(STACKS)

    monkeypatch.setattr(bench_profile, "measure", measure)
    return asked


def test_a_record_is_kept(measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "profile.json"
    assert bench_profile.main(["--vms", "5", "--hosts", "2", "--output", str(path)]) == 0
    kept = json.loads(path.read_text())
    assert kept["command"] == f"python -m tests.bench.bench_profile --vms 5 --hosts 2 --output {path}"
    assert [figure["name"] for figure in kept["figures"]] == [each.name for each in itself(STACKS)]
    assert {"date", "commit", "machine"} <= set(kept)
    assert measured == {"vms": 5, "hosts": 2}
    assert "in json itself" in capsys.readouterr().out


def test_without_figures_no_record_is_kept(measured: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "profile.json"
    assert bench_profile.main(["--vms", "0", "--output", str(path)]) == 1
    assert not path.exists()
    assert "nothing to look at" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
