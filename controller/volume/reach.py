"""Through which host a volume is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from controller.inventory import HostLink
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, waiting
from controller.shared.reach import silent
from controller.shared.standing import standing
from controller.volume import job
from controller.volume.services import Services
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.volume import Volume, VolumeAttachment
from drivers.errors import DriverError
from drivers.types import Capability

_HOST_LOOKS = 5.0


class Reach:
    """Finds the host to call: that of the VM which has the volume, or any that has the pool."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def link(self, ctx: Context[Volume], pool: StoragePool) -> HostLink | Result:
        """A host that answers and has the pool ready; while a native task runs, the one that runs it."""
        name = pool.metadata.name
        if (only := self._only(ctx, pool)) is not None:
            link = self._services.inventory.link(only)
            if link is None or not link.up:
                if (link is None or not link.attempted) and (as_it_was := standing(ctx)):
                    return as_it_was
                return waiting("HostDown", silent(only, link), retry_after=_HOST_LOOKS)
            return link
        ready = list(self._ready(ctx, name))
        if not ready:
            if not all(link.attempted for link in self._services.inventory.links()) and (as_it_was := standing(ctx)):
                return as_it_was
            return waiting("PoolNotReady", f"no host that answers has storage pool {name} ready", retry_after=_HOST_LOOKS)
        able = [link for link in ready if Capability.VOLUMES in link.capabilities]
        if not able:
            return failed("VolumesUnsupported", f"no host that has storage pool {name} can manage volumes", terminal=True)
        return able[0]

    def _only(self, ctx: Context[Volume], pool: StoragePool) -> str | None:
        status = ctx.object.status
        running = job.current(ctx.object)
        if running is not None and (running.native_ref is not None or self._services.calls.under_way(ctx.uid)):
            return status.host
        found = status.pool == pool.metadata.name  # else the volume is still being looked for, in pools that the VM may not reach
        return status.attached_to.host if status.attached_to and found else None

    def _ready(self, ctx: Context[Volume], pool: str) -> Iterator[HostLink]:
        """Hosts that have the pool, the one used before first."""
        before = ctx.object.status.host
        for link in sorted(self._services.inventory.links(), key=lambda link: (link.name != before, link.name)):
            if link.up and self._services.pools.ready(pool, link.name):
                yield link


async def look_again(ctx: Context[Volume], services: Services) -> None:
    """See whether a VM without an object still has the volume: nobody else looks at it. Costs no call while nothing is said to have
    changed there; a host that can't tell leaves it as it was.
    """
    for user in services.attachments.having(ctx.object):
        link = services.inventory.link(user.host)
        if link is not None and link.up and services.attachments.declared(user) is None:
            with suppress(DriverError):
                await link.observe(user.instance)


def show_attachment(ctx: Context[Volume], services: Services) -> None:
    """Record who has the volume and where: for a VM without an object, nothing else remembers it."""
    user = next(iter(services.attachments.having(ctx.object)), None)
    if user is None:
        ctx.object.status.attached_to = None
        return
    ctx.object.status.attached_to = VolumeAttachment(
        virtual_machine=user.key.name, name=user.mount, host=user.host or None, instance_id=user.instance
    )
