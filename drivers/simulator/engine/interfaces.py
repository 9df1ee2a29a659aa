"""NICs of a VM, and where they are plugged in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from drivers.adoption import FoundNIC
from drivers.types import Attachment, DesiredNIC, Moved, NetworkBackend, ObservedNIC, Segment, Unplugged

from .model import VM, Host, Port

__all__ = [
    "attach",
    "detach",
    "found_nics",
    "in_place",
    "move",
    "observed_nic",
    "observed_nics",
    "place",
    "port_of",
    "read_port",
    "renamed",
]


def observed_nic(nic: DesiredNIC) -> ObservedNIC:
    """What is recorded of a NIC."""
    return ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip)


def port_of(nic: DesiredNIC) -> Port:
    """Where a NIC is to be."""
    return Port(nic.attachment.bridge, nic.segment)


def place(vm: VM, name: str) -> Port | None:
    """Where a NIC is to be plugged in now; None for one that nobody has said that of."""
    return vm.moved.get(name) or vm.ports.get(name)


def observed_nics(vm: VM, host: Host) -> tuple[ObservedNIC, ...]:
    """All NICs, and which of them somebody has moved, or has taken the network from."""
    if not (vm.moved or vm.unplugged):
        return tuple(vm.nics.values())
    return tuple(replace(nic, moved=_moved(vm, name), unplugged=_unplugged(vm, host, name)) for name, nic in vm.nics.items())


def _unplugged(vm: VM, host: Host, name: str) -> Unplugged | None:
    """In the words of the place where it was made, as that is where it is put back."""
    made = vm.ports.get(name)
    return Unplugged(str(made), host.lacks(made)) if name in vm.unplugged and made is not None else None


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
    """Whether the VM has this very NIC where it was made, and plugged in."""
    return vm.nics.get(nic.name) == observed_nic(nic) and nic.name not in vm.moved.keys() | vm.unplugged


def attach(vm: VM, nic: DesiredNIC) -> None:
    """Add a NIC, or put it back in its place."""
    vm.nics[nic.name], vm.ports[nic.name] = observed_nic(nic), port_of(nic)
    vm.moved.pop(nic.name, None)
    vm.unplugged -= {nic.name}


def detach(vm: VM, name: str) -> None:
    """Remove a NIC. Raises KeyError."""
    del vm.nics[name]
    vm.ports.pop(name, None)
    vm.moved.pop(name, None)
    vm.unplugged -= {name}


def move(vm: VM, value: str) -> None:
    """`NIC=BRIDGE/VLAN`: plug a NIC in elsewhere; an empty VLAN is untagged. Raises ValueError for a NIC that isn't there."""
    name, _, where = value.partition("=")
    if name not in vm.nics:
        raise ValueError(value)
    now = read_port(where)
    if vm.ports.get(name) == now:
        vm.moved.pop(name, None)
    else:
        vm.moved[name] = now


def read_port(text: str) -> Port:
    """BRIDGE/VLAN, without a VLAN untagged. Raises ValueError."""
    bridge, _, vlan = text.partition("/")
    if not bridge:
        raise ValueError(text)
    return Port(bridge, Segment(int(vlan) if vlan else None))


def renamed(vm: VM, nics: Mapping[str, ObservedNIC], ports: Mapping[str, Port]) -> None:
    """Give a VM these NICs in place of its own, by their names until now, and where they count as made; they stay plugged in."""
    there = {nics[name].name: now for name, now in vm.moved.items() if name in nics}
    vm.unplugged = frozenset(nics[name].name for name in vm.unplugged if name in nics)
    vm.nics = {nic.name: nic for nic in nics.values()}
    vm.ports = dict(ports)
    vm.moved = {name: now for name, now in there.items() if ports.get(name) != now}
