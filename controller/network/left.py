"""NICs that are in use though no object declares them: recorded with their Network, and free again once nobody has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from pydantic import ValidationError

from controller.inventory import Inventory
from controller.placing.left import LeftNICs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.instances import adopted
from controller.shared.leaving import left_nic, nics_of
from controller.shared.lookups import hosts_with_orphans, qualified, vms_by_adopted, vms_leaving
from crds.v1alpha1.host import Host
from crds.v1alpha1.network import MOST_LEFT, LeftNIC, Network
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.errors import Conflict, DriverError
from drivers.types import Capability, InstanceID, ObservedNIC, ObservedVM

FREE = "vireo.dev/free-left"
"""Annotation: the UUIDs, comma-separated, of VMs that are known to be gone though nobody can look; `*` for all."""

LOOKS, LOOKS_WHILE_WAITED_FOR = 600.0, 60.0
"""Seconds between two looks at a VM that no event tells of: it has no owner mark of ours any more. The second is for one that a
deletion waits for."""
_EARLY = 0.9
"""Part of that time after which a hypervisor is asked again."""

_Name = tuple[str, str]
"""Instance, NIC."""


class Left:
    """Of VMs that stay when their object goes, and of those whose object was lost."""

    def __init__(self, inventory: Inventory, nics: LeftNICs) -> None:
        self._inventory = inventory
        self._nics = nics
        self._looked: dict[str, tuple[float, frozenset[str]]] = {}

    async def look(self, ctx: Context[Network]) -> float | None:
        """Bring the status up to date and hold what is in it. Returns the seconds until the next look, None if none is needed."""
        status = ctx.object.status
        before = {_name(each): each for each in status.left}
        going = {_name(each): each for each in self._leaving(ctx)}
        found = {**before, **{_name(each): each for each in self._orphaned(ctx)}, **going}
        freed = ctx.object.metadata.annotations.get(FREE, "").replace(" ", "").split(",")
        stays = {name for name, each in found.items() if name in going or await self._stays(ctx, each, freed)}
        status.left = [found[name] for name in sorted(stays)][:MOST_LEFT]
        if len(stays) > MOST_LEFT:
            ctx.event("Warning", "TooManyLeft", f"{len(stays)} NICs are left in hypervisors; only {MOST_LEFT} keep their addresses")
        for name in before.keys() - stays:
            self._nics.free(before[name])
            self._looked.pop(name[0], None)
        self._nics.hold(ctx.object)
        return _looks(ctx) if status.left else None

    def networks(self, host: Host, store: Store) -> Iterable[Key]:
        """For a watch on Hosts: the Networks of their orphans."""
        seen = (self._seen(each.instance_id) for each in host.status.orphans)
        return {Key.named(Network.KIND, nic.network) for vm in seen if vm for nic in vm.nics}

    def _leaving(self, ctx: Context[Network]) -> Iterator[LeftNIC]:
        key = qualified(ctx.key.namespace, ctx.key.name)
        for vm in vms_leaving.of(ctx.store, key):
            yield from (left_nic(vm, nic) for nic in nics_of(vm) if nic.network == key)

    def _orphaned(self, ctx: Context[Network]) -> Iterator[LeftNIC]:
        key = qualified(ctx.key.namespace, ctx.key.name)
        for host in hosts_with_orphans.of(ctx.store, "True"):
            for orphan in host.status.orphans:
                vm = self._seen(orphan.instance_id)
                for nic in vm.nics if vm else ():
                    if vm and nic.network == key and (entry := _entry(host.metadata.name, vm, nic)):
                        yield entry

    def _seen(self, instance: str) -> ObservedVM | None:
        found = self._inventory.find(InstanceID(instance))
        return found[1] if found else None

    async def _stays(self, ctx: Context[Network], each: LeftNIC, freed: Collection[str]) -> bool:
        """Whether a NIC is still in use without an object, as far as can be told: what nobody can look at is."""
        if _declared(each, ctx.store) or each.instance_id in freed or "*" in freed:
            return False
        instance, host = InstanceID(each.instance_id), each.host or ""
        if found := self._inventory.find(instance):
            host, seen = found[0], await self._again(*found)
            if seen is not None:
                return any(nic.mac == each.mac for nic in seen.nics)
        macs = await self._macs(ctx, instance, host)
        return macs is None or each.mac in macs

    async def _again(self, host: str, seen: ObservedVM) -> ObservedVM | None:
        """The VM as it is now, if something has happened to it and the host answers; None if it has no mark of ours any more."""
        link = self._inventory.link(host)
        if link is None or not link.up or link.settled(seen.instance):
            return seen
        try:
            return await link.observe(seen.instance)
        except Conflict:
            link.let_go(seen.instance)
            return None
        except DriverError:
            return seen

    async def _macs(self, ctx: Context[Network], instance: InstanceID, host: str) -> frozenset[str] | None:
        """MAC addresses of a VM without a mark of ours on the host where it was left, none if it is gone; None if nobody knows."""
        link = self._inventory.link(host)
        if link is None or not link.up or not link.observed or not link.settled(instance):
            return None
        if Capability.ADOPTION not in link.capabilities:
            return frozenset()  # such a hypervisor leaves no VM without its mark
        now, known = ctx.clock.monotonic(), self._looked.get(instance)
        if known is None or now - known[0] >= _looks(ctx) * _EARLY:
            try:
                found = await self._inventory.look_for(instance, host)
            except DriverError as error:
                ctx.log.info("a VM that was left was not looked for", host=host, reason=error.reason, error=str(error))
                return None
            known = self._looked[instance] = now, frozenset(nic.mac for _, vm in found for nic in vm.nics)
        return known[1]


def _looks(ctx: Context[Network]) -> float:
    return LOOKS_WHILE_WAITED_FOR if ctx.deleting else LOOKS


def stayed(left: Iterable[LeftNIC]) -> list[str]:
    """The VMs of these NICs in words: where each is, and whose it was."""
    return sorted({f"VM {each.instance_id} on host {each.host or 'unknown'}, left by {each.virtual_machine}" for each in left})


def _declared(each: LeftNIC, store: Store) -> bool:
    """Whether an object is there that has the VM, and so holds what it needs by itself."""
    if store.uid(Key.named(VirtualMachine.KIND, each.virtual_machine)) == each.uid:
        return True
    return any(adopted(vm) for vm in vms_by_adopted.of(store, each.instance_id))


def _entry(host: str, vm: ObservedVM, nic: ObservedNIC) -> LeftNIC | None:
    """What is to be recorded of a NIC as a hypervisor tells of it; None if that is nonsense."""
    with suppress(ValidationError):
        return LeftNIC(
            instance_id=vm.instance,
            name=nic.name,
            virtual_machine=qualified(vm.owner.namespace, vm.owner.name),
            uid=vm.owner.uid,
            host=host,
            mac=nic.mac,
            ip=nic.ip or None,
        )
    return None


def _name(each: LeftNIC) -> _Name:
    return each.instance_id, each.name
