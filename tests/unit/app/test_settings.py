"""Settings, the command line, and logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from controller import __main__ as command
from controller.app import API_KINDS
from controller.runtime.keys import Key
from controller.runtime.scope import Scope, entered
from controller.settings import Settings
from controller.telemetry.logs import configure
from crds.v1alpha1 import KINDS


def test_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_WORKERS", "8")
    monkeypatch.setenv("VIREO_IMAGE_DIRECTORY", "/images")
    monkeypatch.setenv("VIREO_UNKNOWN", "x")
    settings = Settings()
    assert (settings.workers, settings.image_directory) == (8, Path("/images"))


def test_flags_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_WORKERS", "8")
    assert Settings(workers=9).workers == 9


BAD = [
    ("workers", "0"),
    ("workers", "257"),
    ("workers", "many"),
    ("probe_port", "-1"),
    ("probe_port", "65536"),
    ("image_cache_size", "-1"),
    ("log_level", "loud"),
    ("log_format", "xml"),
    ("identity", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value_is_refused_by_name(name: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})
    assert command.main(["run", f"--{name.replace('_', '-')}", value]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"vireo: {name}: ")
    assert "Traceback" not in printed


def test_every_setting_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["run", "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in shown for name in Settings.model_fields)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--no-such-flag"]])
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize("arguments", [["tree", "--kubeconfig"], ["run", "--image-directory", "IMAGES", "--kubeconfig"]])
def test_kubeconfig_that_is_not_there_is_said_in_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path / "images") if each == "IMAGES" else each for each in arguments]
    assert command.main([*given, str(tmp_path / "none")]) == 1
    printed = capsys.readouterr().err.strip().splitlines()[-1]
    assert printed.startswith("vireo: ")


def test_api_that_does_not_answer_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    document = {"clusters": [cluster], "contexts": [context], "users": [{"name": "u", "user": {}}], "current-context": "x"}
    config.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **document}))
    assert command.main(["tree", "--kubeconfig", str(config)]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("vireo: ")


def test_kinds_of_the_api_are_those_of_the_models_and_namespaces() -> None:
    assert sorted(kind.kind for kind in API_KINDS) == sorted([*(kind.KIND for kind in KINDS), "Namespace"])
    namespaced = {kind.kind for kind in API_KINDS if kind.namespaced}
    assert namespaced == {"Template", "Network", "VirtualMachine", "Volume", "Snapshot", "SnapshotRestore"}


@pytest.mark.parametrize("form", ["json", "text"])
def test_log_has_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        log = configure("info", form)
        password = "hunter2"
        try:
            raise ValueError(len(password))
        except ValueError as error:
            log.error("it failed", exc_info=error, host="h1")
        log.debug("too small to tell")
    finally:
        structlog.reset_defaults()
    printed = capsys.readouterr().err
    assert "it failed" in printed
    assert "ValueError" in printed
    assert "h1" in printed
    assert "too small" not in printed
    assert '"hunter2"' not in printed.replace('password = "hunter2"', "")
    if form == "json":
        assert json.loads(printed.splitlines()[0])["level"] == "error"


@pytest.fixture
def quiet() -> Iterator[None]:
    """Leaves logging as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def fresh(level: str, form: str) -> FilteringBoundLogger:
    """As in a process of its own, where nobody listens yet; pytest does."""
    logging.getLogger().handlers.clear()
    return configure(level, form)


def scope(job: object = None) -> Scope:
    return Scope(Key("VirtualMachine", "shop", "web"), "r1", SimpleNamespace(status=SimpleNamespace(job=job)))


RECONCILE = {"kind": "VirtualMachine", "namespace": "shop", "name": "web", "reconcile": "r1"}


@pytest.mark.parametrize(
    ("job", "more"),
    [(None, {}), (SimpleNamespace(id="j1", status="InProgress"), {"job": "j1"}), (SimpleNamespace(id="j1", status="Failed"), {})],
)
def test_lines_of_a_reconcile_say_which(job: object, more: dict[str, str], quiet: None, capsys: pytest.CaptureFixture[str]) -> None:
    log = fresh("info", "json")
    log.info("outside")
    with entered(scope(job)):
        log.info("inside", host="h1")
        log.info("its own name stays", name="other")
    outside, inside, own = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert set(outside) == {"event", "level", "timestamp"}
    assert {key: value for key, value in inside.items() if key not in ("event", "level", "timestamp")} == {
        "host": "h1",
        **RECONCILE,
        **more,
    }
    assert own["name"] == "other"


def test_libraries_log_in_the_same_form(quiet: None, capsys: pytest.CaptureFixture[str]) -> None:
    fresh("info", "json")
    with entered(scope()):
        logging.getLogger("some.library").warning("slow: %s s", 3)
        logging.getLogger("some.library").info("nobody wants to know")
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("some.library").exception("broken")
    warned, broken = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (warned["event"], warned["level"], warned["logger"]) == ("slow: 3 s", "warning", "some.library")
    assert {key: warned[key] for key in RECONCILE} == RECONCILE
    assert broken["exception"][0]["exc_type"] == "ValueError"


def test_text_is_for_people(quiet: None, capsys: pytest.CaptureFixture[str]) -> None:
    log = fresh("info", "text")
    with entered(scope()):
        log.info("inside")
        logging.getLogger("some.library").warning("slow")
    ours, theirs = capsys.readouterr().err.splitlines()
    assert "inside" in ours
    assert "slow" in theirs
    assert all("shop" in line and not line.startswith("{") for line in (ours, theirs))
