"""Whatever happens, the person sees one sentence, and the log has the rest."""

import tempfile
from pathlib import Path

import pytest

from standalone.demo import __main__ as command
from standalone.demo import laboratory
from standalone.demo.layout import Layout
from standalone.demo.up import Demo
from standalone.errors import StandaloneError
from tests.lab.layout import Layout as LabLayout


@pytest.fixture(autouse=True)
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A cache directory and an environment of the test's own; nothing is started in it."""
    monkeypatch.setattr(command, "up", lambda _: pytest.fail("this must not start a demo"))
    monkeypatch.setenv("VIREO_CACHE", str(tmp_path))
    for name in ("TMPDIR", "KUBECACHEDIR"):
        monkeypatch.setenv(name, str(tmp_path))  # so that it is put back afterwards
    return Layout(tmp_path / "demo")


def test_success(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    seen: list[Demo] = []
    monkeypatch.setattr(command, "up", seen.append)
    monkeypatch.setattr(laboratory, "why_not", lambda: None)
    assert command.main(["up"]) == 0
    assert command.main(["up", "--simulator-only"]) == 0
    assert [demo.without_libvirt for demo in seen] == [None, "it was asked for"]
    assert seen[0].layout == layout


def test_a_reason_against_libvirt_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Demo] = []
    monkeypatch.setattr(command, "up", seen.append)
    monkeypatch.setattr(laboratory, "why_not", lambda: "lab hosts need root: run as root")
    assert command.main(["up"]) == 0
    assert [(demo.without_libvirt, demo.libvirt) for demo in seen] == [("lab hosts need root: run as root", False)]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (StandaloneError("the disk is full"), "the disk is full"),
        (OSError(28, "No space left on device", "/d/x"), "No space left on device: /d/x"),
        (PermissionError(13, "Permission denied", "/d/x"), "Permission denied: /d/x"),
        (OSError("odd"), "odd"),
        (KeyboardInterrupt(), "interrupted: `make demo` goes on, `make demo-down` clears away"),
        (ZeroDivisionError("by zero"), "this is a defect of the demo: ZeroDivisionError: by zero"),
    ],
)
def test_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], layout: Layout, error: BaseException, sentence: str
) -> None:
    def fail(_: Demo) -> None:
        raise error

    monkeypatch.setattr(command, "up", fail)
    assert command.main(["up", "--simulator-only"]) == 1
    assert capsys.readouterr().err == f"error: {sentence} (log: {layout.own_log})\n"
    assert ("Traceback" in layout.own_log.read_text()) == isinstance(error, ZeroDivisionError)


def test_no_log_is_named_before_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["ssh", "web-1"]) == 1
    assert capsys.readouterr().err == "error: the demo does not run: start it with `make demo`\n"


@pytest.mark.parametrize("arguments", [[], ["sideways"], ["up", "--simulator"], ["down", "--force"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m standalone.demo" in capsys.readouterr().err


def test_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["status"]) == 1
    assert command.main(["down"]) == 0
    assert capsys.readouterr().out == "there is no demo: start it with `make demo`\nthere is no demo\n"


def test_the_lab_gets_its_arguments_and_its_place(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a lab's sockets need a short path, pytest's own may be too long
        monkeypatch.setenv("VIREO_CACHE", short)
        assert command.main(["lab", "status"]) == 1
        assert capfd.readouterr().err == f"no lab is up in {Layout(Path(short) / 'demo').lab}\n"


def test_names_that_the_lab_takes(tmp_path: Path) -> None:
    layouts = [Layout(tmp_path / name) for name in ("a", "b")]
    assert len({layout.prefix for layout in layouts}) == 2, "two demos on one machine do not meet"
    for layout in layouts:
        assert LabLayout(layout.lab, layout.prefix).owns_namespace(f"{layout.prefix}-h1")


def test_what_outlives_the_directory_is_beside_it(layout: Layout) -> None:
    for path in (layout.lock, layout.own_log):
        assert path.parent == layout.directory.parent
    inside = (layout.plane, layout.lab, layout.images, layout.key, layout.temporary, layout.kubectl_cache, layout.environment)
    assert all(path.is_relative_to(layout.directory) for path in inside)
