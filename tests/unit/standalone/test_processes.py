"""Processes found by pid file, and only if they are ours."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standalone.errors import StandaloneError
from standalone.processes import Process, command_line

SLEEP = ["sleep", "300"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process("sleeper", tmp_path / "sleeper.pid", tmp_path / "sleeper.log")
    yield made
    made.stop(0)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "301"]) as other:
        while command_line(other.pid) != ["sleep", "301"]:
            time.sleep(0.001)
        yield other
        other.kill()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[list[str]]:
    """A command line that nobody else has; whoever runs it is killed in the end."""
    argv = [sys.executable, "-c", "import time; time.sleep(300)", str(tmp_path / "mine")]
    yield argv
    for pid in running(argv):
        os.kill(pid, signal.SIGKILL)


def running(argv: list[str]) -> list[int]:
    """Whoever runs `argv`, or is about to."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if command_line(pid)[-len(argv) :] == argv]


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def started(process: Process, argv: list[str] = SLEEP) -> int:
    process.start(argv, die_with_parent=False)
    pid = process.pid()
    assert pid is not None
    return pid


def gone(pid: int) -> bool:
    """Not even a zombie is left."""
    return not Path(f"/proc/{pid}").exists()


def test_start_and_stop(process: Process) -> None:
    assert process.pid() is None
    pid = started(process)
    assert command_line(pid) == SLEEP
    assert os.getsid(pid) == pid, "a session of its own: an interrupt at the terminal doesn't reach it"
    process.stop(10)
    assert gone(pid)
    assert process.pid() is None
    assert not process.pid_file.exists()
    process.stop(10)


@pytest.mark.parametrize("die_with_parent", [False, True])
def test_known_as_soon_as_start_returns(process: Process, die_with_parent: bool) -> None:
    for _ in range(30):
        process.start(SLEEP, die_with_parent)
        assert process.pid() is not None
        process.stop(10)


def test_found_by_another_program(process: Process) -> None:
    pid = started(process)
    program = (
        "import sys, pathlib; from standalone.processes import Process; p = pathlib.Path(sys.argv[1]); Process('x', p, p).stop(10)"
    )
    subprocess.run([sys.executable, "-c", program, str(process.pid_file)], check=True)
    assert process.pid() is None
    process.stop(0)
    assert command_line(pid) == []


def test_one_that_ignores_the_request_is_killed(process: Process) -> None:
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    pid = started(process, [sys.executable, "-c", program])
    while not process.logged("deaf"):
        time.sleep(0.01)
    process.stop(0.05)
    assert gone(pid)


def test_a_stopped_process_is_ended_too(process: Process) -> None:
    pid = started(process)
    os.kill(pid, signal.SIGSTOP)
    process.stop(0.05)
    assert gone(pid)


def test_zombie_does_not_run(process: Process) -> None:
    pid = started(process)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{pid}").exists(), "not reaped yet"
    assert process.pid() is None
    process.stop(10)
    assert gone(pid)


def test_reused_pid_is_not_touched(process: Process, stranger: subprocess.Popen[bytes]) -> None:
    """After a reboot the pid in the file may belong to anything."""
    process.pid_file.write_text(json.dumps({"pid": stranger.pid, "argv": SLEEP}))
    assert process.pid() is None
    process.stop(0)
    assert stranger.poll() is None
    assert not process.pid_file.exists()


def test_more_arguments_are_another_command(process: Process, stranger: subprocess.Popen[bytes]) -> None:
    for argv in ([], ["sleep"], ["sleep", "301", "1"], ["sleep", "30"]):
        process.pid_file.write_text(json.dumps({"pid": stranger.pid, "argv": argv}))
        assert process.pid() is None, argv
    process.pid_file.write_text(json.dumps({"pid": stranger.pid, "argv": ["sleep", "301"]}))
    assert process.pid() == stranger.pid


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["pid", "argv", "x"]), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_damaged_pid_file(process: Process, content: bytes) -> None:
    """Whatever the file holds: nothing of ours runs, and nothing is signalled."""
    process.pid_file.write_bytes(content)
    assert process.pid() is None
    process.stop(0)
    assert not process.pid_file.exists()


def test_missing_program(process: Process) -> None:
    data = process.log_file.with_name("data")
    data.write_text("no program")
    for program in ("/absent/program", str(data), str(data.parent), ""):
        with pytest.raises(StandaloneError, match=f"^cannot start sleeper: {program}: (not found|Permission denied)$"):
            process.start([program], die_with_parent=False)
        assert (process.pid(), process.pid_file.exists()) == (None, False)


