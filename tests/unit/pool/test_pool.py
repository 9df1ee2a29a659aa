"""Pools are made ready on the hosts of their scope, once; a host that fails does not hold up the others."""

from __future__ import annotations

import pytest

from drivers.errors import InvalidSpec, StorageUnavailable, Transient
from tests.support.cloud import BASE, CLUSTER, HOST, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import GIB, Hang, Hypervisor, host

PLACE = "\n---\n".join([ZONE, POD, CLUSTER])
HOSTS = "\n---\n".join(HOST.replace("h1", name) for name in ("h1", "h2", "h3"))
OF_CLUSTER = POOL.replace("scope: Zone", "scope: Cluster, cluster: c1")
OF_HOST = POOL.replace("scope: Zone", "scope: Host, host: h2")


def three(cloud: Cloud) -> None:
    for name in ("h1", "h2", "h3"):
        cloud.hypervisors[f"fake://{name}"] = Hypervisor(host(name))


def ensured(cloud: Cloud) -> dict[str, int]:
    return {url.removeprefix("fake://"): each.calls["ensure_pool"] for url, each in cloud.hypervisors.items()}


@pytest.mark.parametrize(
    ("pool", "mounted", "calls"),
    [
        (POOL, 3, {"h1": 1, "h2": 1, "h3": 1}),
        (OF_CLUSTER, 3, {"h1": 1, "h2": 1, "h3": 1}),
        (OF_HOST, 1, {"h1": 0, "h2": 1, "h3": 0}),
    ],
    ids=["zone", "cluster", "host"],
)
def test_made_ready_once_on_each_host_of_its_scope(pool: str, mounted: int, calls: dict[str, int]) -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.apply("\n---\n".join([PLACE, HOSTS, pool]))
        await cloud.settle(400)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("True", "Mounted")
        assert cloud.status("StoragePool", "s1")["state"] == "Up"
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == mounted
        assert ensured(cloud) == calls

    play(story)


@pytest.mark.parametrize(
    ("there", "pool", "reason"),
    [
        ([], POOL, "ZoneNotFound"),
        ([ZONE], POOL, "NoHosts"),
        ([ZONE], OF_CLUSTER, "ClusterNotFound"),
        ([PLACE], OF_HOST, "HostNotFound"),
        ([ZONE, HOSTS], OF_HOST, "ClusterNotFound"),
        ([PLACE, HOSTS], POOL, "NoHostUp"),
    ],
)
def test_what_is_missing_is_waited_for(there: list[str], pool: str, reason: str) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([*there, pool]))
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "Ready") == ("False", reason)
        assert cloud.status("StoragePool", "s1")["state"] == "Initialized"
        assert cloud.kstatus("StoragePool", "s1") == "InProgress"
        three(cloud)
        cloud.apply("\n---\n".join([PLACE, HOSTS]))
        await cloud.settle(120)
        assert cloud.kstatus("StoragePool", "s1") == "Current"

    play(story)


@pytest.mark.parametrize(("pool", "reason"), [(OF_CLUSTER, "ClusterNotInZone"), (OF_HOST, "HostNotInZone")])
def test_scope_in_another_zone_is_terminal(pool: str, reason: str) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([PLACE, HOSTS, ZONE.replace("z1", "z2"), pool.replace("zone: z1", "zone: z2")]))
        await cloud.settle()
        assert cloud.kstatus("StoragePool", "s1") == "Failed"
        assert cloud.condition("StoragePool", "s1", "Stalled") == ("True", reason)

    play(story)


def test_host_that_refuses_the_pool_is_told_and_the_others_are_used() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.hypervisors["fake://h2"].faults["ensure_pool"] = InvalidSpec("/srv/vms is not a directory")
        cloud.apply("\n---\n".join([PLACE, HOSTS, POOL]))
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("False", "RefusedByHypervisor")
        assert "h2: /srv/vms is not a directory" in cloud.message("StoragePool", "s1", "HostsReady")
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 2
        registry = cloud.controller.registry
        assert registry.ready("s1", "h1") is not None
        assert registry.ready("s1", "h2") is None
        await cloud.settle(200)
        assert ensured(cloud)["h2"] == 1, "a refusal is not tried often"
        cloud.hypervisors["fake://h2"].faults.clear()
        await cloud.settle(300)
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("True", "Mounted")
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 3

    play(story)


def test_refused_by_every_host_is_not_ready_and_says_why() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.hypervisors["fake://h1"].faults["ensure_pool"] = InvalidSpec("read-only file system")
        cloud.apply(BASE)
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "Ready") == ("False", "RefusedByHypervisor")
        assert "read-only file system" in cloud.message("StoragePool", "s1")
        cloud.hypervisors["fake://h1"].faults.clear()
        await cloud.settle(310)
        assert cloud.kstatus("StoragePool", "s1") == "Current"

    play(story)


