"""Pods belong to a zone, have a management network of their own, and wait for their clusters."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from controller.pod.status import overlapping
from crds.v1alpha1 import Pod
from tests.support.cloud import CLUSTER, HOST, POD, ZONE, Cloud, play
from tests.support.hypervisors import Hypervisor, host

SECOND = "kind: Pod\nmetadata: {name: p2}\nspec: {zone: %s, managementCIDR: %s}"


def test_waits_for_its_zone_and_becomes_ready_with_it() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(POD)
        await cloud.settle()
        assert cloud.condition("Pod", "p1", "Ready") == ("False", "ZoneNotFound")
        assert cloud.kstatus("Pod", "p1") == "InProgress"
        cloud.apply(ZONE)
        await cloud.settle(5)
        assert cloud.condition("Pod", "p1", "Ready") == ("True", "Enabled")
        assert cloud.kstatus("Pod", "p1") == "Current"

    play(story)


def test_disabled_is_healthy() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, "kind: Pod\nmetadata: {name: p1}\nspec: {zone: z1, allocationState: Disabled}"]))
        await cloud.settle()
        assert cloud.condition("Pod", "p1", "Ready") == ("True", "Disabled")

    play(story)


def test_overlapping_management_network_is_refused_to_the_younger_until_it_is_free() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, POD, SECOND % ("z1", "10.0.0.128/25")]))
        await cloud.settle()
        assert cloud.condition("Pod", "p1", "Ready") == ("True", "Enabled")
        assert cloud.condition("Pod", "p2", "Ready") == ("False", "ManagementCIDROverlaps")
        assert cloud.kstatus("Pod", "p2") == "Failed"
        assert "p1 (10.0.0.0/24)" in cloud.message("Pod", "p2")
        cloud.apply(POD.replace("10.0.0.0/24", "10.9.0.0/24"))
        await cloud.settle(5)
        assert cloud.condition("Pod", "p2", "Ready") == ("True", "Enabled")

    play(story)


def test_own_change_of_the_network_ends_the_overlap() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, POD, SECOND % ("z1", "10.0.0.128/25")]))
        await cloud.settle()
        cloud.apply(SECOND % ("z1", "10.0.1.0/24"))
        await cloud.settle(5)
        assert cloud.kstatus("Pod", "p2") == "Current"

    play(story)


def test_deletion_of_the_older_frees_its_network() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, POD, SECOND % ("z1", "10.0.0.0/24")]))
        await cloud.settle()
        cloud.delete("Pod", "p1")
        await cloud.settle(5)
        assert cloud.kstatus("Pod", "p2") == "Current"

    play(story)


def test_same_network_in_another_zone_is_fine() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([ZONE, ZONE.replace("z1", "z2"), POD, SECOND % ("z2", "10.0.0.0/24")]))
        await cloud.settle()
        assert cloud.kstatus("Pod", "p1") == cloud.kstatus("Pod", "p2") == "Current"

    play(story)


def test_counts_and_deletion_waits_for_clusters() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([ZONE, POD, CLUSTER, HOST]))
        await cloud.settle()
        assert cloud.status("Pod", "p1")["counts"] == {"clusters": 1, "hosts": 1, "hostsUp": 1}
        cloud.delete("Pod", "p1")
        await cloud.settle()
        assert "Cluster/c1" in cloud.message("Pod", "p1", "InUse")
        cloud.delete("Cluster", "c1")
        cloud.delete("Host", "h1")
        await cloud.settle()
        assert not cloud.exists("Pod", "p1")

    play(story)


def _pod(name: str, cidr: str, second: int) -> Pod:
    meta = {"name": name, "uid": name, "creationTimestamp": f"2026-11-20T10:00:{second:02}Z"}
    return Pod.parse({"metadata": meta, "spec": {"zone": "z1", "managementCIDR": cidr}})


networks = st.tuples(st.integers(0, 255), st.integers(22, 28)).map(
    lambda part: str(IPv4Network((f"10.0.{part[0] & 7}.{part[0]}", part[1]), strict=False))
)


@given(st.lists(st.tuples(networks, st.integers(0, 5)), min_size=2, max_size=6))
def test_of_any_overlapping_two_exactly_one_is_refused_for_the_other(drawn: list[tuple[str, int]]) -> None:
    pods = [_pod(f"p{number}", cidr, second) for number, (cidr, second) in enumerate(drawn)]
    against = {pod.metadata.name: {other.metadata.name for other in overlapping(pod, pods)} for pod in pods}
    for one in pods:
        for other in pods:
            if one is other:
                continue
            meet = IPv4Network(one.spec.management_cidr or "").overlaps(IPv4Network(other.spec.management_cidr or ""))
            blamed = (other.metadata.name in against[one.metadata.name]) + (one.metadata.name in against[other.metadata.name])
            assert blamed == int(meet)
