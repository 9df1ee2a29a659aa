"""Which shard has a VM: what makes shard 0 take one back, and when it is given away again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from controller.runtime.keys import Key
from crds.v1alpha1 import Cluster
from drivers.simulator.engine.actions import Act
from tests.support.snapshots import restore, snapshot
from tests.support.vms import vm
from tests.support.volumes import mounts, volume

from .world import CLUSTERS, ShardedCloud, clusters, play

Deed = Callable[[ShardedCloud], None]


async def given(cloud: ShardedCloud, replicas: int = 2) -> int:
    """A running VM that was given to another shard than 0, whose number is returned."""
    for number in range(replicas):
        cloud.add(f"r{number}")
    cloud.apply(clusters())
    await cloud.settled(30)
    for name in [f"other-{number}" for number in range(CLUSTERS)]:
        cloud.apply(vm(name, f"placement: {{cluster: {_home(cloud)}}}"))
    cloud.apply(vm("web", f"placement: {{cluster: {_home(cloud)}}}"))
    await cloud.settled(40)
    assert cloud.reason() == ("True", "Running"), cloud.text()
    return int(cloud.vm()["shard"])


def _home(cloud: ShardedCloud) -> str:
    """A cluster that is not shard 0's."""
    sharding = next(each.term for each in cloud.replicas.values() if each.term).parts.sharding
    store = sharding._store

    return next(each.metadata.name for each in store.list(Cluster) if sharding.home(each) != 0)


def history(cloud: ShardedCloud, name: str = "web") -> list[int]:
    """The shards that a VM has been in, in order."""
    seen: list[int] = []
    for raw in cloud.api.history:
        if (raw["kind"], raw["metadata"]["name"]) == ("VirtualMachine", name):
            shard = int(raw.get("status", {}).get("shard") or 0)
            seen += [shard] if not seen or seen[-1] != shard else []
    return seen


def edit(**spec: Any) -> Deed:
    return lambda cloud: cloud.edit("web", **spec)


NICS = [{"name": "front", "network": "front"}, {"name": "more", "network": "front"}]
BACK_AND_FORTH: dict[str, Deed] = {
    "another size": edit(offering="large"),
    "another interface": edit(networks=NICS),
    "no interface": edit(networks=[]),
    "a larger disk": edit(rootDisk={"size": "20Gi"}),
    "deleted by hand": lambda cloud: cloud.datacentre.act(Act.DELETE_VM, "web"),
}
STAYS: dict[str, Deed] = {
    "off": edit(powerState="Off"),
    "restarted": edit(restartedAt="2026-11-20T11:00:00Z"),
    "stopped by hand": lambda cloud: cloud.datacentre.act(Act.POWER_OFF, "web"),
    "crashed": lambda cloud: cloud.datacentre.act(Act.CRASH_VM, "web"),
}


@pytest.mark.parametrize("what", BACK_AND_FORTH)
def test_shard_0_does_what_needs_something_scarce_and_gives_the_vm_back(what: str) -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        before = len(cloud.calls)
        BACK_AND_FORTH[what](cloud)
        await cloud.settled(90)
        assert history(cloud) == [0, shard, 0, shard]
        mine = [call for call in cloud.calls[before:] if call.key and call.key.name == "web"]
        assert {call.shard for call in mine} == {0} if what != "deleted by hand" else mine
        assert cloud.vm()["observedGeneration"] == cloud.raw("VirtualMachine", "shop/web")["metadata"]["generation"]

    play(story, count=2)


@pytest.mark.parametrize("what", STAYS)
def test_power_is_the_business_of_the_shard(what: str) -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        before = len(cloud.calls)
        STAYS[what](cloud)
        await cloud.settled(60)
        assert history(cloud) == [0, shard]
        assert {call.shard for call in cloud.calls[before:] if call.key and call.key.name == "web"} == {shard}

    play(story, count=2)


def test_a_vm_with_volumes_stays_with_shard_0_until_it_has_none() -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        cloud.apply(volume("data"))
        await cloud.settled(20)
        cloud.edit("web", volumes=mounts("data"))
        await cloud.settled(60)
        assert cloud.reason() == ("True", "Running"), cloud.text()
        assert [each.name for each in cloud.datacentre.vm().volumes.values()] == ["data"]
        assert history(cloud) == [0, shard, 0]
        cloud.edit("web", volumes=[])
        await cloud.settled(60)
        assert history(cloud) == [0, shard, 0, shard]
        assert not cloud.datacentre.vm().volumes

    play(story, count=2)


