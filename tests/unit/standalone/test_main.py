"""The command line of `python -m standalone`."""

import os
from pathlib import Path

import pytest

from standalone import __main__, build
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ControlPlane]]:
    """What is asked of a ControlPlane, which does nothing."""
    made: list[tuple[str, ControlPlane]] = []
    monkeypatch.setattr(ControlPlane, "start", lambda self, progress: made.append(("start", self)))
    monkeypatch.setattr(ControlPlane, "stop", lambda self: made.append(("stop", self)))
    monkeypatch.setattr(ControlPlane, "delete", lambda self: made.append(("delete", self)))
    return made


@pytest.mark.parametrize(
    ("arguments", "method", "port"),
    [
        (["up", "--directory", "/d"], "start", None),
        (["up", "--directory", "/d", "--port", "6443"], "start", 6443),
        (["down", "--directory", "/d"], "stop", None),
        (["down", "--directory=/d", "--delete"], "delete", None),
    ],
)
def test_commands(calls: list[tuple[str, ControlPlane]], arguments: list[str], method: str, port: int | None) -> None:
    assert __main__.main(arguments) == 0
    assert calls == [(method, ControlPlane(Path("/d"), port))]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: command"),
        (["up"], "the following arguments are required: --directory"),
        (["up", "--directory", "/d", "--port", "0"], "'0' is no TCP port"),
        (["up", "--directory", "/d", "--port", "65536"], "'65536' is no TCP port"),
        (["up", "--directory", "/d", "--port", "http"], "'http' is no TCP port"),
        (["up", "--directory", "/d", "--port", "²"], "is no TCP port"),
        (["up", "--directory", "/d", "--fast"], "unknown arguments: --fast"),
        (["down", "--directory", "/d", "now"], "unknown arguments: now"),
        (["sideways", "--directory", "/d"], "invalid choice: 'sideways'"),
    ],
)
def test_wrong_arguments(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        __main__.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_failure_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(progress: object) -> Path:
        raise StandaloneError("no network")

    monkeypatch.setattr(build, "ensure", fail)
    assert __main__.main(["build"]) == 1
    assert capsys.readouterr() == ("", "error: no network\n")


def test_interrupt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(progress: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "ensure", interrupt)
    assert __main__.main(["build"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_build_prints_where(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ensure", lambda progress: progress("building") or Path("/cache/plane"))
    assert __main__.main(["build"]) == 0
    assert capsys.readouterr() == ("/cache/plane\n", "building\n")


@pytest.mark.parametrize("arguments", [["get", "pods", "-A"], ["--help"], ["apply", "--dry-run=server", "-f", "-"], ["-h"]])
def test_kubectl_gets_every_other_argument(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    ran: list[list[str]] = []

    def execute(program: str, command: list[str]) -> None:
        ran.append(command)
        raise SystemExit(0)

    monkeypatch.setattr(ControlPlane, "kubectl", lambda self: ["/plane", "kubectl"])
    monkeypatch.setattr(os, "execv", execute)
    with pytest.raises(SystemExit):
        __main__.main(["kubectl", "--directory", "/d", *arguments])
    assert ran == [["/plane", "kubectl", *arguments]]
