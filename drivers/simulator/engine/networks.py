"""Networks of hosts that somebody takes away and brings back, and the NICs that are in the air meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.errors import NetworkMissing

from .datacentre import Datacentre
from .interfaces import place, read_port
from .model import VM, Host, Port, network

__all__ = ["heal", "lose", "plug", "require_networks", "require_place"]


def lose(dc: Datacentre, host: Host, value: str) -> None:
    """The host has this bridge, or as BRIDGE/VLAN this segment of one, no longer: what was plugged in there is in the air."""
    host.lost |= {_named(value)}
    dc.host_changed(host)
    for vm in host.vms.values():
        if cut := _cut(host, vm):
            vm.unplugged |= cut
            dc.vm_changed(vm)


def heal(dc: Datacentre, host: Host, value: str) -> None:
    """It is there again, with nothing plugged in: as on a real host, that is up to whoever wants it. Raises ValueError."""
    name = _named(value)
    if name not in host.lost:
        raise ValueError(value)
    host.lost -= {name}
    dc.host_changed(host)
    for vm in host.vms.values():
        if vm.unplugged:
            dc.vm_changed(vm)


def plug(host: Host, vm: VM, only: str = "") -> None:
    """Plug in what there is a place for on the host, as when a VM comes there, or `only` that NIC; leave the rest in the air."""
    cut = _cut(host, vm)
    vm.unplugged = (vm.unplugged - {only}) | (cut & {only}) if only else cut


def require_networks(host: Host, vm: VM) -> None:
    """Raises NetworkMissing if the VM can't run on the host, for want of what one of its NICs is to be plugged in to."""
    for name, port in _places(vm):
        require_place(host, name, port)


def require_place(host: Host, name: str, port: Port) -> None:
    """Raises NetworkMissing if there is nothing to plug the NIC `name` in to."""
    if host.lacks(port):
        raise NetworkMissing(f"host {host.host!r} has no {port}, which NIC {name!r} needs", native_code="SIM_NETWORK_MISSING")


def _places(vm: VM) -> Iterator[tuple[str, Port]]:
    return ((name, port) for name in vm.nics if (port := place(vm, name)) is not None)


def _cut(host: Host, vm: VM) -> frozenset[str]:
    """The NICs of a running VM for which there is no place."""
    return frozenset(name for name, port in _places(vm) if vm.has_power and host.lacks(port))


def _named(value: str) -> str:
    port = read_port(value)
    return network(port) if "/" in value else port.bridge
