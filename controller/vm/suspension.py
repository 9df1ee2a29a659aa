"""A VM that its hypervisor holds where it is.

Suspended for want of room in a storage pool, it goes on once there is some. Suspended for another error of a disk, it is let go on
a few times, later and later, and then left to people. One that somebody suspended stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.inventory import HostLink, PoolRegistry
from controller.runtime.backoff import Backoff
from controller.runtime.context import Context
from controller.runtime.results import Done, Failed, Requeue, Result, Waiting, failed, waiting
from controller.shared.translate import has_files, pool_spec
from controller.vm.report import DISK_ERROR, FULL, HALTED, SUSPENDED, SYNCED
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.virtualmachine import PowerState, VirtualMachine
from drivers.types import DiskFailure, ObservedVM, Power

LOOK = 30.0
"""Seconds between two looks at what a suspended VM waits for."""
ROOM = 64 << 20
"""Bytes that a pool must have free: with less, the guest would be suspended again at once."""
TRIES = 5
"""How often a VM is let go on after an error that is not a want of room."""
FIRST_DELAY, LONGEST_DELAY = 15.0, 600.0
"""Seconds until the second try, twice as many until the next, and so on."""
_BACKOFF = Backoff(FIRST_DELAY, LONGEST_DELAY)
CALM = 900.0
"""A VM that has run for so many seconds has got over it: its tries count anew."""
_BY_HAND_LOOKS = 15.0
_PATIENCE = 2.0
_LONGEST_NAME, _MOST_NAMED = 64, 8
"""A hypervisor may say more."""


@dataclass(slots=True)
class _Row:
    """Tries of one VM, whose spec is of this generation, after one sort of failure.

    `since`: when it was first seen suspended, None while it is not; `due`: when it may be let go on again; `runs`: since when it
    was seen to run. Monotonic seconds.
    """

    generation: int
    full: bool
    since: float | None = None
    due: float = 0.0
    runs: float | None = None
    tries: int = 0


class Suspension:
    """Tries are not durable: another process counts anew."""

    def __init__(self, pools: PoolRegistry) -> None:
        self._pools = pools
        self._rows: dict[str, _Row] = {}

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._rows.pop(uid, None)

    async def take(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM) -> Result | None:
        """Let the VM go on if it is time for that. Why it stays suspended; None if it does not, or no longer: look again.

        Raises DriverError.
        """
        if have.power is not Power.PAUSED:
            self._goes(ctx, have)
            return None
        if not have.failures:
            text = f"suspended by hand on host {link.name}: resume it there, or restart it"
            return _told(ctx, waiting(SUSPENDED, text, retry_after=_BY_HAND_LOOKS))
        if not _named(have):
            if unfit := await self._unfit(ctx, link, have, full=True):
                then = f"it goes on once storage pool {unfit} is usable and has room"
                text = f"suspended on host {link.name}: {_described(have.failures)}; {then}"
                return _told(ctx, waiting(DISK_ERROR, text, retry_after=LOOK))
            have = await link.observe(have.instance, fresh=True) or have
            if have.power is not Power.PAUSED or not have.failures:
                return None
        row = self._suspended(ctx, full=_full(have))
        stays = await self._stays(ctx, link, have, row)
        if stays is not None:
            return _told(ctx, stays)
        now = ctx.clock.monotonic()
        row.tries, row.due = row.tries + 1, now + _BACKOFF.delay(row.tries)
        row.since = row.runs = None
        await link.resume(have.instance)
        ctx.event("Normal", "Resumed", f"let go on, after {_described(have.failures)}")
        return None

    async def beside(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM, why: Result) -> Result:
        """The same for a VM that is not driven, for what `why` says, if it is declared on. Returns how its reconcile ends.

        That stays `why`, unless nobody would look at the VM any more, which waits to go on. Raises DriverError.
        """
        if ctx.object.spec.power_state is PowerState.OFF:
            return why
        halted = await self.take(ctx, link, have)
        if halted is None and have.power is Power.PAUSED:
            have = await link.observe(have.instance) or have
        told = ctx.conditions.get(SYNCED)
        if have.power is Power.ON and told is not None and told.reason in HALTED:
            ctx.conditions.set(SYNCED, True, "AsDeclared")
        return _sooner(why, halted) if isinstance(halted, Waiting) else why

    def tell(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM) -> None:
        """Say that an error of a disk has suspended a VM that must not be touched now, if it is declared on."""
        if ctx.object.spec.power_state is PowerState.ON and have.power is Power.PAUSED and have.failures:
            reason = FULL if _full(have) else DISK_ERROR
            _told(ctx, waiting(reason, f"suspended on host {link.name}: {_described(have.failures)}"))

    def _goes(self, ctx: Context[VirtualMachine], have: ObservedVM) -> None:
        row = self._rows.get(ctx.uid)
        if have.power is Power.OFF:
            self.forget(ctx.uid)
        elif row is not None and have.power is Power.ON and row.runs is None:
            row.runs = ctx.clock.monotonic()

    def _suspended(self, ctx: Context[VirtualMachine], *, full: bool) -> _Row:
        row, now, wish = self._rows.get(ctx.uid), ctx.clock.monotonic(), (ctx.object.metadata.generation, full)
        if row is None or (row.generation, row.full) != wish or (row.runs is not None and now - row.runs >= CALM):
            row = self._rows[ctx.uid] = _Row(*wish)
        if row.since is None:
            row.since, row.runs = now, None
        return row

    async def _stays(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM, row: _Row) -> Waiting | Failed | None:
        """Why the VM is not let go on now. The words are the same at each look: each difference is a write."""
        reason, text = FULL if row.full else DISK_ERROR, f"suspended on host {link.name}: {_described(have.failures)}"
        if not row.full and row.tries >= TRIES:
            remedy = f"let go on {TRIES} times, and failed again: mend the disk, then resume the VM on the host, or restart it"
            return failed(reason, f"{text}; {remedy}", terminal=True)
        text += "; it goes on by itself once there is room" if row.full else "; it is let go on by itself a few times"
        now = ctx.clock.monotonic()
        age = now - (now if row.since is None else row.since)
        if await self._unfit(ctx, link, have, age, full=row.full):
            return waiting(reason, text, retry_after=LOOK)
        left = row.due - ctx.clock.monotonic()
        return waiting(reason, text, retry_after=left) if left > 0 else None

    async def _unfit(
        self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM, age: float = 0.0, *, full: bool = False
    ) -> str:
        """A pool that can't be written to, as the host has said within `age` seconds, or has no room, if that is why; else ""."""
        for name in _pools(have):
            pool = ctx.store.get(StoragePool, name)
            if pool is None or not has_files(pool):
                continue
            seen = await self._pools.look(pool_spec(pool), link.name, older_than=min(age, LOOK), patience=_PATIENCE)
            if seen is None or (full and pool.spec.lvm is None and seen.available < ROOM):
                return name
        return ""


