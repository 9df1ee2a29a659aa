"""Zones count what they hold and wait for it to go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.zone.status import vlan_ids
from crds.v1alpha1.zone import VLANRange
from tests.support.cloud import BASE, CLUSTER, GIVEN, HOST, OFFERING, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import Hypervisor, host

NETWORK = """
kind: Network
metadata: {name: %s, namespace: shop}
spec: {zone: z1, type: L2}
status: {segment: {vlan: %d}}
"""


def test_counts_follow_what_is_in_the_zone() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(ZONE)
        await cloud.settle()
        assert cloud.status("Zone", "z1")["counts"] == {"pods": 0, "clusters": 0, "hosts": 0, "hostsUp": 0}
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([POD, CLUSTER, HOST, HOST.replace("h1", "h2")]))
        await cloud.settle()
        assert cloud.status("Zone", "z1")["counts"] == {"pods": 1, "clusters": 1, "hosts": 2, "hostsUp": 1}
        cloud.delete("Host", "h2")
        await cloud.settle()
        assert cloud.status("Zone", "z1")["counts"] == {"pods": 1, "clusters": 1, "hosts": 1, "hostsUp": 1}

    play(story)


def test_host_going_down_and_coming_back_is_counted() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        hypervisor.set_host("h1", up=False)
        await cloud.settle()
        assert cloud.status("Zone", "z1")["counts"]["hostsUp"] == 0
        hypervisor.set_host("h1", up=True)
        await cloud.settle()
        assert cloud.status("Zone", "z1")["counts"]["hostsUp"] == 1

    play(story)


def test_vlans_of_networks_are_counted_within_the_ranges() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, NETWORK % ("a", 100), NETWORK % ("b", 109), NETWORK % ("outside", 200)]))
        await cloud.settle()
        assert cloud.status("Zone", "z1")["segments"] == {"vlansTotal": 10, "vlansAllocated": 2}

    play(story)


def test_allocation_state_is_the_reason_and_disabled_is_healthy() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(ZONE)
        await cloud.settle()
        assert cloud.condition("Zone", "z1", "Ready") == ("True", "Enabled")
        cloud.apply("kind: Zone\nmetadata: {name: z1}\nspec: {allocationState: Disabled}")
        await cloud.settle()
        assert cloud.condition("Zone", "z1", "Ready") == ("True", "Disabled")
        assert cloud.kstatus("Zone", "z1") == "Current"

    play(story)


@pytest.mark.parametrize(
    ("user", "kind", "name"),
    [
        (POD, "Pod", "p1"),
        (CLUSTER, "Cluster", "c1"),
        (POOL, "StoragePool", "s1"),
        (NETWORK % ("net", 100), "Network", "shop/net"),
        (vm(), "VirtualMachine", "shop/web"),
    ],
)
def test_deletion_waits_for_each_kind_of_user(user: str, kind: str, name: str) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, user]))
        await cloud.settle()
        cloud.delete("Zone", "z1")
        await cloud.settle()
        assert cloud.condition("Zone", "z1", "InUse") == ("True", "InUse")
        assert f"{kind}/{name}" in cloud.message("Zone", "z1", "InUse")
        assert cloud.kstatus("Zone", "z1") == "Terminating"
        cloud.delete(kind, name)
        await cloud.settle()
        assert not cloud.exists("Zone", "z1")

    play(story)


def test_many_users_are_counted_and_ten_named() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, *(vm(f"vm{number:02}") for number in range(14))]))
        await cloud.settle()
        cloud.delete("Zone", "z1")
        await cloud.settle()
        message = cloud.message("Zone", "z1", "InUse")
        assert "14" in message
        assert "vm09 and 4 more" in message
        assert "vm10" not in message

    play(story)


def test_everything_deleted_at_once_goes_in_the_right_order() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        for kind, name in [("Zone", "z1"), ("Pod", "p1"), ("Cluster", "c1"), ("Host", "h1"), ("StoragePool", "s1")]:
            cloud.delete(kind, name)
        cloud.delete("ServiceOffering", "small")
        await cloud.settle()
        assert list(cloud.api.objects) == [GIVEN]
        assert cloud.hypervisors["fake://h1"].open == 0

    play(story)


def test_offering_is_ready_alone() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(OFFERING)
        await cloud.settle()
        assert cloud.condition("ServiceOffering", "small", "Ready") == ("True", "Available")

    play(story)


@given(st.lists(st.tuples(st.integers(1, 4094), st.integers(1, 4094)).map(sorted), max_size=6))
def test_vlan_ids_are_those_in_any_range_once(pairs: list[list[int]]) -> None:
    ids = vlan_ids([VLANRange(start=start, end=end) for start, end in pairs])
    assert all((vlan in ids) == any(start <= vlan <= end for start, end in pairs) for vlan in range(1, 4095))
