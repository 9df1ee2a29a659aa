"""Programs that fail say why in a sentence, and everything they said is in the log."""

from pathlib import Path

import pytest

from standalone.demo.commands import Kubectl, Runner, reason, shown
from standalone.errors import StandaloneError
from tests.unit.demo.fake import FakeKubectl, named, objects


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path / "demo.log")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it gave no reason"),
        ("\n \n", "it gave no reason"),
        ("warming up\nerror: the door is locked\n\n", "the door is locked"),
        ("cp: error writing 'x': No space left on device\nstopped", "the disk is full"),
        (
            "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by 7",
            "another program is using apt: wait for it to finish",
        ),
        ("E: Failed to fetch http://deb.debian.org/x  Temporary failure", "no network, or the package server does not answer"),
        ("dial tcp: lookup example.com: no such host", "no network, or the package server does not answer"),
        ("OSError: [Errno 98] Address already in use\n", "a port is in use"),
        ("x" * 500, "x" * 300),
    ],
)
def test_reason(text: str, expected: str) -> None:
    assert reason(text) == expected


def test_output(runner: Runner) -> None:
    assert runner.need("speak", ["sh", "-c", "cat; echo >&2 aside"], stdin="words") == "words"
    assert runner.log.read_text() == "$ sh -c 'cat; echo >&2 aside'\naside\nexit 0\n"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("echo >&2 first; echo >&2 last; exit 3", "cannot speak: last"),
        ("echo said; exit 3", "cannot speak: said"),
        ("exit 3", "cannot speak: it gave no reason"),
        ("kill -9 $$", "cannot speak: it gave no reason"),
        ("echo >&2 'write: No space left on device'; echo >&2 more; exit 1", "cannot speak: the disk is full"),
    ],
)
def test_failure(runner: Runner, script: str, sentence: str) -> None:
    with pytest.raises(StandaloneError) as caught:
        runner.need("speak", ["sh", "-c", script])
    assert str(caught.value) == sentence
    assert "exit " in runner.log.read_text()


def test_bytes_that_are_no_text(runner: Runner) -> None:
    assert runner.need("speak", ["printf", r"\377\376a"]).endswith("a")


def test_a_missing_program(runner: Runner) -> None:
    with pytest.raises(StandaloneError, match="cannot run /absent/program: No such file or directory"):
        runner.need("speak", ["/absent/program"])


def test_a_program_that_hangs(runner: Runner) -> None:
    with pytest.raises(StandaloneError, match=r"sleep 1000 did not end within 0 s"):
        runner.run(["sleep", "1000"], timeout=0.2)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [(["/usr/bin/true"], "true"), (["/bin/sh", "-c", "a b"], "sh -c 'a b'"), (["/x/y", "z" * 100], "y " + "z" * 77 + "…")],
)
def test_shown(argv: list[str], expected: str) -> None:
    assert shown(argv) == expected


A, B = named("Zone", "a"), named("Zone", "b")


@pytest.mark.parametrize(
    ("output", "found"), [("", []), (objects(), []), (objects(A, B), [A, B]), (A, [A]), ({"kind": "ZoneList", "items": [B]}, [B])]
)
def test_kubectl_objects(tmp_path: Path, output: object, found: list[object]) -> None:
    fake = FakeKubectl(tmp_path, {"get zones": (0, output)})
    assert fake.kubectl.objects("look", "zones", "-A") == found
    assert fake.calls == [(["get", "zones", "-A", "--ignore-not-found", "-o", "json"], "")]


def test_kubectl_fails(tmp_path: Path) -> None:
    kubectl: Kubectl = FakeKubectl(tmp_path, {"get": (1, "error: You must be logged in")}).kubectl
    with pytest.raises(StandaloneError, match="cannot look: You must be logged in"):
        kubectl.objects("look", "zones")