def test_missing_setpriv(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/absent")
    with pytest.raises(StandaloneError, match=r"setpriv .*util-linux"):
        process.start(["/usr/bin/sleep", "300"], die_with_parent=True)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("one\ntwo\n", "two"),
        ("one\n\n   \n", "one"),
        ("", "it logged nothing"),
        ("\n\n", "it logged nothing"),
        ("panic: no space\n\ngoroutine 1 [running]:\nmain.go:31\n", "panic: no space"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_last_words(process: Process, log: str, words: str) -> None:
    process.log_file.write_text(log)
    assert process.last_words() == words


def test_last_words_of_what_is_no_text(process: Process) -> None:
    process.log_file.write_bytes(b"\xff\xfe!\n")
    assert process.last_words().endswith("!")


def test_no_log(process: Process) -> None:
    assert process.last_words() == "it left no log"
    assert not process.logged("")


def test_logged(process: Process) -> None:
    process.start([sys.executable, "-c", "import sys; print('Out'); print('Err', file=sys.stderr)"], die_with_parent=False)
    while not (process.logged("out") and process.logged("ERR")):
        time.sleep(0.01)
    assert not process.logged("absent")


def test_each_start_empties_the_log(process: Process) -> None:
    process.log_file.write_text("of last time")
    started(process)
    assert not process.logged("last time")


def test_command_line_of_nobody() -> None:
    assert command_line(2**22 + 1) == []
    assert command_line(os.getpid())[0]


STARTER = """if True:
    import pathlib, sys
    from standalone.processes import Process
    process = Process("sleeper", pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    process.start(sys.argv[4:], die_with_parent=sys.argv[3] == "True")
"""


@pytest.mark.parametrize("die_with_parent", [False, True])
def test_one_whose_starter_is_killed_before_it_is_recorded_does_not_run(
    tmp_path: Path, sleeper: list[str], die_with_parent: bool
) -> None:
    """The pid file is a pipe that nobody reads, so the starter hangs where it is to write it."""
    pipe, log = tmp_path / "pid", tmp_path / "log"
    os.mkfifo(pipe)
    argv = [sys.executable, "-c", STARTER, str(pipe), str(log), str(die_with_parent), *sleeper]
    with subprocess.Popen(argv) as starter:
        eventually(lambda: set(running(sleeper)) > {starter.pid}, "it was made")
        starter.kill()
    eventually(lambda: running(sleeper) == [], "it ended by itself")
    assert log.read_text() == ""


def test_one_that_cannot_be_recorded_does_not_run(tmp_path: Path, sleeper: list[str]) -> None:
    homeless = Process("sleeper", tmp_path / "absent" / "pid", tmp_path / "log")
    with pytest.raises(StandaloneError, match=r"^cannot start sleeper: No such file or directory$"):
        homeless.start(sleeper, die_with_parent=False)
    assert running(sleeper) == []


def test_what_it_reads_is_empty(process: Process) -> None:
    process.start([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"], die_with_parent=False)
    eventually(lambda: process.logged("''"), "it found the end of its input")


@pytest.mark.parametrize("content", [None, "", "{", json.dumps({"pid": 2**22 + 1, "argv": SLEEP})])
def test_found_by_its_marks_without_a_pid_file(tmp_path: Path, sleeper: list[str], content: str | None) -> None:
    marks = frozenset(("-c", sleeper[-1]))
    lost = Process("sleeper", tmp_path / "pid", tmp_path / "log", marks)
    other = Process("other", tmp_path / "other", tmp_path / "log", marks | {"and another word"})
    half = [*sleeper[:-1], "of somebody else"]
    with subprocess.Popen(half) as stranger:
        pid = started(lost, sleeper)
        if content is None:
            lost.pid_file.unlink()
        else:
            lost.pid_file.write_text(content)
        other.stop(10)
        assert (lost.pid(), running(sleeper)) == (None, [pid])
        lost.stop(10)
        assert gone(pid)
        assert stranger.poll() is None
        stranger.kill()


def test_all_that_have_the_marks_are_ended(tmp_path: Path, sleeper: list[str]) -> None:
    """As when a pid file was lost and the program was started again."""
    process = Process("sleeper", tmp_path / "pid", tmp_path / "log", frozenset(sleeper[-1:]))
    pids = [started(process, sleeper)]
    process.pid_file.unlink()
    pids.append(started(process, sleeper))
    process.stop(10)
    assert [gone(pid) for pid in pids] == [True, True]
