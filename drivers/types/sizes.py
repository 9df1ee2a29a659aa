"""Sizes as people write them."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_STEP: Final = 1024


def show_size(size: int, *, down: bool = False) -> str:
    """A size in bytes as people write it, to one digit behind the point of the largest unit that leaves a number of at least one.

    Rounded up, so that what is lacking is never told as less; `down` is for what is left.
    """
    unit = 0
    while unit + 1 < len(_UNITS) and size >= _STEP ** (unit + 1):
        unit += 1
    scale = _STEP**unit
    if size % scale == 0:
        return f"{size // scale}{_UNITS[unit]}"
    tenths = size * 10 // scale if down else -(-size * 10 // scale)
    return f"{tenths // 10}.{tenths % 10}{_UNITS[unit]}"
