"""The controller under measurement is started as an installed one is."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.bench import cloud


def test_its_modules_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start would compile a thousand of them otherwise, where the environment says that nothing is to be kept."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OURS", "too")
    with mock.patch("subprocess.Popen") as popen:
        cloud.Controller(tmp_path / "kubeconfig", tmp_path / "controller").start()
    given = popen.call_args.kwargs["env"]
    assert "PYTHONDONTWRITEBYTECODE" not in given
    assert given["OURS"] == "too"
    assert Path(given["PYTHONPYCACHEPREFIX"]).is_relative_to(tmp_path / "controller")
    assert popen.call_args.args[0][0] == sys.executable
