"""DesiredVM × HostProfile → domain XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from drivers.errors import InvalidSpec
from drivers.kvm import mark, names
from drivers.kvm.domain import disks, memory, nics, platform, volumes
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.mark import MarkedVolume
from drivers.kvm.xmltext import add
from drivers.types import DesiredVM

Attached = tuple[MarkedVolume, volumes.Medium]


def build(vm: DesiredVM, host: HostProfile, seed_path: str = "", attached: Sequence[Attached] = ()) -> ET.Element:
    """The domain, powered off, with our owner mark; `attached` are its volumes, each with its medium.

    Raises InvalidSpec for what the host cannot have.
    """
    _check_names(vm)
    root = ET.Element("domain", {"type": host.domain_type})
    add(root, "name", text=names.domain(vm.name, vm.instance))
    add(root, "uuid", text=names.instance_id(vm.instance))
    add(root, "metadata").append(mark.build(mark.of(vm, tuple(volume for volume, _ in attached))))
    platform.add_processors(root, vm, host)
    memory.write(root, vm.memory, room=memory.addable(vm.memory, vm.devices, supported=host.adds_memory))
    platform.add_firmware(root, vm, host)
    platform.add_behaviour(root, host)
    root.append(_devices(vm, host, seed_path, attached))
    return root


def _devices(vm: DesiredVM, host: HostProfile, seed_path: str, attached: Sequence[Attached]) -> ET.Element:
    devices = ET.Element("devices")
    add(devices, "emulator", text=host.emulator)
    disks.add_disks(devices, vm)
    if seed_path:
        devices.append(disks.seed_disk(seed_path, vm.devices))
    wanted = {each.volume: each for each in vm.volumes}
    devices.extend([volumes.build(volume, medium, wanted[volume.volume]) for volume, medium in attached])
    devices.extend([nics.build(nic, vm.devices, filters=host.filters) for nic in vm.nics])
    log = f"{names.CONSOLE_LOGS}/{names.console_log(vm.instance)}"
    growth = int(memory.addable(vm.memory, vm.devices, supported=host.adds_memory))
    platform.add_fixtures(devices, len(vm.disks) + len(vm.nics) + growth, log)
    if host.tells_panics:
        platform.add_panic(devices)
    return devices


def _check_names(vm: DesiredVM) -> None:
    if not vm.owner.uid:
        raise InvalidSpec("a VM needs an owner")
    for volume in vm.volumes:
        names.label(volume.name)
    for what, listed in (
        ("disk", [*(disk.name for disk in vm.disks), *(volume.name for volume in vm.volumes)]),
        ("NIC", [nic.name for nic in vm.nics]),
    ):
        if len(listed) != len(set(listed)):
            raise InvalidSpec(f"two {what}s of the VM have the same name")
    if len(vm.nics) != len({nic.mac for nic in vm.nics}):
        raise InvalidSpec("two NICs of the VM have the same MAC address")
