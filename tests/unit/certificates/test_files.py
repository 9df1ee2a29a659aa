"""Private files: who may read them, and what is there when a write breaks off."""

import os
import stat
from pathlib import Path

import pytest

from certificates.files import write_private


@pytest.mark.parametrize("content", [b"new", "new"])
def test_a_file_is_its_owner_s_alone_whatever_was_there(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_private(path, content)
    finally:
        os.umask(before)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_no_moment_in_which_others_could_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is about to get the file's name has its mode already."""
    modes = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    write_private(tmp_path / "secret", b"new")
    assert modes == [0o600]


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(tmp_path / "secret", b"old")

    def broken(self: Path, target: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="space"):
        write_private(tmp_path / "secret", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"secret": b"old"}
