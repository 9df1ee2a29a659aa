"""A record of a measurement says on which code it was made."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench import record
from tests.bench.figures import Figure
from tests.bench.record import circumstances, commit, keep


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--allow-empty", "--message", "First"]):
        (tmp_path / "code.py").write_text("1\n")
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *command], check=True)
    return tmp_path


def head(checkout: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    assert commit(checkout) == head(checkout)[:12]


def test_a_tag_does_not_hide_the_commit(checkout: Path) -> None:
    subprocess.run(["git", "-C", str(checkout), "tag", "v1.0.0"], check=True)
    assert commit(checkout) == head(checkout)[:12]


def test_changed_code_is_no_commits_code(checkout: Path) -> None:
    (checkout / "code.py").write_text("2\n")
    assert commit(checkout) == head(checkout)[:12] + "-dirty"


def test_a_new_file_of_results_does_not_count_as_changed_code(checkout: Path) -> None:
    (checkout / "result.json").write_text("{}")
    assert commit(checkout) == head(checkout)[:12]


def test_code_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == ""
    monkeypatch.setenv("PATH", "")
    assert commit(tmp_path) == ""


def test_date_and_machine_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.456, 9.0, 9.0))
    told = circumstances(datetime(2026, 11, 22, 3, 4, 5, 6, tzinfo=UTC))
    assert told["date"] == "2026-11-22T03:04:05+00:00"
    assert told["machine"]["load_at_start"] == 0.46
    assert told["machine"]["cpus"] == os.cpu_count()
    assert told["commit"] == commit()


@pytest.mark.parametrize("kind", ["", "kvm-"])
def test_a_record_is_kept_where_it_is_wanted_or_with_the_others(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    about = circumstances(datetime(2026, 11, 22, 3, 4, 5, 6, tzinfo=UTC))
    for output, path in (
        (tmp_path / "new" / "mine", tmp_path / "new" / "mine"),
        (None, tmp_path / f"results/{kind}2026-11-22T030405Z.json"),
    ):
        keep([Figure("a", 1.0, "s")], about, ["bench", "--x"], kind, output)
        assert json.loads(path.read_text())["command"] == "bench --x"
        assert capsys.readouterr().out == f"\n{path}\n"
