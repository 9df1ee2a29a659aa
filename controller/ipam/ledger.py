"""Who holds and who claims which number of one scope: the addresses of a network, the VLANs of a zone.

A *holding* is exclusive and stays until it is dropped. A *claim* says that an owner declared it wants one certain number: others
don't get that number by chance, and among several claimants of a free number the oldest goes first, whichever came in first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from controller.ipam.slots import Slots

__all__ = ["Conflict", "Ledger", "Owner", "Span"]

Span = tuple[int, int]
"""Numbers from the first to the second, both included."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a number belongs to: an object by `uid`, and which part of it (the NIC's name; empty for a whole object).

    `name` is for people (`namespace/name`), `created` is the object's creationTimestamp as Kubernetes writes it (RFC 3339, UTC,
    so that text order is time order).
    """

    uid: str
    part: str = ""
    name: str = field(default="", compare=False)
    created: str = field(default="", compare=False)

    @property
    def rank(self) -> tuple[str, str, str]:
        """Order of precedence: the older object first, then the uid."""
        return self.created, self.uid, self.part

    @property
    def digest(self) -> int:
        """64 bits that depend on the identity alone, the same in every process."""
        return int.from_bytes(hashlib.sha256(f"{self.uid}\0{self.part}".encode()).digest()[:8])

    def __str__(self) -> str:
        shown = self.name or self.uid
        return f"{shown} ({self.part})" if self.part else shown


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two owners say that they hold one number, or one owner says it holds two: `keeps` has it, `loses` doesn't.

    `number` is what was to be adopted; `held` is what `keeps` holds now.
    """

    number: int
    held: int
    keeps: Owner
    loses: Owner


class Ledger:
    """Holdings and claims of one scope. Every call is O(1) but for the search, which goes at memchr speed."""

    def __init__(self) -> None:
        self._holders: dict[int, Owner] = {}
        self._numbers: dict[Owner, int] = {}
        self._claims: dict[Owner, int] = {}
        self._claimants: dict[int, set[Owner]] = {}
        self._taken = Slots()

    def __len__(self) -> int:
        """How many numbers are held."""
        return len(self._holders)

    def __iter__(self) -> Iterator[tuple[int, Owner]]:
        """Holdings in ascending order of number."""
        return iter(sorted(self._holders.items(), key=lambda item: item[0]))

    @property
    def idle(self) -> bool:
        """Whether nothing is held or claimed."""
        return not self._holders and not self._claims

    def holder(self, number: int) -> Owner | None:
        """Who holds a number."""
        return self._holders.get(number)

    def held_by(self, owner: Owner) -> int | None:
        """The number that an owner holds."""
        return self._numbers.get(owner)

    def first_claimant(self, number: int) -> Owner | None:
        """Who goes first for a number among those that claim it and hold none yet."""
        waiting = (owner for owner in self._claimants.get(number, ()) if owner not in self._numbers)
        return min(waiting, key=lambda owner: owner.rank, default=None)

    def claim(self, number: int, owner: Owner) -> None:
        """Note that an owner wants this number; replaces what it wanted before."""
        if self._claims.get(owner) == number:
            return
        self.withdraw(owner)
        self._claims[owner] = number
        self._claimants.setdefault(number, set()).add(owner)
        self._taken.add(number)

    def withdraw(self, owner: Owner) -> None:
        """Forget what an owner wants; what it holds stays."""
        number = self._claims.pop(owner, None)
        if number is None:
            return
        self._claimants[number].discard(owner)
        if not self._claimants[number]:
            del self._claimants[number]
        self._settle(number)

    def hold(self, number: int, owner: Owner) -> None:
        """Give a number that nobody holds to an owner that holds none."""
        if number in self._holders or owner in self._numbers:
            raise ValueError(f"{number} can't be given to {owner}: one of them is taken")
        self._holders[number] = owner
        self._numbers[owner] = number
        self._taken.add(number)

    def adopt(self, number: int, owner: Owner) -> Conflict | None:
        """Record that an owner holds a number already. Two owners of one number: the first by rank keeps it, in any order of calls.

        An owner that holds another number keeps that one.
        """
        held = self._numbers.get(owner)
        if held is not None:
            return None if held == number else Conflict(number, held, keeps=owner, loses=owner)
        rival = self._holders.get(number)
        if rival is None:
            self.hold(number, owner)
            return None
        if rival.rank < owner.rank:
            return Conflict(number, number, keeps=rival, loses=owner)
        self.give_up(rival)
        self.hold(number, owner)
        return Conflict(number, number, keeps=owner, loses=rival)

    def transfer(self, number: int, owner: Owner) -> None:
        """Give a number that another owner holds to one that holds none; at no time is it free."""
        if number not in self._holders or owner in self._numbers:
            raise ValueError(f"{number} can't go over to {owner}: nobody holds it, or {owner} holds another")
        del self._numbers[self._holders.pop(number)]
        self.hold(number, owner)

    def give_up(self, owner: Owner) -> None:
        """Free what an owner holds; what it wants stays."""
        number = self._numbers.pop(owner, None)
        if number is not None:
            del self._holders[number]
            self._settle(number)

    def drop(self, owner: Owner) -> None:
        """Forget an owner: what it holds and what it wants."""
        self.withdraw(owner)
        self.give_up(owner)

    def knows(self, owner: Owner) -> bool:
        """Whether an owner holds or wants anything."""
        return owner in self._numbers or owner in self._claims

    def search(self, spans: Sequence[Span], start: int) -> int | None:
        """The first number neither held nor claimed, going once round all spans from their `start`-th number on."""
        start %= sum(last - first + 1 for first, last in spans) or 1
        after: list[Span] = []
        before: list[Span] = []
        for first, last in spans:
            split = min(max(first + start, first), last + 1)
            start -= split - first
            before.append((first, split))
            after.append((split, last + 1))
        found = (self._taken.first_free(low, high) for low, high in after + before)
        return next((number for number in found if number is not None), None)

    def _settle(self, number: int) -> None:
        if number not in self._holders and number not in self._claimants:
            self._taken.discard(number)
