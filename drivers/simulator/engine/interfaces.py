"""NICs of a VM, and where they are plugged in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from drivers.adoption import FoundNIC
from drivers.types import Attachment, DesiredNIC, Moved, NetworkBackend, ObservedNIC, Segment

from .model import VM, Port

__all__ = ["attach", "detach", "found_nics", "in_place", "move", "observed_nic", "observed_nics", "port_of", "renamed"]


def observed_nic(nic: DesiredNIC) -> ObservedNIC:
    """What is recorded of a NIC."""
    return ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip)


def port_of(nic: DesiredNIC) -> Port:
    """Where a NIC is to be."""
    return Port(nic.attachment.bridge, nic.segment)


def observed_nics(vm: VM) -> tuple[ObservedNIC, ...]:
    """All NICs, and which of them somebody has moved."""
    if not vm.moved:
        return tuple(vm.nics.values())
    return tuple(replace(nic, moved=_moved(vm, name)) for name, nic in vm.nics.items())


def _moved(vm: VM, name: str) -> Moved | None:
    now = vm.moved.get(name)
    return None if now is None else Moved(str(vm.ports.get(name, vm.nics[name].segment)), str(now))


def found_nics(vm: VM) -> tuple[FoundNIC, ...]:
    """All NICs where they are; of a VM without our mark nobody has given them a name."""
    return tuple(_found(nic, vm.moved.get(name), owned=vm.owner is not None) for name, nic in vm.nics.items())


def _found(nic: ObservedNIC, now: Port | None, *, owned: bool) -> FoundNIC:
    attachment = Attachment(NetworkBackend.OVS, now.bridge) if now else None
    known = (nic.name, nic.ip) if owned else ("", "")
    return FoundNIC(nic.mac, now.segment if now else nic.segment, attachment, *known)


def in_place(vm: VM, nic: DesiredNIC) -> bool:
    """Whether the VM has this very NIC where it was made."""
    return vm.nics.get(nic.name) == observed_nic(nic) and nic.name not in vm.moved


def attach(vm: VM, nic: DesiredNIC) -> None:
    """Add a NIC, or put it back in its place."""
    vm.nics[nic.name], vm.ports[nic.name] = observed_nic(nic), port_of(nic)
    vm.moved.pop(nic.name, None)


def detach(vm: VM, name: str) -> None:
    """Remove a NIC. Raises KeyError."""
    del vm.nics[name]
    vm.ports.pop(name, None)
    vm.moved.pop(name, None)


def move(vm: VM, value: str) -> None:
    """`NIC=BRIDGE/VLAN`: plug a NIC in elsewhere; an empty VLAN is untagged. Raises ValueError for a NIC that isn't there."""
    name, _, place = value.partition("=")
    bridge, _, vlan = place.partition("/")
    if name not in vm.nics or not bridge:
        raise ValueError(value)
    now = Port(bridge, Segment(int(vlan) if vlan else None))
    if vm.ports.get(name) == now:
        vm.moved.pop(name, None)
    else:
        vm.moved[name] = now


def renamed(vm: VM, nics: Mapping[str, ObservedNIC], ports: Mapping[str, Port]) -> None:
    """Give a VM these NICs in place of its own, by their names until now, and where they count as made; they stay plugged in."""
    there = {nics[name].name: now for name, now in vm.moved.items() if name in nics}
    vm.nics = {nic.name: nic for nic in nics.values()}
    vm.ports = dict(ports)
    vm.moved = {name: now for name, now in there.items() if ports.get(name) != now}
