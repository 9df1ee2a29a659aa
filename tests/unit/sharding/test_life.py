"""VMs' lives in a cloud whose work is shared by several processes."""

from __future__ import annotations

import asyncio

from tests.support.vms import vm

from .world import ShardedCloud, clusters, play


def names(count: int) -> list[str]:
    return [f"vm-{number}" for number in range(count)]


def test_vms_are_made_by_the_shards_of_their_clusters() -> None:
    async def story(cloud: ShardedCloud) -> None:
        cloud.add("a")
        cloud.add("b")
        cloud.add("c")
        cloud.apply(clusters())
        await cloud.settled(30)
        assert [sorted(each.shards) for each in cloud.replicas.values()] != [[0, 1, 2], [], []]
        assert sorted(n for each in cloud.replicas.values() for n in each.shards) == [0, 1, 2]
        for name in names(8):
            cloud.apply(vm(name))
        await cloud.settled(60)
        for name in names(8):
            assert cloud.reason(name) == ("True", "Running"), cloud.text(name)
        assert [(each.made, each.starts) for each in cloud.datacentre.census.vms] == [(1, 1)] * 8
        made = {call.shard for call in cloud.calls if call.method == "create"}
        assert made == {cloud.vm(name).get("shard", 0) for name in names(8)}
        assert len(made) > 1
        for name in names(8):
            cloud.delete("VirtualMachine", f"shop/{name}")
        await cloud.settled(60)
        assert cloud.datacentre.vms == []
        assert not any(cloud.exists("VirtualMachine", f"shop/{name}") for name in names(8))

    play(story)


def test_one_replica_alone_works_on_all_shards() -> None:
    async def story(cloud: ShardedCloud) -> None:
        cloud.add("a")
        cloud.apply(clusters())
        for name in names(6):
            cloud.apply(vm(name))
        await cloud.settled(60)
        assert cloud.replicas["a"].shards == {0, 1, 2}
        assert all(cloud.reason(name) == ("True", "Running") for name in names(6))
        assert {cloud.vm(name).get("shard", 0) for name in names(6)} & {1, 2}, "the VMs are in more shards than the first"
        await asyncio.sleep(1)

    play(story)