def _told(ctx: Context[VirtualMachine], stays: Waiting | Failed) -> Result:
    known = ctx.conditions.get(SYNCED)
    if stays.reason != SUSPENDED and (known is None or known.reason != stays.reason or isinstance(stays, Failed)):
        ctx.event("Warning", stays.reason, stays.message)
    ctx.conditions.set(SYNCED, False, stays.reason, stays.message)
    return stays


def _sooner(why: Result, halted: Waiting) -> Result:
    """`why`, but looked at again when the suspended VM is; what would never be is that VM's own result."""
    match why:
        case Waiting() | Failed(terminal=False):
            return replace(why, retry_after=min(filter(None, (why.retry_after, halted.retry_after)), default=None))
        case Failed():
            return halted
        case Done() | Requeue():
            return why


def _full(have: ObservedVM) -> bool:
    """Whether the VM lacks nothing but room."""
    return all(each.full for each in have.failures)


def _pools(have: ObservedVM) -> list[str]:
    """The storage pools of the disks that failed; where it is not known which did, of all that the VM has."""
    everywhere = {disk.pool for disk in have.disks} | {volume.pool for volume in have.volumes}
    return sorted(({each.pool for each in have.failures} if _named(have) else everywhere) - {""})


def _named(have: ObservedVM) -> bool:
    """Whether it is known which disks failed. That a hypervisor may have to be asked for, which hangs while a server is away."""
    return all(each.name for each in have.failures)


def _described(failures: Sequence[DiskFailure]) -> str:
    """For people: which disks, in which pools, and what was wrong with them."""
    return "; ".join(
        ("no room for " if each.full else "I/O error of ")
        + (f"disk {each.name[:_LONGEST_NAME]}" if each.name else "a disk")
        + (f" in storage pool {each.pool}" if each.pool else "")
        for each in failures[:_MOST_NAMED]
    )
