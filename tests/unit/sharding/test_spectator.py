"""Hosts in a process without shard 0: connected where its VMs are, as shard 0 has recorded them, and never written."""

from __future__ import annotations

from controller.host.endpoint import SECRET_RETRY
from controller.runtime.keys import Key
from crds.v1alpha1 import Cluster
from drivers.simulator.engine.actions import Act
from tests.support.vms import vm

from .world import CLUSTERS, Replica, ShardedCloud, Term, clusters, play

HOSTS = {f"host-{number:05d}": f"c{number}" for number in range(1, CLUSTERS + 1)}


async def pair(cloud: ShardedCloud) -> tuple[Replica, Replica]:
    """A replica with shard 0 and one with shard 1."""
    cloud.add("a")
    cloud.add("b")
    cloud.apply(clusters())
    await cloud.settled(40)
    by_shard = {min(each.shards): each for each in cloud.replicas.values()}
    return by_shard[0], by_shard[1]


def term(replica: Replica) -> Term:
    assert replica.term is not None
    return replica.term


def homes(replica: Replica) -> dict[str, int]:
    """The shard of each host's cluster."""
    found = {}
    for host, name in HOSTS.items():
        cluster = term(replica).store.get(Cluster, name)
        assert cluster is not None
        found[host] = term(replica).parts.sharding.home(cluster)
    return found


def test_shard_0_connects_to_all_hosts_and_the_others_to_their_own() -> None:
    async def story(cloud: ShardedCloud) -> None:
        first, second = await pair(cloud)
        assert sorted(link.name for link in term(first).inventory.links()) == sorted(HOSTS)
        mine = [host for host, home in homes(second).items() if home == 1]
        assert 0 < len(mine) < CLUSTERS
        assert sorted(link.name for link in term(second).inventory.links()) == sorted(mine)
        assert all(link.up for link in term(second).inventory.links())
        cloud.delete("Host", mine[0])
        await cloud.settled(30)
        assert not cloud.exists("Host", mine[0])
        assert mine[0] not in [link.name for link in term(second).inventory.links()]

    play(story, count=2)


def test_a_shard_that_comes_along_brings_its_hosts() -> None:
    async def story(cloud: ShardedCloud) -> None:
        first, second = await pair(cloud)
        await first.stop()
        del cloud.replicas[first.name]
        await cloud.settled(20)
        assert second.shards == {0, 1}
        assert sorted(link.name for link in term(second).inventory.links()) == sorted(HOSTS)
        assert all(cloud.condition("Host", host, "Ready") == ("True", "Up") for host in HOSTS)

    play(story, count=2)


def test_a_hypervisor_that_shard_0_has_not_recorded_is_not_used() -> None:
    async def story(cloud: ShardedCloud) -> None:
        first, second = await pair(cloud)
        host = next(host for host, home in homes(second).items() if home == 1)
        recorded = cloud.status("Host", host)["nativeID"]
        await first.kill()
        del cloud.replicas[first.name]
        cloud.set_status("Host", host, nativeID="another")
        await cloud.settled(2)
        link = term(second).inventory.link(host)
        assert link is not None
        assert (link.up, link.reason) == (False, "HostNotIdentified")
        cloud.set_status("Host", host, nativeID=recorded)
        await cloud.settled(2)
        assert link.up

    play(story, count=2)


def test_vms_go_on_when_their_host_is_back() -> None:
    async def story(cloud: ShardedCloud) -> None:
        _, second = await pair(cloud)
        host = next(host for host, home in homes(second).items() if home == 1)
        cloud.apply(vm("web", f"placement: {{host: {host}}}"))
        await cloud.settled(40)
        assert cloud.vm()["shard"] == 1
        cloud.datacentre.act(Act.CUT_HOST, host)
        await cloud.settled(200)
        cloud.edit("web", powerState="Off")
        await cloud.settled(30)
        assert cloud.reason() == ("False", "HostDown"), cloud.text()
        cloud.datacentre.act(Act.HEAL_HOST, host)
        await cloud.settled(90)
        assert cloud.reason() == ("True", "Stopped"), cloud.text()
        assert {call.shard for call in cloud.calls if call.key and call.key.name == "web" and call.method != "put_image"} == {1}

    play(story, count=2)


def test_a_missing_secret_is_looked_for_again() -> None:
    async def story(cloud: ShardedCloud) -> None:
        _, second = await pair(cloud)
        host = next(host for host, home in homes(second).items() if home == 1)
        spectate = term(second).manager._spectators["Host"]
        assert await spectate(Key("Host", "", host)) is None
        endpoint = {"url": f"simulator://dc/{host}", "credentials": {"secretRef": {"namespace": "shop", "name": "none"}}}
        cloud.api.edit(Key("Host", "", host), endpoint=endpoint)
        await cloud.settled(5)
        assert await spectate(Key("Host", "", host)) == SECRET_RETRY
        assert await spectate(Key("Host", "", "gone")) is None

    play(story, count=2)


def test_nothing_of_hosts_is_written_without_shard_0() -> None:
    async def story(cloud: ShardedCloud) -> None:
        first, second = await pair(cloud)
        await first.kill()
        del cloud.replicas[first.name]
        version = cloud.api.version
        host = next(host for host, home in homes(second).items() if home == 1)
        cloud.datacentre.act(Act.CUT_HOST, host)
        await cloud.settled(9)
        assert cloud.api.version == version
        await cloud.settled(60)
        assert cloud.status("Host", host)["state"] != "Up", "shard 0 was taken over, and says so"

    play(story, count=2)
