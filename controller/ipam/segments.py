"""VLANs of guest networks: each is held by one Network for its life, out of the guest VLAN ranges of its Zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.ipam.ledger import Conflict, Ledger, Owner, Span
from controller.ipam.ledgers import Ledgers
from controller.ipam.refusal import Reason, Refusal
from drivers.types import Segment

__all__ = ["SegmentAllocator", "VLANRange"]

_FIRST_VLAN: Final = 1
_LAST_VLAN: Final = 4094


@dataclass(frozen=True, slots=True, order=True)
class VLANRange:
    """VLAN ids from `start` to `end`, both included."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class SegmentAllocator:
    """Who has which VLAN, by zone name.

    A held VLAN stays held when the ranges of its Zone shrink. A pinned VLAN need not be in the ranges: they say what the cloud may
    choose, not what exists. Claims work as for addresses: a free VLAN that several networks pin goes to the oldest of them.
    """

    def __init__(self) -> None:
        self._zones = Ledgers()

    def reserve(self, zone: str, ranges: Sequence[VLANRange], owner: Owner, pinned: int | None = None) -> Segment | Refusal:
        """The owner's segment: the one it holds, else the one it pins, else a free one of the ranges, searched once round."""
        ledger = self._zones.open(zone, owner)
        if pinned is None:
            ledger.withdraw(owner)
        held = ledger.held_by(owner)
        if held is not None:
            return _keep(held, owner, pinned)
        if pinned is not None:
            return _pin(ledger, owner, pinned)
        return _any(ledger, zone, ranges, owner)

    def claim(self, zone: str, pinned: int, owner: Owner) -> None:
        """Note that an owner pins this VLAN; an impossible one is left for `reserve` to refuse."""
        if _FIRST_VLAN <= pinned <= _LAST_VLAN:
            self._zones.open(zone, owner).claim(pinned, owner)

    def adopt(self, zone: str, vlan: int, owner: Owner) -> Conflict | None:
        """Record a VLAN that an owner has already, as its status says; see `Ledger.adopt` for who keeps a doubled one."""
        return self._zones.open(zone, owner).adopt(vlan, owner)

    def release(self, owner: Owner) -> None:
        """Free what this owner holds and claims."""
        self._zones.release(owner)

    def allocated(self, zone: str) -> int:
        """How many VLANs of a zone are held, pinned ones included."""
        return self._zones.held(zone)

    def records(self, zone: str) -> list[tuple[int, Owner]]:
        """Who holds what in a zone, by ascending VLAN."""
        return self._zones.records(zone)


def _keep(held: int, owner: Owner, pinned: int | None) -> Segment | Refusal:
    if pinned is None or pinned == held:
        return Segment(held)
    return Refusal(Reason.SEGMENT_FIXED, f"{owner} has VLAN {held} for its life and can't change to {pinned}", owner)


def _pin(ledger: Ledger, owner: Owner, vlan: int) -> Segment | Refusal:
    if not _FIRST_VLAN <= vlan <= _LAST_VLAN:
        ledger.withdraw(owner)
        return Refusal(Reason.SEGMENT_INVALID, f"VLAN {vlan} does not exist; ids go from {_FIRST_VLAN} to {_LAST_VLAN}")
    ledger.claim(vlan, owner)
    if holder := ledger.holder(vlan):
        return Refusal(Reason.SEGMENT_IN_USE, f"VLAN {vlan} is in use by {holder}", holder)
    first = ledger.first_claimant(vlan)
    if first is not None and first != owner:
        return Refusal(Reason.SEGMENT_IN_USE, f"VLAN {vlan} is pinned by {first} too, which is older", first)
    ledger.hold(vlan, owner)
    return Segment(vlan)


def _any(ledger: Ledger, zone: str, ranges: Sequence[VLANRange], owner: Owner) -> Segment | Refusal:
    spans = _spans(ranges)
    if not spans:
        return Refusal(Reason.SEGMENTS_EXHAUSTED, f"zone {zone} has no guest VLAN range")
    found = ledger.search(spans, owner.digest)
    if found is None:
        listed = ", ".join(f"{first}-{last}" for first, last in spans)
        total = sum(last - first + 1 for first, last in spans)
        word = "range" if len(spans) == 1 else "ranges"
        return Refusal(Reason.SEGMENTS_EXHAUSTED, f"VLAN {word} {listed} of zone {zone}: all {total} in use")
    ledger.hold(found, owner)
    return Segment(found)


def _spans(ranges: Sequence[VLANRange]) -> list[Span]:
    """Ranges in order, cut to ids that exist, overlapping ones joined."""
    spans: list[Span] = []
    for each in sorted(ranges):
        first, last = max(each.start, _FIRST_VLAN), min(each.end, _LAST_VLAN)
        if spans and first <= spans[-1][1] + 1:
            first, last = spans[-1][0], max(spans.pop()[1], last)
        if first <= last:
            spans.append((first, last))
    return spans
