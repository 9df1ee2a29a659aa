"""What hypervisors have refused for want of room in a storage pool: tried again later and later, and as soon as a pool has more.

What a pool was last seen to have, and what was given out of it, may be less true than what its host says when something is to be
made. So an object that a pool refused leaves that pool alone for a while, and may go to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.runtime.backoff import Backoff
from controller.runtime.keys import Key
from controller.runtime.results import Waiting, waiting
from controller.runtime.store import Change
from crds.v1alpha1.storagepool import PoolCapacity, StoragePool
from drivers.errors import NoRoom

FIRST_DELAY = 2.0
PAUSE = 60.0
"""Seconds between two tries at the most: such a try costs a host little, and who makes room outside of Vireo tells nobody."""
_BACKOFF = Backoff(FIRST_DELAY, PAUSE)


@dataclass(slots=True)
class Refusal:
    """One object that one pool had no room for, `tries` times one after another; not tried there again before `until`."""

    key: Key
    pool: str
    said: str
    tries: int = 0
    until: float = 0.0

    @property
    def message(self) -> str:
        """In one sentence, for people."""
        return f"no room in storage pool {self.pool}: {self.said}"


class Refusals:
    """By the uid of what was to be made or to grow, and by pool. Nothing of it is durable: another process tries at once.

    `wake` puts a key on the queue, `clock` gives monotonic seconds. `take` is told of every change of an object.
    """

    def __init__(self, wake: Callable[[Key], None], clock: Callable[[], float]) -> None:
        self._wake = wake
        self._clock = clock
        self._refused: dict[str, dict[str, Refusal]] = {}
        self._room: dict[str, tuple[int, int]] = {}

    def note(self, key: Key, uid: str, pool: str, error: NoRoom) -> Refusal:
        """Take note of a refusal, and have the pool looked at: it is fuller than was known."""
        now = self._clock()
        known = self._refused.setdefault(uid, {}).setdefault(pool, Refusal(key, pool, ""))
        known.tries, known.said = known.tries + 1, str(error)
        known.until = now + _BACKOFF.delay(known.tries - 1)
        self._wake(Key(StoragePool.KIND, "", pool))
        return known

    def resting(self, uid: str, pool: str) -> Refusal | None:
        """What a pool refused so lately that it is not to be tried there yet."""
        known = self._refused.get(uid, {}).get(pool)
        return known if known is not None and known.until > self._clock() else None

    def of(self, uid: str) -> list[Refusal]:
        """All such refusals of one object, the next to be tried again first."""
        now = self._clock()
        return sorted((each for each in self._refused.get(uid, {}).values() if each.until > now), key=lambda each: each.until)

    def pools(self, uid: str) -> frozenset[str]:
        """The pools of `of`."""
        return frozenset(each.pool for each in self.of(uid))

    def wait(self, refusal: Refusal) -> Waiting:
        """How a reconcile ends that has to wait for one pool."""
        return waiting(NoRoom.reason, refusal.message, retry_after=self.left([refusal], PAUSE))

    def left(self, refusals: Iterable[Refusal], longest: float) -> float:
        """Seconds until the first of these is to be tried again, and no more than `longest`."""
        now = self._clock()
        return min([longest, *(max(0.0, each.until - now) for each in refusals)])

    def awaited(self, pool: str) -> bool:
        """Whether something that the pool refused is still not made: then it should be known soon if somebody makes room."""
        return any(pool in pools for pools in self._refused.values())

    def forget(self, uid: str) -> None:
        """There was room after all, or the object is gone."""
        self._refused.pop(uid, None)

    def take(self, change: Change) -> None:
        """See whether a pool has more room than before: then those that it refused may try at once."""
        if change.key.kind != StoragePool.KIND:
            return
        name, after = change.key.name, change.after()
        before, now = self._room.pop(name, None), _room(after.status.capacity) if after is not None else None
        if now is None:
            return
        self._room[name] = now
        if before is not None and any(more > less for more, less in zip(now, before, strict=True)):
            self._regained(name)

    def _regained(self, pool: str) -> None:
        now = self._clock()
        for known in [pools[pool] for pools in self._refused.values() if pool in pools]:
            known.until = min(known.until, now)
            self._wake(known.key)


def _room(capacity: PoolCapacity) -> tuple[int, int]:
    """Bytes in all, and bytes that are free."""
    return capacity.total.bytes, capacity.available.bytes if capacity.available else 0
