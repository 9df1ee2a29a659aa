"""A download that is not complete, on disk: its bytes, and what tells whether the source is still the same."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Partial", "Validators"]


@dataclass(frozen=True, slots=True)
class Validators:
    """What the server said about the version of the content (RFC 9110, 8.8), and its size if it told."""

    etag: str = ""
    last_modified: str = ""
    total: int | None = None

    @property
    def if_range(self) -> str:
        """Value for If-Range: a strong entity tag or a date (RFC 9110, 13.1.5); empty if there is neither."""
        return self.etag if self.etag.startswith('"') else self.last_modified


class Partial:
    """`<key>.part` with the bytes so far and `<key>.json` with the validators, in one directory."""

    def __init__(self, directory: Path, key: str) -> None:
        self.path = directory / f"{key}.part"
        self._notes = directory / f"{key}.json"

    @property
    def size(self) -> int:
        """Bytes so far."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def validators(self) -> Validators:
        """Of the version that the bytes belong to; empty if that is not known."""
        try:
            return Validators(**json.loads(self._notes.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return Validators()

    def begin(self, validators: Validators) -> None:
        """Start afresh with a version of the content."""
        self.discard()
        fresh = self._notes.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(validators)))
        os.replace(fresh, self._notes)

    def append(self, data: bytes) -> None:
        """Add bytes."""
        with self.path.open("ab") as file:
            file.write(data)

    def discard(self) -> None:
        """Remove everything. The bytes go first: notes without bytes do no harm, bytes of an unknown version would."""
        for path in (self.path, self._notes):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
