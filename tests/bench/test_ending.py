"""Bench and soak that are told to end: nothing of what they started is left, and none of their files."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from standalone.processes import command_line
from tests.support.ending import TOLD, tidy_end

ROOT = Path(__file__).parents[2]
PATIENCE = 400.0
"""Seconds that a busy machine may take for anything."""


@dataclass(frozen=True)
class Run:
    """A program whose temporary files are below `directory`; so whoever has that in its environment is one that it started."""

    directory: Path
    process: subprocess.Popen[bytes]
    output: Path

    def started(self) -> list[int]:
        """Everything that it started and that runs still."""
        mark = f"TMPDIR={self.directory}".encode()  # or a directory in it
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if pid != self.process.pid and any(each.startswith(mark) for each in _environment(pid))]

    def command_lines(self) -> list[str]:
        """Of everything that it started."""
        return sorted(" ".join(command_line(pid)) for pid in self.started())

    def runs(self, words: str) -> bool:
        """Whether it has started something with these words in its command line."""
        return any(words in line for line in self.command_lines())

    def logged(self, name: str) -> bool:
        """Whether a program that it started, and has gone on since, has written to a log of this name."""
        return any(path.stat().st_size for path in self.directory.rglob(name))

    def said(self, words: str) -> bool:
        """Whether it has printed this."""
        return words in self.output.read_text()


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.fixture
def start() -> Iterator[Callable[[Sequence[str]], Run]]:
    """Starts a program; whatever comes of the test, all that it started is killed in the end."""
    with TemporaryDirectory(prefix="vireo-end-", ignore_cleanup_errors=True) as directory:
        temporary, output, runs = Path(directory) / "tmp", Path(directory) / "output", []
        temporary.mkdir()

        def started(arguments: Sequence[str]) -> Run:
            with output.open("wb") as log:
                argv = [sys.executable, "-m", *arguments]
                process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)}, stdout=log, stderr=log)
            runs.append(Run(temporary, process, output))
            return runs[-1]

        yield started
        for run in runs:
            run.process.kill()
            run.process.wait()
            for pid in run.started():
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)


def until(run: Run, happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"{what}: {run.command_lines()} {run.output.read_text()}"
        time.sleep(0.05)


def ended(run: Run, number: signal.Signals) -> None:
    """Tell it to end, twice, as somebody does who is impatient; see what is left."""
    for _ in range(2):
        run.process.send_signal(number)
    until(run, lambda: run.process.poll() is not None, "it ends")
    assert run.process.returncode == 128 + number, run.output.read_text()
    until(run, lambda: run.command_lines() == [], "nothing runs any more")
    assert list(run.directory.iterdir()) == []
    assert str(run.directory) not in Path("/proc/mounts").read_text()


Start = Callable[[Sequence[str]], Run]


def test_a_bench_in_the_middle_of_a_measurement(start: Start) -> None:
    run = start(["tests.bench", "--vms=2", "--hosts=2", "--only=rest", "--minutes=60", "--fast-disk"])
    until(run, lambda: run.said("VM/s"), "the VMs were made, and the rest is measured")
    assert all(run.runs(words) for words in ("kube-apiserver", "drivers.simulator serve", "controller run"))
    ended(run, signal.SIGTERM)


def test_growth_that_has_hardly_begun(start: Start) -> None:
    run = start(["tests.bench.growth", "--vms=5", "--hosts=1", "--fast-disk", f"--output={ROOT}/absent/growth"])
    until(run, lambda: run.runs("kube-apiserver"), "the control plane is being started")
    ended(run, signal.SIGHUP)


def test_a_soak(start: Start) -> None:
    run = start(["tests.soak", "--minutes=60"])
    until(run, lambda: run.logged("controller-1.log"), "both controllers were started, and the soak knows it")
    ended(run, signal.SIGINT)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_bench_of_real_guests(start: Start) -> None:
    run = start(["tests.bench.kvm", "--guests=1", "--hosts=1"])
    until(run, lambda: run.runs("controller run"), "the lab host is up and the controller runs")
    ended(run, signal.SIGTERM)


def told(number: signal.Signals, tidy_up: Callable[[], None]) -> int:
    """Be told to end in a block that has to be tidied up; the exit code that this would lead to."""
    try:
        with tidy_end(), ExitStack() as stack:
            stack.callback(tidy_up)
            os.kill(os.getpid(), number)
            stack.pop_all()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("number", TOLD)
def test_the_first_signal_ends_the_block_and_others_end_nothing(number: signal.Signals) -> None:
    before, steps = [signal.getsignal(each) for each in TOLD], ["begun"]

    def tidy_up() -> None:
        for each in TOLD:
            os.kill(os.getpid(), each)
        steps.append("tidied up")

    assert told(number, tidy_up) == 128 + number
    assert steps == ["begun", "tidied up"]
    assert [signal.getsignal(each) for each in TOLD] == before


def test_a_program_started_while_it_ends_can_be_ended() -> None:
    codes = []

    def tidy_up() -> None:
        with subprocess.Popen(["sleep", "300"]) as sleeper:
            sleeper.terminate()
        codes.append(sleeper.returncode)

    told(signal.SIGTERM, tidy_up)
    assert codes == [-signal.SIGTERM]


def test_a_block_that_nobody_ends_changes_nothing() -> None:
    before = [signal.getsignal(each) for each in TOLD]
    with tidy_end():
        assert [signal.getsignal(each) for each in TOLD] != before
    assert [signal.getsignal(each) for each in TOLD] == before


def test_a_loop_ends_whatever_the_code_that_runs_in_it_catches() -> None:
    steps = []

    async def stubborn() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            steps.append("caught")
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            steps.append("tidied up")

    with pytest.raises(SystemExit) as ended, tidy_end():
        asyncio.run(stubborn())
    assert (ended.value.code, steps) == (128 + signal.SIGTERM, ["tidied up"])


def test_what_others_make_of_the_signal_ends_it_too() -> None:
    def other() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        except SystemExit as told:
            raise ValueError("something went wrong") from told

    with pytest.raises(SystemExit) as ended, tidy_end():
        other()
    assert ended.value.code == 128 + signal.SIGHUP


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(ValueError, match="wrong"), tidy_end():
        raise ValueError("something went wrong")
