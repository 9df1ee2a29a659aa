"""Conditions of one object: a list-map by type, as metav1.Condition and kstatus want it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from controller.runtime.objects import Condition, ConditionFactory, ConditionStatus
from controller.runtime.results import Done, Failed, Result

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"
PAUSED = "Paused"

_FIRST = (READY, RECONCILING, STALLED, PAUSED)
_LONGEST_MESSAGE = 1024  # the API allows 32768; a status that people read, and 10,000 of them in memory, do not want that


class Conditions:
    """Reads and edits the conditions in a status draft, in place.

    `lastTransitionTime` moves only when a status changes, in whole seconds as the API stores it.  Order is fixed: the summary
    types first, then by name,
    so that an unchanged set compares equal.
    """

    def __init__(self, items: list[Any], make: ConditionFactory, generation: int, now: datetime) -> None:
        self._items = items
        self._make = make
        self._generation = generation
        self._now = now

    def __iter__(self) -> Iterator[Condition]:
        return iter(self._items)

    def get(self, type: str) -> Condition | None:
        """Return the condition of that type, or None."""
        return find(self._items, type)

    def is_true(self, type: str) -> bool:
        """Tell whether the condition is there and True."""
        return is_true(self._items, type)

    def set(self, type: str, status: ConditionStatus | bool, reason: str, message: str = "") -> None:
        """Set a condition for the generation being reconciled; `reason` is CamelCase and never empty."""
        value: ConditionStatus = status if isinstance(status, str) else ("True" if status else "False")
        told, old = _shorten(message), self.get(type)
        if old is not None and (old.status, old.reason, old.message, old.observed_generation) == (
            value,
            reason,
            told,
            self._generation,
        ):
            return
        since = old.last_transition_time if old is not None and old.status == value else _written(self._now)
        new = self._make(
            type=type,
            status=value,
            reason=reason,
            message=told,
            observed_generation=self._generation,
            last_transition_time=since,
        )
        self._items[:] = sorted([item for item in self._items if item.type != type] + [new], key=_order)

    def remove(self, type: str) -> None:
        """Remove the condition of that type; nothing happens when there is none."""
        self._items[:] = [item for item in self._items if item.type != type]

    def apply(self, result: Result) -> None:
        """Set Ready, Reconciling and Stalled as `results` defines for this result."""
        stalled = isinstance(result, Failed) and result.terminal
        working = not stalled and not isinstance(result, Done)
        self.set(READY, isinstance(result, Done), result.reason, result.message)
        for type, wanted in ((RECONCILING, working), (STALLED, stalled)):
            if wanted:
                self.set(type, True, result.reason, result.message)
            else:
                self.remove(type)


def find(items: Sequence[Condition], type: str) -> Condition | None:
    """Return the condition of that type in a list of conditions, or None."""
    return next((item for item in items if item.type == type), None)


def is_true(items: Sequence[Condition], type: str) -> bool:
    """Tell whether the list has a condition of that type with status True."""
    found = find(items, type)
    return found is not None and found.status == "True"


def _written(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _order(item: Condition) -> tuple[int, str]:
    return (_FIRST.index(item.type) if item.type in _FIRST else len(_FIRST), item.type)


def _shorten(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
