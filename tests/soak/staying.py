"""VMs that stay on the hypervisor without an object: somebody's own, and those that users let go of. Users take them over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from drivers.simulator.engine.census import Census, CensusVM
from drivers.types import Power
from tests.soak.declared import VM, Declared, Seen, Stay
from tests.soak.outside import Outside
from tests.soak.site import Site
from tests.soak.users import FIRST
from tests.support.live import manifests as make

MOST = 8
"""When so many are adopted or left, none is added before one is removed."""


class Staying:
    """Each operation returns what was done, in words, or "" when nothing could be done.

    Only what was at rest is let go or adopted: since the last calm nothing was asked of it, nobody touched it, and its host did not
    crash. So it is known how it has to stay.
    """

    def __init__(self, site: Site, declared: Declared, outside: Outside, random: Random) -> None:
        self._site = site
        self._declared = declared
        self._outside = outside
        self._random = random
        self._made = 0
        self._crashes = site.crashes.copy()
        self._table: list[tuple[int, Callable[[], str]]] = [(3, self.retain), (5, self.adopt), (2, self.let_go), (1, self.remove)]

    def act(self) -> str:
        """One operation, if it is possible now."""
        [operation] = self._random.choices([each for _, each in self._table], [weight for weight, _ in self._table])
        return operation()

    def retain(self) -> str:
        """The object of a VM goes, the VM stays with its mark: `deletionPolicy: Retain`."""
        free = [vm for vm in self._declared.vms.values() if self._at_rest(vm)]
        if not free or self._full():
            return ""
        vm, census, api = self._random.choice(free), self._site.cloud.control.census(), self._site.cloud.api
        uid = (api.get("VirtualMachine", vm.name) or {})["metadata"]["uid"]
        have = next((each for each in census.vms if each.owner == uid), None)
        if have is None or not self._quiet(have):
            return ""
        api.patch("VirtualMachine", vm.name, {"spec": {"deletionPolicy": "Retain"}})
        api.delete("VirtualMachine", vm.name)
        del self._declared.vms[vm.name]
        self._declared.left[have.instance] = Stay(have.instance, vm.offering, vm.networks, self._seen(census, have), owner=uid)
        return f"retain {have.name}"

    def adopt(self) -> str:
        """Somebody's VM, or one that was let go, becomes a declared one as it is."""
        census = self._site.cloud.control.census()
        found = [vm for vm in census.vms if self._quiet(vm) and (stay := self._stay(census, vm)) and stay.settled]
        if not found or len(self._declared.adopted) >= MOST:
            return ""
        have = self._random.choice(found)
        stay = self._stay(census, have)
        assert stay
        self._made += 1
        name = f"adopted-{self._made}"
        spec: dict[str, Any] = {"adopt": {"instanceID": have.instance, "mode": "Adopt"}, "offering": stay.offering, "zone": "z"}
        spec |= {"powerState": "On" if stay.before.power is Power.ON else "Off"}
        spec |= {"networks": [{"name": each, "network": each} for each in stay.networks]}
        self._site.cloud.api.apply(make.manifest("VirtualMachine", name, **spec))
        self._outside.foreign = [each for each in self._outside.foreign if each != f"{have.host}/{have.instance}"]
        self._declared.left.pop(have.instance, None)
        stay.settled = False
        self._declared.adopted[name] = stay
        return f"adopt {have.name} as {name}"

    def let_go(self) -> str:
        """An adopted VM loses its object and its mark, and stays."""
        if not (name := self._adopted()):
            return ""
        self._site.cloud.api.delete("VirtualMachine", name)
        stay = self._declared.adopted.pop(name)
        stay.owner, stay.settled = "", False
        self._declared.left[stay.instance] = stay
        return f"let go of {name}"

    def remove(self) -> str:
        """An adopted VM goes with its object: `deletionPolicy: Delete`."""
        if not (name := self._adopted()):
            return ""
        self._site.cloud.api.patch("VirtualMachine", name, {"spec": {"deletionPolicy": "Delete"}})
        self._site.cloud.api.delete("VirtualMachine", name)
        del self._declared.adopted[name]
        return f"remove {name}"

    def calm(self) -> None:
        """All is as declared: what lost its power with its host counts as it is now."""
        census = self._site.cloud.control.census()
        vms = {vm.instance: vm for vm in census.vms}
        for stay in self._declared.staying():
            if self._site.crashes[stay.before.host] != stay.before.crashes:
                stay.before = self._seen(census, vms[stay.instance])
        self._crashes = self._site.crashes.copy()

    def _at_rest(self, vm: VM) -> bool:
        asked = vm.changed or vm.held or vm.read or vm.storing
        return vm.settled and not asked and not vm.volumes and not self._declared.of_vm(vm.name)

    def _quiet(self, vm: CensusVM) -> bool:
        return self._site.crashes[vm.host] == self._crashes[vm.host]

    def _full(self) -> bool:
        return len(self._declared.staying()) >= MOST

    def _adopted(self) -> str:
        found = [name for name, stay in self._declared.adopted.items() if stay.settled]
        return self._random.choice(found) if found else ""

    def _stay(self, census: Census, vm: CensusVM) -> Stay | None:
        """What is known of a VM without an object; None if it has one, or nothing that Vireo could manage."""
        if vm.instance in self._declared.left:
            return self._declared.left[vm.instance]
        if f"{vm.host}/{vm.instance}" not in self._outside.foreign or not vm.nics or self._full():
            return None
        return Stay(vm.instance, "small", [FIRST], self._seen(census, vm), settled=True)

    def _seen(self, census: Census, vm: CensusVM) -> Seen:
        return seen(census, vm, self._site.crashes[vm.host])


def seen(census: Census, vm: CensusVM, crashes: int) -> Seen:
    """A VM as it is."""
    nics = frozenset((nic.mac, nic.segment.vlan) for nic in vm.nics)
    disks = frozenset((disk.path, disk.size, disk.content) for disk in census.disks if disk.instance == vm.instance)
    return Seen(vm.host, vm.power, vm.starts, vm.cpus, vm.memory, nics, disks, crashes)


def disturbed(site: Site, declared: Declared, census: Census) -> Iterator[str]:
    """What is not as it was of VMs that were let go or adopted, in words."""
    for stay in declared.staying():
        there = [vm for vm in census.vms if vm.instance == stay.instance]
        if len(there) != 1:
            yield f"{stay.instance}, which was to stay, is there {len(there)} times"
            continue
        [vm] = there
        now = seen(census, vm, site.crashes[vm.host])
        if now.crashes == stay.before.crashes and now != stay.before:
            yield f"{vm.name}, which was to stay as it was, is {now}, was {stay.before}"
        if stay.instance in declared.left and vm.owner != stay.owner:
            yield f"{vm.name}, which has no object, carries the mark {vm.owner!r}, not {stay.owner!r}"


def shared_addresses(census: Census) -> Iterator[str]:
    """Addresses that two VMs have in one segment, whosever they are."""
    holders: dict[tuple[int | None, str], list[str]] = {}
    for vm in census.vms:
        for nic in vm.nics:
            if nic.ip:
                holders.setdefault((nic.segment.vlan, nic.ip), []).append(vm.name)
    yield from (f"{ip} in VLAN {vlan} is {' and '.join(names)}'s" for (vlan, ip), names in holders.items() if len(names) > 1)
