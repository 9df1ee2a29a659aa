"""Which pool a volume goes to, and what it waits for."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import begin, edit, job, local_pools, made, mounted, ready, status, text, volume

SMALL = Settings(hosts=2, cpus=8, memory=32 * GIB, pool_capacity=20 * GIB, boot=1, shutdown=1)
SECOND = """
kind: StoragePool
metadata: {name: s2}
spec: {zone: z1, scope: Zone, type: Directory, path: /srv/more, tags: [ssd, fast]}
"""
ELSEWHERE = """
kind: Zone
metadata: {name: z2}
spec: {}
---
kind: StoragePool
metadata: {name: far}
spec: {zone: z2, scope: Zone, type: Directory, path: /srv/far}
"""


@pytest.mark.parametrize(
    ("extra", "pool"),
    [("tags: [ssd]", "s2"), ("tags: [ssd, fast]", "s2"), ("pool: s2", "s2"), ("pool: local-h2", "local-h2"), ("pool: s1", "s1")],
)
def test_the_pool_that_has_the_tags_or_is_named(extra: str, pool: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, SECOND, local_pools(), volume(extra=extra))
        assert (ready(cloud), status(cloud)["pool"]) == (("True", "Ready"), pool), text(cloud)

    play(story)


@pytest.mark.parametrize(
    ("extra", "reason", "stalled"),
    [
        ("pool: none", "PoolNotFound", False),
        ("pool: far", "PoolNotInZone", True),
        ("tags: [tape]", "WaitForFirstConsumer", False),
    ],
)
def test_no_pool(extra: str, reason: str, stalled: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, ELSEWHERE, volume(extra=extra))
        assert ready(cloud) == ("False", reason)
        assert (ready(cloud, type="Stalled") is not None) == stalled
        assert not cloud.raw("Volume", "shop/data")["metadata"].get("finalizers"), "nothing was made: nothing keeps it"
        assert status(cloud)["state"] == "Allocated"
        cloud.delete("Volume", "shop/data")
        await cloud.settle(5)
        assert not cloud.exists("Volume", "shop/data")

    play(story)


def test_zone_and_pool_may_come_later() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(volume(extra="pool: s1"))
        await cloud.settle(10)
        assert ready(cloud) == ("False", "ZoneNotFound")
        cloud.apply(site(1))
        await cloud.settle(30)
        assert ready(cloud) == ("True", "Ready")

    play(story)


def test_a_full_pool_is_waited_for() -> None:
    """Twice its capacity is promised at most, and volumes count with the disks of VMs."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume("a", "18Gi"), volume("b", "18Gi"), volume("c", "8Gi"))
        assert [ready(cloud, name) for name in "ab"] == [("True", "Ready")] * 2
        assert ready(cloud, "c") == ("False", "WaitForFirstConsumer")
        assert "InsufficientStorage" in text(cloud, "c")
        cloud.apply(vm(extra='rootDisk: {size: "8Gi"}'))
        await cloud.settle(10)
        assert cloud.reason() == ("False", "NoFittingHost")
        cloud.delete("Volume", "shop/a")
        await cloud.settle(60)
        assert (cloud.reason(), ready(cloud, "c")) == (("True", "Running"), ("True", "Ready"))
        edit(cloud, "c", size="19Gi")
        await cloud.settle(10)
        assert ready(cloud, "c") == ("False", "InsufficientStorage")
        assert (made(cloud)["c"].size, job(cloud, "c")) == (8 * GIB, ("CreateVolume", "Succeeded"))
        assert status(cloud, "c")["state"] == "Ready"
        cloud.delete("Volume", "shop/b")
        await cloud.settle(60)
        assert (ready(cloud, "c"), made(cloud)["c"].size) == (("True", "Ready"), 19 * GIB)

    play(story, settings=SMALL)


def test_the_first_vms_host_has_no_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"), volume(size="50Gi", extra="tags: [fast]"), vm(extra=mounted("data")))
        assert ready(cloud) == ("False", "WaitForFirstConsumer")
        assert cloud.reason() == ("False", "NoFittingHost")
        assert "InsufficientStorage" in cloud.text()
        assert not cloud.datacentre.vms
        cloud.edit(volumes=[])
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=SMALL)


def test_the_first_vm_goes_where_its_volumes_have_room() -> None:
    """Local pools of 20 GiB each may promise 40: the one that has 36 promised already can't take a volume of 6."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"))
        for name in ("one", "other"):
            cloud.apply(volume(name, size="18Gi", extra="pool: local-h1"))
        await cloud.settle(30)
        for number in range(3):
            cloud.apply(volume(f"data{number}", size="6Gi", extra="tags: [fast]"))
            cloud.apply(vm(f"web{number}", extra=mounted(f"data{number}")))
            await cloud.settle(30)
        assert {number: cloud.vm(f"web{number}")["host"] for number in range(3)} == {0: "h2", 1: "h2", 2: "h2"}
        assert [ready(cloud, f"data{number}") for number in range(3)] == [("True", "Ready")] * 3

    play(story, settings=SMALL)


def test_hosts_that_can_not_manage_volumes() -> None:
    settings = Settings(hosts=2, boot=1, shutdown=1, capabilities=frozenset(Capability) - {Capability.VOLUMES})

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        assert ready(cloud) == ("False", "VolumesUnsupported")
        assert ready(cloud, type="Stalled") is not None

    play(story, settings=settings)


def test_a_pool_with_a_volume_stays() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume())
        cloud.delete("StoragePool", "s1")
        await cloud.settle(30)
        assert cloud.condition("StoragePool", "s1", "InUse") == ("True", "InUse")
        assert "Volume/shop/data" in cloud.message("StoragePool", "s1", "InUse")
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        assert not cloud.exists("StoragePool", "s1")

    play(story)
