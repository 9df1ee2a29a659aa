"""VMs for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drivers.types import (
    ApplyMode,
    AttachedVolume,
    Attachment,
    AttachNIC,
    AttachVolume,
    Change,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    DetachVolume,
    GrowDisk,
    HostID,
    InstanceID,
    NetworkBackend,
    ObservedDisk,
    ObservedNIC,
    ObservedVM,
    Owner,
    PoolSpec,
    Power,
    Seed,
    Segment,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    VolumeAttachment,
    VolumeID,
)
from tests.support.vms import VMCloud, site, vm

GIB = 1 << 30
OWNER = Owner("u1", "shop", "web")
INSTANCE = InstanceID("00000000-0000-5000-8000-000000000001")
POOL = PoolSpec("p1", "/pools/p1")


def nic(name: str = "front", *, vlan: int = 100, mac: str = "02:00:00:00:00:01", ip: str = "10.0.0.5") -> DesiredNIC:
    return DesiredNIC(name, mac, "shop/front", Segment(vlan), Attachment(NetworkBackend.OVS, "ovsbr0"), ip)


def wanted(**changes: Any) -> DesiredVM:
    seed = Seed("meta", "net", b"data")
    vm = DesiredVM(INSTANCE, "shop-web", OWNER, 2, 2 * GIB, (DesiredDisk("root", POOL, 10 * GIB, "img"),), (nic(),), seed=seed)
    return replace(vm, **changes)


def mount(name: str, volume: str) -> VolumeAttachment:
    return VolumeAttachment(name, VolumeID(volume), POOL)


def as_made(vm: DesiredVM, power: Power = Power.ON) -> ObservedVM:
    """What a hypervisor shows of a VM made exactly as wanted."""
    return ObservedVM(
        instance=vm.instance,
        owner=vm.owner,
        name=vm.name,
        host=HostID("h1"),
        power=power,
        cpus=vm.cpus,
        memory=vm.memory,
        running_cpus=vm.cpus,
        running_memory=vm.memory,
        disks=tuple(ObservedDisk(d.name, d.pool.name, f"/{d.name}", d.size, d.limits) for d in vm.disks),
        nics=tuple(ObservedNIC(n.name, n.mac, n.network, n.segment, n.ip) for n in vm.nics),
        volumes=tuple(AttachedVolume(v.name, v.volume, v.pool.name, GIB, v.limits) for v in vm.volumes),
        seed_digest=vm.seed.digest if vm.seed else "",
    )


def carried_out(change: Change, have: ObservedVM, mode: ApplyMode) -> ObservedVM:
    """A model of what applying one change does to a VM: LIVE or off at once, RESTART to the definition only."""
    now = mode is ApplyMode.LIVE or have.power is Power.OFF
    match change:
        case SetCPUs(cpus):
            return replace(have, cpus=cpus, running_cpus=cpus if now else have.running_cpus)
        case SetMemory(memory):
            return replace(have, memory=memory, running_memory=memory if now else have.running_memory)
        case GrowDisk(name, size):
            return replace(have, disks=tuple(replace(d, size=size) if d.name == name else d for d in have.disks))
        case SetDiskLimits(name, limits):
            disks = tuple(replace(each, limits=limits) if each.name == name else each for each in have.disks)
            mounted = tuple(replace(each, limits=limits) if each.name == name else each for each in have.volumes)
            assert (disks, mounted) != (have.disks, have.volumes), "there is no such disk, or nothing to change"
            return replace(have, disks=disks, volumes=mounted)
        case AttachNIC(new):
            return replace(have, nics=(*have.nics, ObservedNIC(new.name, new.mac, new.network, new.segment, new.ip)))
        case DetachNIC(name):
            return replace(have, nics=tuple(n for n in have.nics if n.name != name))
        case SetSeed(seed):
            return replace(have, seed_digest=seed.digest)
        case AttachVolume(new):
            taken = {each.name for each in have.volumes} | {each.volume for each in have.volumes}
            assert not have.snapshots, "a snapshot forbids it"
            assert not {new.name, new.volume} & taken, "a hypervisor would refuse it"
            return replace(have, volumes=(*have.volumes, AttachedVolume(new.name, new.volume, new.pool.name, GIB, new.limits)))
        case DetachVolume(volume):
            assert not have.snapshots, "a snapshot forbids it"
            return replace(have, volumes=tuple(each for each in have.volumes if each.volume != volume))


async def running(cloud: VMCloud, extra: str = "") -> None:
    """A VM that has been made, with `extra` in its spec."""
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm(extra=extra))
    await cloud.settle(30)
    assert cloud.datacentre.vm().power in (Power.ON, Power.OFF)
