"""How far the work on an image is."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

__all__ = ["Phase", "Progress", "Steps"]


class Phase(StrEnum):
    """What is being done."""

    QUEUED = "Queued"
    DOWNLOADING = "Downloading"
    VERIFYING = "Verifying"
    CONVERTING = "Converting"


Progress = Callable[[Phase, int | None], None]
"""Told of every new phase and every new whole percent in it; None while the size is not known."""


class Steps:
    """Passes progress on, but only when it differs from what was told before."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell
        self._last: tuple[Phase, int | None] | None = None

    def __call__(self, phase: Phase, done: int = 0, total: int | None = None) -> None:
        """`done` of `total` is done in this phase."""
        percent = min(100, done * 100 // total) if total else None
        if self._last != (phase, percent):
            self._last = (phase, percent)
            self._tell(phase, percent)
