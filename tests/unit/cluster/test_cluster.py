"""Clusters belong to a zone and a pod of it, sum up their hosts, and wait for them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.cluster.status import sums
from crds.v1alpha1 import Host
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import GIB, Hypervisor, host


def test_waits_for_zone_then_pod() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(CLUSTER)
        await cloud.settle()
        assert cloud.condition("Cluster", "c1", "Ready") == ("False", "ZoneNotFound")
        cloud.apply(ZONE)
        await cloud.settle(5)
        assert cloud.condition("Cluster", "c1", "Ready") == ("False", "PodNotFound")
        assert cloud.kstatus("Cluster", "c1") == "InProgress"
        cloud.apply(POD)
        await cloud.settle(5)
        assert cloud.condition("Cluster", "c1", "Ready") == ("True", "Enabled")

    play(story)


def test_pod_of_another_zone_is_terminal_until_the_pod_is_another_one() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, ZONE.replace("z1", "z2"), POD.replace("z1", "z2"), CLUSTER]))
        await cloud.settle()
        assert cloud.condition("Cluster", "c1", "Ready") == ("False", "PodNotInZone")
        assert cloud.kstatus("Cluster", "c1") == "Failed"
        assert "z2" in cloud.message("Cluster", "c1")

    play(story)


def test_zone_that_goes_away_is_told() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([POD, CLUSTER]))
        cloud.apply(ZONE)
        await cloud.settle()
        key = next(key for key in cloud.api.objects if key.kind == "Zone")
        cloud.api._remove(key, cloud.api.objects[key])
        await cloud.settle(5)
        assert cloud.condition("Cluster", "c1", "Ready") == ("False", "ZoneNotFound")

    play(story)


def test_sums_hosts_and_what_is_promised() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(cpus=8, memory=32 * GIB))
        cloud.hypervisors["fake://h2"] = Hypervisor(host("h2", cpus=16, memory=16 * GIB))
        cloud.apply("\n---\n".join([BASE, HOST.replace("h1", "h2"), HOST.replace("h1", "h3"), vm("a"), vm("b", host="h2")]))
        await cloud.settle(120)
        status = cloud.status("Cluster", "c1")
        assert (status["hostsTotal"], status["hostsUp"]) == (3, 2)
        assert status["capacity"] == {"cpus": 24, "memory": "48Gi"}
        assert status["allocated"] == {"cpus": 4, "memory": "8Gi", "vms": 2}

    play(story)


def test_many_vms_cost_few_writes() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        before = cloud.writes
        for number in range(50):
            cloud.apply(vm(f"vm{number}"))
            await cloud.settle(0.5)
        await cloud.settle(90)
        assert cloud.status("Host", "h1")["allocated"]["vms"] == cloud.status("Cluster", "c1")["allocated"]["vms"] == 50
        assert cloud.writes - before <= 8, "host, cluster and pool, once for each 30 seconds"

    play(story)


def test_deletion_waits_for_hosts_and_pools() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        pool = POOL.replace("scope: Zone", "scope: Cluster, cluster: c1")
        cloud.apply("\n---\n".join([ZONE, POD, CLUSTER, HOST, pool]))
        await cloud.settle()
        cloud.delete("Cluster", "c1")
        await cloud.settle()
        assert "Host/h1, StoragePool/s1" in cloud.message("Cluster", "c1", "InUse")
        cloud.delete("StoragePool", "s1")
        await cloud.settle()
        assert cloud.exists("Cluster", "c1")
        cloud.delete("Host", "h1")
        await cloud.settle(5)
        assert not cloud.exists("Cluster", "c1")

    play(story)


@given(st.lists(st.tuples(st.sampled_from(["Up", "Down", "Alert"]), st.integers(0, 512), st.integers(0, 2**42)), max_size=8))
def test_sums_are_sums(drawn: list[tuple[str, int, int]]) -> None:
    hosts = [
        Host.parse(
            {
                "metadata": {"name": f"h{number}"},
                "spec": {"cluster": "c1"},
                "status": {"state": state, "capacity": {"cpus": cpus, "memory": str(memory)}},
            }
        )
        for number, (state, cpus, memory) in enumerate(drawn)
    ]
    result = sums(iter(hosts))  # parsing a thousand hosts takes long: they are gone through once
    assert result.capacity.cpus == sum(cpus for _, cpus, _ in drawn)
    assert result.capacity.memory.bytes == sum(memory for _, _, memory in drawn)
    assert (result.total, result.up) == (len(drawn), sum(state == "Up" for state, _, _ in drawn))
