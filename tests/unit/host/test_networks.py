"""What a host can carry segments with → its status, and whether it gets VMs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.host import networks
from crds.v1alpha1.host import HostStatus
from drivers.types import NetworkBackend, NetworkSupport
from tests.support.cloud import CLUSTER, HOST, POD, ZONE, Cloud, play
from tests.support.hypervisors import Hypervisor, host

OVS = NetworkSupport(NetworkBackend.OVS, None, False, "ports of Open vSwitch pass no filters")
BRIDGE = NetworkSupport(NetworkBackend.BRIDGE, True, True)
LINUX = NetworkSupport(NetworkBackend.LINUX, False, True, "no SSH login to the host")
ALL = (OVS, BRIDGE, LINUX)
GUESTS = {
    NetworkBackend.OVS: "{backend: OVS, bridge: ovsbr0}",
    NetworkBackend.BRIDGE: '{backend: Bridge, bridge: "br-vlan{segment}"}',
    NetworkBackend.LINUX: "{backend: Linux, uplink: eno2}",
}


def place(backend: NetworkBackend) -> str:
    cluster = CLUSTER.replace("hypervisor: Simulator", f"hypervisor: Simulator, guestNetwork: {GUESTS[backend]}")
    return "\n---\n".join([ZONE, POD, cluster, HOST])


def facet(cloud: Cloud, type: str) -> str | None:
    found = cloud.condition("Host", "h1", type)
    return f"{found[0]} {found[1]}" if found else None


@given(
    st.lists(
        st.builds(
            NetworkSupport, st.sampled_from(NetworkBackend), st.none() | st.booleans(), st.booleans(), st.text(max_size=3000)
        ),
        max_size=3,
        unique_by=lambda each: each.backend,
    )
)
def test_whatever_is_said_fits_the_api(told: list[NetworkSupport]) -> None:
    status = HostStatus()
    networks.fill(status, told)
    assert HostStatus.model_validate(status.to_json()).to_json() == status.to_json()
    assert [each.backend for each in status.networks] == [each.backend.value for each in told]


@pytest.mark.parametrize(
    ("backend", "ready", "guarded", "schedulable"),
    [
        (NetworkBackend.OVS, "True NotSeen", "False NotGuarded", "True Up"),
        (NetworkBackend.BRIDGE, "True Bridge", "True Bridge", "True Up"),
        (NetworkBackend.LINUX, "False NetworkBackendMissing", "True Linux", "False NetworkBackendMissing"),
    ],
)
def test_what_counts_is_the_backend_of_the_cluster(backend: NetworkBackend, ready: str, guarded: str, schedulable: str) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.set_host("h1", networks=ALL)
        cloud.apply(place(backend))
        await cloud.settle()
        assert [facet(cloud, type) for type in ("NetworkReady", "AddressesGuarded", "Schedulable")] == [ready, guarded, schedulable]
        told = {each["backend"]: each for each in cloud.status("Host", "h1")["networks"]}
        assert {name: each["available"] for name, each in told.items()} == {"OVS": "Unknown", "Bridge": "True", "Linux": "False"}
        assert told["Linux"]["message"] == "no SSH login to the host"
        assert cloud.kstatus("Host", "h1") == "Current", "the host itself is well"

    play(story)


def test_a_backend_that_comes_opens_the_host_and_nothing_more_is_written() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.set_host("h1", networks=ALL)
        cloud.apply(place(NetworkBackend.LINUX))
        await cloud.settle()
        assert "no SSH login" in cloud.message("Host", "h1", "Schedulable")
        hypervisor.set_host("h1", networks=(OVS, BRIDGE, NetworkSupport(NetworkBackend.LINUX, True, True)))
        await cloud.settle()
        assert [facet(cloud, type) for type in ("NetworkReady", "Schedulable")] == ["True Linux", "True Up"]
        before = cloud.writes
        await cloud.settle(7200)
        assert cloud.writes == before

    play(story)


def test_a_hypervisor_without_such_a_choice_has_no_such_facets() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(place(NetworkBackend.LINUX))
        await cloud.settle()
        assert (facet(cloud, "NetworkReady"), facet(cloud, "AddressesGuarded")) == (None, None)
        assert facet(cloud, "Schedulable") == "True Up"

    play(story)
