"""Commands with a time limit."""

import time
from pathlib import Path

import pytest

from tests.lab import shell
from tests.lab.shell import LabError


def test_output_is_returned() -> None:
    assert shell.run("printf", "%s|", "a b", "c") == "a b|c|"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo warning >&2; echo refused >&2; exit 3", "refused"),
        ("echo said on the other stream; exit 1", "said on the other stream"),
        ("exit 7", "exit status 7"),
        ("kill -9 $$", "exit status -9"),
    ],
)
def test_failure_is_one_line_with_the_reason(script: str, reason: str) -> None:
    with pytest.raises(LabError) as caught:
        shell.run("sh", "-c", script)
    assert str(caught.value) == f"sh -c {script}: {reason}"


def test_missing_command_is_named() -> None:
    with pytest.raises(LabError, match="no-such-command: No such file"):
        shell.run("no-such-command")


def test_time_limit_ends_all_that_was_started(tmp_path: Path) -> None:
    """Also a child in the background that holds the output open."""
    script = f"echo $$ > {tmp_path}/shell; sleep 600 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(LabError, match=r"did not end within 3 s"):
        shell.run("sh", "-c", script, timeout=3)
    for name in ("shell", "child"):
        status = Path("/proc", (tmp_path / name).read_text().strip(), "status")
        deadline = time.monotonic() + 120
        while _runs(status):
            assert time.monotonic() < deadline, f"{name} still runs"


def _runs(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


def test_output_that_is_no_text() -> None:
    assert shell.run("printf", r"a\377b") == "a\N{REPLACEMENT CHARACTER}b"


def test_standard_input_is_empty() -> None:
    assert shell.run("cat") == ""


def test_system_directories_are_searched_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert shell.environment()["PATH"].split(":")[-1] == "/nowhere"
    assert shell.find("sh") is not None
    assert shell.find("no-such-command") is None


@pytest.mark.parametrize(("command", "expected"), [("true", True), ("false", False), ("no-such-command", False)])
def test_succeeds(command: str, expected: bool) -> None:
    assert shell.succeeds([command]) is expected
