"""A sparse set of taken numbers that finds the next free one at memchr speed."""

from __future__ import annotations

from typing import Final

__all__ = ["Slots"]

_PAGE: Final = 4096
_FREE: Final = b"\0"


class Slots:
    """Which non-negative integers are taken. Memory grows with the pages in use (4 KiB each), not with the range searched."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._used: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        page = self._pages.get(number // _PAGE)
        return page is not None and page[number % _PAGE] == 1

    def add(self, number: int) -> None:
        """Take a number; one that is taken stays taken."""
        if number in self:
            return
        index, offset = divmod(number, _PAGE)
        self._pages.setdefault(index, bytearray(_PAGE))[offset] = 1
        self._used[index] = self._used.get(index, 0) + 1

    def discard(self, number: int) -> None:
        """Free a number; one that is free stays free."""
        if number not in self:
            return
        index, offset = divmod(number, _PAGE)
        self._pages[index][offset] = 0
        self._used[index] -= 1
        if not self._used[index]:
            del self._pages[index], self._used[index]

    def first_free(self, start: int, stop: int) -> int | None:
        """The lowest free number in [start, stop), or None."""
        while start < stop:
            index, offset = divmod(start, _PAGE)
            end = min(stop, (index + 1) * _PAGE)
            page = self._pages.get(index)
            if page is None:
                return start
            if self._used[index] < _PAGE and (found := page.find(_FREE, offset, end - index * _PAGE)) >= 0:
                return index * _PAGE + found
            start = end
        return None
