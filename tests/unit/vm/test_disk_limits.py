"""Limits of disks from the offering: on every disk of the VM, from its first start on, and when it gets another offering."""

from __future__ import annotations

import pytest

from controller.vm.translate import limits_of
from crds.v1alpha1.serviceoffering import DiskLimits as Declared
from crds.v1alpha1.serviceoffering import ServiceOffering
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, DiskLimits, Power
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import mounted, mounts, volume

SLOW = DiskLimits(read_bytes=1 << 20, write_iops=100)
NONE = DiskLimits()
OFFERINGS = """
kind: ServiceOffering
metadata: {name: slow}
spec: {cpus: 2, memory: 2Gi, diskLimits: {readBytesPerSecond: 1Mi, writeIOPS: 100}}
---
kind: ServiceOffering
metadata: {name: free}
spec: {cpus: 2, memory: 2Gi}
"""


def slow_vm(extra: str = "") -> str:
    return vm(extra=extra).replace("offering: small", "offering: slow")


async def begin(cloud: VMCloud, *texts: str) -> None:
    cloud.apply(site(2))
    cloud.apply(OFFERINGS)
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
    await cloud.settle(30)


def limits(cloud: VMCloud) -> dict[str, DiskLimits]:
    return dict(cloud.datacentre.vm().limits)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (None, NONE),
        (Declared(read_iops=10), DiskLimits(read_iops=10)),
        (Declared(write_iops=11), DiskLimits(write_iops=11)),
        (Declared.model_validate({"readBytesPerSecond": "1Mi"}), DiskLimits(read_bytes=1 << 20)),
        (Declared.model_validate({"writeBytesPerSecond": 70000}), DiskLimits(write_bytes=70000)),
    ],
)
def test_from_the_offering(declared: Declared | None, wanted: DiskLimits) -> None:
    offering = ServiceOffering.model_validate({"metadata": {"name": "o"}, "spec": {"cpus": 1, "memory": "1Gi"}})
    offering.spec.disk_limits = declared
    assert limits_of(offering) == wanted


def test_a_vm_is_made_with_them_and_so_are_its_volumes() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), slow_vm(mounted("data")))
        assert cloud.reason() == ("True", "Running")
        assert limits(cloud) == {"root": SLOW, "data": SLOW}

    play(story)


def test_another_offering_changes_them_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), slow_vm(mounted("data")))
        starts = cloud.datacentre.vm().starts
        for offering, expected in (("free", NONE), ("slow", SLOW)):
            cloud.edit(offering=offering)
            await cloud.settle(20)
            assert cloud.reason() == ("True", "Running")
            assert limits(cloud) == {"root": expected, "data": expected}
            assert cloud.status("VirtualMachine", "shop/web")["job"]["command"] == "ScaleVirtualMachine"
        assert cloud.datacentre.vm().starts == starts

    play(story)


def test_a_volume_that_comes_later_comes_with_them_and_one_that_goes_is_free() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), slow_vm())
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(20)
        assert limits(cloud) == {"root": SLOW, "data": SLOW}
        cloud.edit(volumes=[])
        await cloud.settle(20)
        assert limits(cloud) == {"root": SLOW}

    play(story)


@pytest.mark.parametrize("name", ["root", "data"])
@pytest.mark.parametrize("policy", ["Report", "Correct"])
def test_limits_that_somebody_changed(name: str, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), slow_vm(f"driftPolicy: {policy}, {mounted('data')}"))
        cloud.datacentre.act(Act.SET_DISK_LIMITS, "web", f"{name}=0:0")
        await cloud.settle(20)
        if policy == "Correct":
            assert (cloud.reason(), limits(cloud)) == (("True", "Running"), {"root": SLOW, "data": SLOW})
            return
        assert cloud.reason() == ("False", "HardwareDrift")
        assert "changed on the hypervisor: disk limits" in cloud.text()
        assert limits(cloud)[name] == NONE
        cloud.datacentre.act(Act.SET_DISK_LIMITS, "web", f"{name}=0:0")
        cloud.edit(driftPolicy="Correct")
        await cloud.settle(20)
        assert limits(cloud)[name] == SLOW

    play(story)


def test_a_vm_that_is_off_gets_them_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, slow_vm("powerState: 'Off'"))
        cloud.edit(offering="free")
        await cloud.settle(20)
        assert cloud.datacentre.vm().power is Power.OFF
        assert limits(cloud) == {"root": NONE}

    play(story)


def test_snapshots_hold_up_no_limits() -> None:
    async def story(cloud: VMCloud) -> None:
        snapshot = "kind: Snapshot\nmetadata: {name: before, namespace: shop}\nspec: {virtualMachine: web}\n"
        await begin(cloud, slow_vm(), snapshot)
        cloud.edit(offering="free")
        await cloud.settle(20)
        assert (cloud.reason(), limits(cloud)) == (("True", "Running"), {"root": NONE})

    play(story)


UNABLE = Settings(
    hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, capabilities=Settings().capabilities - {Capability.DISK_LIMITS}
)


def test_hosts_that_can_t_limit_disks_get_no_vm_that_needs_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, slow_vm())
        assert cloud.reason() == ("False", "NoFittingHost")
        assert "2 UnsupportedDiskLimits" in cloud.text()
        cloud.edit(offering="free")
        await cloud.settle(20)
        assert cloud.reason() == ("True", "Running")
        cloud.edit(offering="slow")
        await cloud.settle(20)
        assert cloud.reason() == ("False", "Unsupported")
        assert "DiskLimits" in cloud.text()
        cloud.edit(offering="free")
        await cloud.settle(20)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=UNABLE)
