"""Who held which Lease when, by what the API server accepted of those who want it."""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.apiproxy import ApiProxy, Asked


class Holders:
    """Of Leases that are written through these proxies alone."""

    def __init__(self, proxies: Iterable[ApiProxy]) -> None:
        asked = [each for proxy in proxies for each in list(proxy.asked)]
        self._writes = sorted(filter(_accepted, asked), key=lambda each: each.at)

    def at(self, lease: str, when: float) -> str:
        """Whom the last write before that moment names, "" if there was none, or if it gave the Lease back.

        Each write is conditional on the one before it, and so was sent after that one's answer.
        """
        named = [holder for at, holder in self._of(lease) if at <= when]
        return named[-1] if named else ""

    def handed_over(self, lease: str, since: float) -> tuple[float, float] | None:
        """When a Lease was given back after that moment, and when it was taken then; None if that is not on record."""
        back = next((at for at, holder in self._of(lease) if at >= since and not holder), None)
        taken = next((at for at, holder in self._of(lease) if back is not None and at > back and holder), None)
        return (back, taken) if back is not None and taken is not None else None

    def first(self, holder: str, since: float) -> float | None:
        """When a process first had any Lease after that moment; None if that is not on record."""
        return next((each.at for each in self._writes if each.at >= since and each.lease and each.lease[1] == holder), None)

    def _of(self, lease: str) -> list[tuple[float, str]]:
        return [(each.at, each.lease[1]) for each in self._writes if each.lease and each.lease[0] == lease]


def _accepted(asked: Asked) -> bool:
    return asked.lease is not None and asked.status in (200, 201)
