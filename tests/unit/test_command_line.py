"""The command `vireo`: flags, environment, exit codes, one sentence for each thing that is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller.__main__ import main
from controller.settings import Settings
from tests.support.ports import reserved

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: me, user: {token: not-to-be-shown}}]
"""


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"VIREO_{name.upper()}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    ("flag", "value", "complaint"),
    [
        ("--workers", "0", "workers: .*greater than or equal to 1"),
        ("--workers", "many", "workers: .*integer"),
        ("--probe-port", "65536", "probe_port: .*less than or equal to 65535"),
        ("--image-cache-size", "-1", "image_cache_size: .*greater than or equal to 0"),
        ("--log-level", "loud", "log_level: .*pattern"),
        ("--log-format", "xml", "log_format: .*pattern"),
        ("--identity", "", "identity: .*at least 1 character"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_starts(
    flag: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", flag, value]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(f"vireo: {complaint}.*", lines[0])


def test_the_environment_sets_what_no_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIREO_WORKERS", "7")
    monkeypatch.setenv("VIREO_PROBE_PORT", "9000")
    settings = Settings(probe_port=9001)
    assert (settings.workers, settings.probe_port) == (7, 9001)


def test_every_setting_is_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["run", "--help"])
    assert left.value.code == 0
    flags = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert flags == {f"--{name.replace('_', '-')}" for name in Settings.model_fields}


@pytest.mark.parametrize("command", ["run", "tree"])
def test_without_a_kubeconfig_it_says_what_is_missing(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--kubeconfig", str(tmp_path / "absent")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("vireo: cannot read how to reach the API server: ")


def test_a_tree_of_a_cluster_that_does_not_answer_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with reserved() as silent:
        kubeconfig.write_text(KUBECONFIG % silent.getsockname()[1])
        assert main(["tree", "--kubeconfig", str(kubeconfig)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("vireo: GET /apis/vireo.dev/v1alpha1/zones: ")
    assert "not-to-be-shown" not in lines[0]


@pytest.mark.parametrize("command", ["simulator", "host"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_a_command_with_a_command_line_of_its_own_tells_of_it(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, flag])
    assert left.value.code == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"usage: vireo {command} ")
    assert told.err == ""


@pytest.mark.parametrize("command", ["simulator", "host"])
def test_it_refuses_what_it_does_not_know(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--nonsense"])
    assert left.value.code == 2
    assert f"vireo {command}" in capsys.readouterr().err


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = capsys.readouterr().out
    for command in ("run", "simulator", "host", "console", "tree", "why"):
        assert re.search(rf"^ +{command}\s+\w", told, re.MULTILINE)


def test_no_command_is_wrong_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "controller"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


ASKED_TO_END = """
import os, signal, sys
from controller.__main__ import main

class Loading:
    def find_spec(self, name, *_):
        if name == "controller.app":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Loading())
sys.exit(main(["run", "--kubeconfig", "never-read"]))
"""


def test_one_that_is_asked_to_end_while_it_loads_has_not_failed() -> None:
    done = subprocess.run([sys.executable, "-c", ASKED_TO_END], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
