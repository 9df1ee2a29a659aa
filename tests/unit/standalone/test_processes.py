"""Processes found by pid file, and only if they are ours."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
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
    with pytest.raises(StandaloneError, match=r"^cannot start sleeper: No such file or directory$"):
        process.start(["/absent/program"], die_with_parent=False)
    assert process.pid() is None


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