def test_a_vm_with_snapshots_stays_with_shard_0_until_it_has_none() -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        ready = len(cloud.api.history)
        cloud.apply(snapshot())
        await cloud.settled(40)
        assert cloud.condition("Snapshot", "shop/snap", "Ready") == ("True", "Ready")
        assert history(cloud) == [0, shard, 0]
        said = [raw for raw in cloud.api.history[ready:] if raw["metadata"]["name"] == "web"]
        assert said, "it was given back"
        assert all(_ready(raw) for raw in said), "and stayed ready"
        cloud.edit("web", powerState="Off")
        await cloud.settled(40)
        cloud.apply(restore())
        await cloud.settled(40)
        assert cloud.status("SnapshotRestore", "shop/back")["state"] == "Completed"
        for kind, name in (("SnapshotRestore", "back"), ("Snapshot", "snap")):
            cloud.delete(kind, f"shop/{name}")
            await cloud.settled(30)
        cloud.edit("web", powerState="On")
        await cloud.settled(60)
        assert history(cloud) == [0, shard, 0, shard]

    play(story, count=2)


def _ready(raw: dict[str, Any]) -> bool:
    return any((each["type"], each["status"]) == ("Ready", "True") for each in raw["status"]["conditions"])


def test_a_stopped_vm_that_gives_its_room_back_is_shard_0s_until_it_runs() -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        cloud.edit("web", powerState="Off")
        await cloud.settled(60)
        assert history(cloud) == [0, shard]
        cloud.api.edit(Key("Cluster", "", cloud.vm()["cluster"]), stoppedReservation="1m")
        await cloud.settled(300)
        assert cloud.vm()["roomReleased"] is True
        assert history(cloud) == [0, shard, 0]
        cloud.edit("web", powerState="On")
        await cloud.settled(60)
        assert cloud.reason() == ("True", "Running"), cloud.text()
        assert history(cloud) == [0, shard, 0, shard]

    play(story, count=2)


def test_another_spec_before_it_was_made_is_looked_at_by_shard_0() -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        cloud.apply(vm("new-1", f"placement: {{cluster: {_home(cloud)}}}"))  # the last that the cluster has room for
        while not cloud.vm("new-1").get("shard"):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        cloud.edit("new-1", offering="large")
        await cloud.settled(60)
        assert history(cloud, "new-1")[-1] == shard
        assert cloud.datacentre.vm("new-1").cpus == 4
        assert cloud.reason("new-1") == ("True", "Running"), cloud.text("new-1")

    play(story, count=2)


def test_a_pool_that_lost_its_template_gets_it_again_from_shard_0() -> None:
    async def story(cloud: ShardedCloud) -> None:
        shard = await given(cloud)
        for host in {each.host for each in cloud.datacentre.vms}:
            cloud.datacentre.forget_image(host)
        cloud.apply(vm("new", f"placement: {{cluster: {_home(cloud)}}}"))
        await cloud.settled(90)
        assert cloud.reason("new") == ("True", "Running"), cloud.text("new")
        assert history(cloud, "new") == [0, shard, 0, shard]

    play(story, count=2)


def test_no_longer_divided_everything_is_shard_0s() -> None:
    async def story(cloud: ShardedCloud) -> None:
        await given(cloud)
        for name in sorted(cloud.replicas):
            await cloud.replicas.pop(name).stop()
        writes = cloud.api.writes["status"]
        cloud.add("alone", 1)
        await cloud.settled(60)
        assert history(cloud)[-1] == 0
        assert "shard" not in cloud.vm()
        assert cloud.api.writes["status"] - writes <= 20, "once for each VM"
        cloud.edit("web", powerState="Off")
        await cloud.settled(60)
        assert cloud.reason() == ("True", "Stopped")

    play(story, count=2)


@pytest.mark.parametrize("count", [3, 4])
def test_another_number_of_shards_moves_vms_to_their_new_shards(count: int) -> None:
    async def story(cloud: ShardedCloud) -> None:
        await given(cloud)
        for name in sorted(cloud.replicas):
            await cloud.replicas.pop(name).stop()
        for number in range(count):
            cloud.add(f"n{number}", count)
        await cloud.settled(180)
        term = next(each.term for each in cloud.replicas.values() if each.term)

        for name in ["web", *(f"other-{number}" for number in range(CLUSTERS))]:
            cluster = term.store.get(Cluster, cloud.vm(name)["cluster"])
            assert cluster is not None
            assert cloud.vm(name).get("shard", 0) == term.parts.sharding.home(cluster)
            assert cloud.reason(name) == ("True", "Running")
        assert [(each.made, each.starts) for each in cloud.datacentre.census.vms] == [(1, 1)] * (CLUSTERS + 1)

    play(story, count=2)
