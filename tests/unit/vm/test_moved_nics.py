"""An interface that somebody plugs in elsewhere: seen, said with both places, left or put back as the policy says."""

from __future__ import annotations

from typing import Any

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, ObservedNIC
from tests.support.adoption import adopting, foreign, like, opened, phase, ready, report
from tests.support.vms import GIB, VMCloud, play
from tests.unit.vm.things import running

PLACES = {"another bridge": ("other", None), "another VLAN": ("guest", 7), "untagged": ("guest", 0), "both": ("other", 7)}
places = pytest.mark.parametrize(("bridge", "vlan"), PLACES.values(), ids=PLACES.keys())


def vlan_of(cloud: VMCloud) -> int:
    return int(cloud.status("Network", "shop/front")["segment"]["vlan"])


def words(cloud: VMCloud, bridge: str, vlan: int | None) -> tuple[str, str]:
    """What the act is told, and what is said of it."""
    number = vlan_of(cloud) if vlan is None else vlan
    return f"front={bridge}/{number or ''}", f"on bridge {bridge}, {f'vlan-{number}' if number else 'untagged'}"


def nic(cloud: VMCloud) -> ObservedNIC:
    [found] = [vm for vm in cloud.datacentre.census.vms if vm.owner]
    return found.nics[0]


@places
@pytest.mark.parametrize("policy", ["", "driftPolicy: Report"], ids=["by default", "Report"])
def test_it_is_reported_with_both_places_and_left(policy: str, bridge: str, vlan: int | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        value, now = words(cloud, bridge, vlan)
        cloud.datacentre.act(Act.MOVE_NIC, "web", value)
        await cloud.settle(60)
        expected = f"interfaces (front is {now} instead of bridge guest, vlan-{vlan_of(cloud)})"
        assert (cloud.reason(), cloud.reason(type="InSync")) == (("False", "HardwareDrift"), ("False", "Drift"))
        assert expected in cloud.text(type="InSync")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert cloud.events("web").count("HardwareDrift") == 1
        await cloud.restart()
        await cloud.settle(60)
        written = cloud.writes
        await cloud.settle(600)
        assert cloud.writes == written
        assert nic(cloud).moved is not None, "it is left, also by a controller that has just started"
        assert expected in cloud.text(type="InSync")

    play(story)


@places
def test_it_is_put_back_where_that_is_the_policy(bridge: str, vlan: int | None) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        before, value = nic(cloud), words(cloud, bridge, vlan)[0]
        cloud.datacentre.act(Act.MOVE_NIC, "web", value)
        await cloud.settle(60)
        assert nic(cloud) == before
        assert (cloud.reason(), cloud.reason(type="InSync")) == (("True", "Running"), ("True", "AsDeclared"))
        assert "HardwareDrift" in cloud.events("web")
        assert cloud.datacentre.vm().starts == 1

    play(story)


def test_once_it_is_back_by_itself_all_is_well() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.MOVE_NIC, "web", "front=other/7")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        cloud.datacentre.act(Act.MOVE_NIC, "web", f"front=guest/{vlan_of(cloud)}")
        await cloud.settle(60)
        assert (cloud.reason(), cloud.reason(type="InSync")) == (("True", "Running"), ("True", "AsDeclared"))

    play(story)


def test_a_new_spec_takes_it_back_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.MOVE_NIC, "web", "front=other/7")
        await cloud.settle(60)
        cloud.edit(offering="large")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert nic(cloud).moved is None

    play(story)


def test_where_a_running_vm_cannot_have_it_back_it_says_what_that_needs() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        cloud.datacentre.act(Act.MOVE_NIC, "web", "front=other/7")
        await cloud.settle(60)
        [change] = cloud.vm()["pendingChanges"]
        made = f"bridge guest, vlan-{vlan_of(cloud)}"
        assert (change["field"], change["current"], change["desired"]) == ("spec.networks[front]", "bridge other, vlan-7", made)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert nic(cloud).moved is None

    capabilities = Settings().capabilities - {Capability.NIC_HOTPLUG}
    play(story, settings=Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5, capabilities=capabilities))


@pytest.mark.parametrize("policy", ["", "driftPolicy: Report", "driftPolicy: Correct"])
def test_a_network_that_has_another_segment_is_no_drift(policy: str) -> None:
    """As one whose finalizer somebody took off, and that was made again: the interface follows it."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        before = vlan_of(cloud)
        cloud.api.objects.pop(Key("Network", "shop", "front"))
        cloud.apply(
            "kind: Network\nmetadata: {name: front, namespace: shop}\n"
            "spec: {zone: z1, type: Shared, segment: {vlan: 77}, subnet: {cidr: 10.1.0.0/24, gateway: 10.1.0.1}}"
        )
        await cloud.settle(120)
        assert (before != 77, vlan_of(cloud)) == (True, 77)
        assert cloud.reason() == ("True", "Running")
        assert (nic(cloud).segment.vlan, nic(cloud).moved) == (77, None)
        assert "HardwareDrift" not in cloud.events("web")

    play(story)


@pytest.mark.parametrize("network", [{"backend": "OVS", "bridge": "new"}, {"backend": "Bridge", "bridge": "new-{segment}"}])
def test_a_cluster_that_carries_its_segments_otherwise_is_no_drift(network: dict[str, Any]) -> None:
    """What is there stays where it was made."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        written = [vm.nics for vm in cloud.datacentre.census.vms]
        cloud.api.edit(Key("Cluster", "", "c1"), guestNetwork=network)
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.reason() == ("True", "Running")
        assert [vm.nics for vm in cloud.datacentre.census.vms] == written
        assert "HardwareDrift" not in cloud.events("web")

    play(story)


def test_a_dry_run_of_an_adoption_says_it_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(opened())
        foreign(cloud, like(cloud))
        cloud.apply(adopting())
        await cloud.settle(20)
        assert (phase(cloud), report(cloud)) == ("Matches", {})
        [mac] = [nic.mac for vm in cloud.datacentre.census.vms for nic in vm.nics]
        cloud.datacentre.act(Act.MOVE_NIC, "host-00001/11111111-2222-4333-8444-555555555555", f"{mac}=other/{vlan_of(cloud)}")
        await cloud.settle(60)
        assert (phase(cloud), report(cloud)) == ("Refused", {"spec.networks[front]": "Refused"})
        [difference] = cloud.vm()["adoption"]["differences"]
        vlan = f"vlan-{vlan_of(cloud)}"
        assert (difference["declared"], difference["actual"]) == (f"{vlan} on bridge guest", f"{vlan} on bridge other")

    play(story)
