"""How a reconcile ended: a closed set, each with one meaning for conditions and for the queue.

| result | Ready | Reconciling | Stalled | runs again |
|---|---|---|---|---|
| Done | True | – | – | on a change, or after `recheck_after` |
| Requeue | False | True | – | after `after` seconds |
| Waiting | False | True | – | when a watch wakes it, or after `retry_after` |
| Failed, not terminal | False | True | – | after `retry_after`, else with exponential backoff |
| Failed, terminal | False | – | True | on a change only |

The mapping follows kstatus (sigs.k8s.io/cli-utils, pkg/kstatus): an object that is being worked on is InProgress, one on which
nothing will happen until somebody changes something is Failed, and never both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")  # metav1.Condition.reason
_LONGEST_REASON = 256


def _check(reason: str, *delays: float | None) -> None:
    if len(reason) > _LONGEST_REASON or not _REASON.fullmatch(reason):
        raise ValueError(f"not a condition reason: {reason!r}")
    if any(delay is not None and not delay >= 0 for delay in delays):
        raise ValueError(f"a delay is in seconds, not negative: {delays!r}")


@dataclass(frozen=True, slots=True)
class Done:
    """The spec is realised, including a desired Off.  `reason` says which (`Running`, `Stopped`, `Bound`).

    `recheck_after` seconds it is looked at once more, where something that no watch tells of may still come: an answer of a guest.
    """

    reason: str
    message: str = ""
    recheck_after: float | None = None

    def __post_init__(self) -> None:
        _check(self.reason, self.recheck_after)


@dataclass(frozen=True, slots=True)
class Requeue:
    """Work is going on; look again in `after` seconds."""

    after: float
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        _check(self.reason, self.after)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something else must happen first, and a watch tells when; `retry_after` seconds where no watch can."""

    reason: str
    message: str = ""
    retry_after: float | None = None

    def __post_init__(self) -> None:
        _check(self.reason, self.retry_after)


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt failed.

    `terminal`: nothing will happen until somebody changes the object or what it refers to.  Else it is tried again after
    `retry_after`
    seconds, or with the queue's exponential backoff when that is None.
    """

    reason: str
    message: str
    terminal: bool
    retry_after: float | None = None

    def __post_init__(self) -> None:
        _check(self.reason, self.retry_after)
        if self.terminal and self.retry_after is not None:
            raise ValueError("a terminal failure is not retried")


Result = Done | Requeue | Waiting | Failed


def done(reason: str, message: str = "", *, recheck_after: float | None = None) -> Done:
    """Return `Done`: the spec is realised."""
    return Done(reason, message, recheck_after)


def requeue(after: float, reason: str, message: str = "") -> Requeue:
    """Return `Requeue`: work is going on, look again in `after` seconds."""
    return Requeue(after, reason, message)


def waiting(reason: str, message: str = "", *, retry_after: float | None = None) -> Waiting:
    """Return `Waiting`: something else must happen first."""
    return Waiting(reason, message, retry_after)


def failed(reason: str, message: str, *, terminal: bool = False, retry_after: float | None = None) -> Failed:
    """Return `Failed`: retried with backoff (or after `retry_after` seconds) unless terminal."""
    return Failed(reason, message, terminal, retry_after)
