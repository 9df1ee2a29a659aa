"""Scripted faults: which calls go wrong, how, and how often."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from random import Random
from typing import Literal

__all__ = ["Fault", "FaultKind", "Faults"]


ErrorName = Literal[
    "Transient",
    "Busy",
    "NotFound",
    "Conflict",
    "NoRoom",
    "InvalidSpec",
    "AuthFailed",
    "Unsupported",
    "StorageUnavailable",
    "NetworkMissing",
]


class FaultKind(StrEnum):
    """How a call goes wrong.

    DELAY: it begins `seconds` late. ERROR: it is refused with `error` and `code` and has no effect. HANG: it has no effect and
    is never answered. LOSE_REPLY: it takes effect, then the connection breaks. TASK_ERROR: its native task is started and
    fails with `code`. FORGET_TASK: its native task is started, works, and can't be polled. EXPIRE_SESSION: every session
    ends just before it.
    """

    DELAY = "delay"
    ERROR = "error"
    HANG = "hang"
    LOSE_REPLY = "lose-reply"
    TASK_ERROR = "task-error"
    FORGET_TASK = "forget-task"
    EXPIRE_SESSION = "expire-session"


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule: `kind` happens to calls of `method` on `object`, both shell patterns.

    An object is known by its host, UUID, name, pool or image. At most `count` times (None: always), with `probability`,
    from `after` until `until` seconds after the rule was added.
    """

    kind: FaultKind
    method: str = "*"
    object: str = "*"
    count: int | None = None
    probability: float = 1.0
    after: float = 0.0
    until: float | None = None
    seconds: float = 0.0
    error: ErrorName = "Transient"
    code: str = "SIM_FAULT"


@dataclass(slots=True)
class _Rule:
    fault: Fault
    added: float
    left: int | None = field(default=None)


class Faults:
    """The rules in force."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._numbers = itertools.count(1)
        self._rules: dict[int, _Rule] = {}

    def add(self, fault: Fault, now: float) -> int:
        """Put a rule in force and return its number."""
        number = next(self._numbers)
        self._rules[number] = _Rule(fault, now, fault.count)
        return number

    def clear(self) -> None:
        """Drop all rules."""
        self._rules.clear()

    def in_force(self) -> dict[int, Fault]:
        """Rules in force by number."""
        return {number: rule.fault for number, rule in self._rules.items()}

    def strike(self, method: str, objects: Sequence[str], now: float) -> list[Fault]:
        """Faults that happen to this call, in the order of their rules. A rule that is used up goes."""
        struck: list[Fault] = []
        for number, rule in list(self._rules.items()):
            if not self._applies(rule, method, objects, now):
                continue
            struck.append(rule.fault)
            if rule.left is not None:
                rule.left -= 1
                if rule.left <= 0:
                    del self._rules[number]
        return struck

    def _applies(self, rule: _Rule, method: str, objects: Sequence[str], now: float) -> bool:
        fault, age = rule.fault, now - rule.added
        if age < fault.after or (fault.until is not None and age >= fault.until):
            return False
        if not fnmatchcase(method, fault.method):
            return False
        if fault.object != "*" and not any(fnmatchcase(name, fault.object) for name in objects):
            return False
        return fault.probability >= 1.0 or self._random.random() < fault.probability
