"""The ledgers of all scopes (networks, zones), and in which of them an object has an entry."""

from __future__ import annotations

from collections.abc import Collection

from controller.ipam.ledger import Ledger, Owner

__all__ = ["Ledgers"]


class Ledgers:
    """Ledgers by scope key, made on first use and forgotten when nothing is left in them."""

    def __init__(self) -> None:
        self._ledgers: dict[str, Ledger] = {}
        self._entries: dict[str, set[tuple[str, Owner]]] = {}

    def open(self, scope: str, owner: Owner) -> Ledger:
        """The ledger of a scope, noting that this owner may have an entry in it."""
        self._entries.setdefault(owner.uid, set()).add((scope, owner))
        return self._ledgers.setdefault(scope, Ledger())

    def close(self, scope: str) -> None:
        """Forget a scope with all its entries."""
        self._ledgers.pop(scope, None)

    def release(self, owner: Owner) -> None:
        """Drop one owner from every scope."""
        self._drop({entry for entry in self._entries.get(owner.uid, ()) if entry[1] == owner}, owner.uid)

    def release_all(self, uid: str) -> None:
        """Drop every owner that is a part of the object `uid`."""
        self._drop(set(self._entries.get(uid, ())), uid)

    def retain(self, uid: str, numbers: Collection[tuple[str, int]], parts: Collection[tuple[str, str]]) -> None:
        """Free what the object `uid` holds but these numbers of scopes, and forget what its parts want but these parts of scopes.

        What one of these parts holds stays too.
        """
        for scope, owner in list(self._entries.get(uid, ())):
            ledger = self._ledgers.get(scope)
            if ledger is not None and (scope, owner.part) not in parts:
                ledger.withdraw(owner)
                if (number := ledger.held_by(owner)) is not None and (scope, number) not in numbers:
                    ledger.give_up(owner)
            if ledger is None or not ledger.knows(owner):
                self._drop({(scope, owner)}, uid)

    def held(self, scope: str) -> int:
        """How many numbers of a scope are held."""
        ledger = self._ledgers.get(scope)
        return len(ledger) if ledger is not None else 0

    def holder(self, scope: str, number: int) -> Owner | None:
        """Who holds a number of a scope."""
        ledger = self._ledgers.get(scope)
        return ledger.holder(number) if ledger is not None else None

    def held_by(self, scope: str, owner: Owner) -> int | None:
        """The number that an owner holds in a scope."""
        ledger = self._ledgers.get(scope)
        return ledger.held_by(owner) if ledger is not None else None

    def records(self, scope: str) -> list[tuple[int, Owner]]:
        """Holdings of a scope by ascending number."""
        ledger = self._ledgers.get(scope)
        return list(ledger) if ledger is not None else []

    def _drop(self, entries: set[tuple[str, Owner]], uid: str) -> None:
        for scope, owner in entries:
            ledger = self._ledgers.get(scope)
            if ledger is not None:
                ledger.drop(owner)
                if ledger.idle:
                    del self._ledgers[scope]
        left = self._entries.get(uid, set()) - entries
        if left:
            self._entries[uid] = left
        else:
            self._entries.pop(uid, None)