def test_nfs_server_that_is_away_is_told_and_its_return_is_seen() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        for each in cloud.hypervisors.values():
            each.faults["ensure_pool"] = StorageUnavailable("the NFS server nfs1 does not answer")
        pool = POOL.replace("type: Directory", "type: NFS, nfs: {server: nfs1, export: /vms}")
        cloud.apply("\n---\n".join([PLACE, HOSTS, pool]))
        await cloud.settle(20)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("False", "StorageUnavailable")
        assert "nfs1 does not answer" in cloud.message("StoragePool", "s1")
        assert cloud.kstatus("Host", "h1") == "Current", "its hosts have nothing to do with it"
        for each in cloud.hypervisors.values():
            each.faults.clear()
        await cloud.settle(40)
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("True", "Mounted")
        looks = ensured(cloud)["h1"]
        cloud.hypervisors["fake://h1"].faults["ensure_pool"] = StorageUnavailable("the NFS server nfs1 does not answer")
        await cloud.settle(130)
        assert cloud.status("StoragePool", "s1")["hostsFailing"] == ["h1"], "it is seen without anybody's asking"
        assert ensured(cloud)["h1"] > looks

    play(story)


def test_passing_failure_is_tried_again_soon() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.hypervisors["fake://h1"].faults["ensure_pool"] = Transient("busy disk")
        cloud.apply(BASE)
        await cloud.settle(10)
        cloud.hypervisors["fake://h1"].faults.clear()
        await cloud.settle(35)
        assert cloud.kstatus("StoragePool", "s1") == "Current"

    play(story)


def test_hung_host_holds_up_nothing() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.hypervisors["fake://h1"].faults["ensure_pool"] = Hang()
        cloud.apply("\n---\n".join([PLACE, HOSTS, POOL]))
        await cloud.settle(5)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 2
        assert "h1" in cloud.message("StoragePool", "s1", "HostsReady")
        await cloud.settle(90)
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("False", "HypervisorUnavailable")

    play(story)


def test_reconnected_host_is_made_ready_again() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.apply("\n---\n".join([PLACE, HOSTS, POOL]))
        await cloud.settle()
        cloud.hypervisors["fake://h1"].faults["*"] = Transient("gone")
        await cloud.settle(60)
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 2
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("False", "HostsNotUp")
        cloud.hypervisors["fake://h1"].faults.clear()
        before = ensured(cloud)["h1"]
        await cloud.settle(60)
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 3
        assert ensured(cloud)["h1"] == before + 1

    play(story)


def test_host_that_joins_later_gets_the_pool() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.apply("\n---\n".join([PLACE, HOST, POOL]))
        await cloud.settle()
        cloud.apply(HOST.replace("h1", "h3"))
        await cloud.settle(10)
        assert cloud.status("StoragePool", "s1")["hostsMounted"] == 2
        assert ensured(cloud) == {"h1": 1, "h2": 0, "h3": 1}

    play(story)


def test_size_and_use() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([BASE, vm("a", size="10Gi"), vm("b", size="5Gi"), vm("other", pool="s9")]))
        await cloud.settle()
        assert cloud.status("StoragePool", "s1")["capacity"] == {"total": "100Gi", "available": "80Gi", "allocated": "15Gi"}
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle()
        assert cloud.status("StoragePool", "s1")["capacity"]["allocated"] == "5Gi"

    play(story)


def test_free_space_is_looked_at_now_and_then_and_written_in_steps() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        before = cloud.writes
        for used in range(1, 6):
            hypervisor.pool_size = type(hypervisor.pool_size)("", 100 * GIB, 80 * GIB - used * GIB // 10)
            await cloud.settle(700)
        assert cloud.writes == before, "less than one per cent"
        hypervisor.pool_size = type(hypervisor.pool_size)("", 100 * GIB, 70 * GIB + 1)
        await cloud.settle(700)
        assert cloud.status("StoragePool", "s1")["capacity"]["available"] == "70Gi"
        assert cloud.writes == before + 1

    play(story)


def test_disabled_is_healthy() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST, POOL.replace("scope: Zone", "scope: Zone, allocationState: Disabled")]))
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Disabled")
        assert cloud.status("StoragePool", "s1")["state"] == "Disabled"
        assert cloud.kstatus("StoragePool", "s1") == "Current"

    play(story)


def test_restart_with_one_dead_host_settles_without_flapping() -> None:
    async def story(cloud: Cloud) -> None:
        three(cloud)
        del cloud.hypervisors["fake://h3"]
        cloud.apply("\n---\n".join([PLACE, HOSTS, POOL]))
        await cloud.settle(120)
        before = cloud.writes
        await cloud.restart()
        await cloud.settle(1200)
        assert cloud.writes == before

    play(story)


def test_restart_waits_for_hosts_that_are_being_asked() -> None:
    """What they say is most likely what they said before: to write that they have not would cost two writes."""

    async def story(cloud: Cloud) -> None:
        three(cloud)
        cloud.apply("\n---\n".join([PLACE, HOSTS, POOL]))
        await cloud.settle(120)
        before = cloud.writes
        cloud.hypervisors["fake://h1"].faults["ensure_pool"] = Hang()
        await cloud.restart()
        await cloud.settle(20)
        assert cloud.writes == before
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("True", "Mounted")
        await cloud.settle(180)
        assert cloud.condition("StoragePool", "s1", "HostsReady") == ("False", "HypervisorUnavailable")

    play(story)
