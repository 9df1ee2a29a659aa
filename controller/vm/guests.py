"""When guests are asked what they say: where a look at all VMs does not tell it, and no event that a guest has changed its mind.

A hypervisor tells when an agent comes and goes. Of a lease that brings another address, or of another host name, none tells.
"""

from __future__ import annotations

from math import inf
from zlib import crc32

from controller.inventory import HostLink
from controller.runtime.context import Context
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.errors import DriverError
from drivers.types import ObservedVM, Power

PERIOD = 600.0
"""Seconds between two questions to a guest that has told its addresses, and about the most to any other."""

MOST_AT_ONCE = 8
"""Guests that are asked at the same time, of one host never two: an agent that is silent holds a worker for seconds, and a thread
of its host's."""

_TURN = 30.0  # about so many seconds until one comes again whose turn it was not
_SOON = 1.0
_LOOKS = 5.0
_PATIENCE = 300.0
_CRC32 = 1 << 32


class Guests:
    """When each VM's guest is asked next, by the VM's uid. In memory: after a restart of the controller it is spread anew."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._asking: set[str] = set()

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._due.pop(uid, None)

    async def news(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM) -> bool:
        """Ask the guest if it is time; whether the VM is no longer as it was seen, in whatever way.

        Nothing hangs on the answer: that a host gives none is for those to tell who look after it.
        """
        if have.power is not Power.ON or _told_by_looks(ctx, link):
            self.forget(ctx.uid)
            return False
        now = ctx.clock.monotonic()
        if not have.guest.agent or self._due.get(ctx.uid, now + 1) > now:
            return False
        if link.name in self._asking or len(self._asking) >= MOST_AT_ONCE:
            self._due[ctx.uid] = now + _TURN * (0.5 + _share(ctx))
            return False
        self._due[ctx.uid] = _next(ctx, now)
        self._asking.add(link.name)
        try:
            return await link.observe(have.instance, fresh=True) != have
        except DriverError as error:
            ctx.log.info("guest not asked", reason=error.reason, error=str(error))
            return False
        finally:
            self._asking.discard(link.name)

    def again(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM) -> float | None:
        """Seconds until the VM is looked at for its guest's sake, None if events tell.

        One whose agent has told no address is asked at once, and ever more seldom. Where no agent is connected the VM is looked at
        for some minutes after a start; then events of the hypervisor must tell.
        """
        guest, since = ctx.object.status.guest, _since_last_job(ctx)
        told = guest is not None and bool(guest.addresses)
        if have.guest.agent and not _told_by_looks(ctx, link):
            return self._wait(ctx, PERIOD if told else min(max(_LOOKS, since / 10), PERIOD))
        silent = ctx.object.status.state == VirtualMachineState.RUNNING and not told
        return _LOOKS if silent and since < _PATIENCE else None

    def _wait(self, ctx: Context[VirtualMachine], longest: float) -> float:
        """Seconds until the guest is asked, `longest` at most where that is less than a period."""
        now = ctx.clock.monotonic()
        due = self._due.get(ctx.uid, _next(ctx, now))
        if longest < PERIOD:
            due = min(due, now + longest)
        self._due[ctx.uid] = due
        return max(_SOON, due - now)


def _next(ctx: Context[VirtualMachine], now: float) -> float:
    """When the guest is asked next, half a period from now to one and a half.

    Each has a time of its own in every period: those that once were asked together, as they were all due, are not the next time.
    """
    earliest = now + PERIOD / 2
    return earliest + (PERIOD * _share(ctx) - earliest) % PERIOD


def _share(ctx: Context[VirtualMachine]) -> float:
    """From 0 to 1, another for each VM."""
    return crc32(ctx.uid.encode()) / _CRC32


def _told_by_looks(ctx: Context[VirtualMachine], link: HostLink) -> bool:
    """Whether looks at all VMs are enough: not for one of which nothing is known yet, since the next may be minutes away."""
    return link.tells_guests and ctx.object.status.guest is not None


def _since_last_job(ctx: Context[VirtualMachine]) -> float:
    """Seconds since the last job ended; infinite if there was none."""
    job = ctx.object.status.job
    ended = job.completed_at if job else None
    return (ctx.clock.now() - ended.datetime).total_seconds() if ended else inf
