"""A network that a host loses under a VM: seen, said with the interface and the network, left or mended as the policy says."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, ObservedNIC, Power
from tests.support.vms import GIB, VMCloud, play
from tests.unit.vm.things import running

HOST = "host-00001"
BY_POLICY = pytest.mark.parametrize("policy", ["", "driftPolicy: Report"], ids=["by default", "Report"])


def vlan_of(cloud: VMCloud) -> int:
    return int(cloud.status("Network", "shop/front")["segment"]["vlan"])


def place(cloud: VMCloud) -> str:
    return f"bridge guest, vlan-{vlan_of(cloud)}"


def lost(cloud: VMCloud) -> str:
    """What is said of the NIC while its network is not there."""
    return f"front of network shop/front is in the air: the host has no {place(cloud)}"


def nic(cloud: VMCloud) -> ObservedNIC:
    [found] = [vm for vm in cloud.datacentre.census.vms if vm.owner]
    return found.nics[0]


def lose(cloud: VMCloud, network: str = "guest") -> None:
    cloud.datacentre.act(Act.LOSE_NETWORK, HOST, network)


def heal(cloud: VMCloud, network: str = "guest") -> None:
    cloud.datacentre.act(Act.HEAL_NETWORK, HOST, network)


def facets(cloud: VMCloud) -> list[tuple[str, str] | None]:
    return [cloud.reason(type=type) for type in ("Ready", "InSync", "NetworksReady")]


WELL = [("True", "Running"), ("True", "AsDeclared"), ("True", "Attached")]


@BY_POLICY
def test_it_is_reported_with_interface_and_network_and_left(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        lose(cloud)
        await cloud.settle(60)
        assert facets(cloud) == [("False", "HardwareDrift"), ("False", "Drift"), ("False", "Unplugged")]
        assert f"interfaces ({lost(cloud)})" in cloud.text(type="InSync")
        assert cloud.text(type="NetworksReady") == lost(cloud)
        assert cloud.vm()["state"] == "Running"
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        [event] = [each for each in cloud.api.events if each.reason == "HardwareDrift"]
        assert lost(cloud) in event.message
        await cloud.restart()
        await cloud.settle(60)
        written = cloud.writes
        await cloud.settle(600)
        assert cloud.writes == written
        heal(cloud)
        await cloud.settle(60)
        assert f"front of network shop/front is in the air, not on {place(cloud)}" in cloud.text(type="InSync")
        assert nic(cloud).unplugged is not None, "it is left, also where it could be put back"

    play(story)


def test_once_somebody_has_put_it_back_all_is_well() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        lose(cloud)
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        heal(cloud)
        cloud.datacentre.act(Act.MOVE_NIC, "web", f"front=guest/{vlan_of(cloud)}")
        await cloud.settle(60)
        assert facets(cloud) == WELL

    play(story)


def test_it_is_waited_for_without_a_call_and_put_back_as_soon_as_it_is_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        before = nic(cloud)
        lose(cloud)
        await cloud.settle(60)
        assert facets(cloud) == [("False", "NetworkMissing"), ("False", "Unplugged"), ("False", "Unplugged")]
        assert [cloud.text(), cloud.text(type="InSync")] == [f"{lost(cloud)}; put back as soon as that is there", lost(cloud)]
        assert cloud.job() == ("DeployVirtualMachine", "Succeeded"), "nothing is begun that can't be done"
        assert cloud.kstatus("VirtualMachine", "shop/web") == "InProgress"
        written, calls = cloud.writes, cloud.points["before apply"]
        await cloud.settle(3600)
        assert (cloud.writes, cloud.points["before apply"]) == (written, calls)
        heal(cloud)
        await cloud.settle(10)
        assert (facets(cloud), nic(cloud)) == (WELL, before)
        assert cloud.events("web").count("HardwareDrift") == 1
        assert cloud.datacentre.vm().starts == 1

    play(story)


def test_a_controller_that_has_just_started_puts_it_back_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        lose(cloud)
        await cloud.settle(60)
        await cloud.restart()
        await cloud.settle(60)
        assert facets(cloud)[:2] == [("False", "NetworkMissing"), ("False", "Unplugged")]
        await cloud.controller.kill()
        heal(cloud)
        await cloud.restart()
        await cloud.settle(60)
        assert facets(cloud) == WELL

    play(story)


def test_a_call_that_puts_it_back_and_fails_is_made_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        lose(cloud)
        await cloud.settle(60)
        cloud.datacentre.fail("compute.apply")
        cloud.datacentre.fail("compute.apply", FaultKind.LOSE_REPLY)
        heal(cloud)
        await cloud.settle(240)
        assert (facets(cloud), nic(cloud).unplugged) == (WELL, None)

    play(story)


def test_a_segment_concerns_those_alone_that_are_on_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        lose(cloud, f"guest/{vlan_of(cloud) + 1}")
        await cloud.settle(60)
        assert facets(cloud) == WELL
        assert cloud.condition("Host", "h1", "Schedulable") == ("True", "Up")
        lose(cloud, f"guest/{vlan_of(cloud)}")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert cloud.condition("Host", "h1", "Schedulable") == ("True", "Up"), "VMs of other networks may still go there"

    play(story)


def test_a_vm_is_started_once_its_network_is_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 'powerState: "Off"')
        lose(cloud)
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "NetworkMissing")
        assert f"has no {place(cloud)}, which NIC 'front' needs" in cloud.text()
        assert cloud.datacentre.vm().power is Power.OFF
        heal(cloud)
        await cloud.settle(600)
        assert (facets(cloud), cloud.datacentre.vm().starts) == (WELL, 1)

    play(story)


def test_one_that_is_no_longer_declared_is_taken_off_without_its_network() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        lose(cloud)
        await cloud.settle(60)
        cloud.edit(networks=[])
        await cloud.settle(60)
        assert (facets(cloud), cloud.datacentre.vm().nics) == (WELL, {})

    play(story)


def test_a_vm_that_is_stopped_has_nothing_in_the_air() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        lose(cloud)
        await cloud.settle(60)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert facets(cloud) == [("True", "Stopped"), *WELL[1:]]

    play(story)


def test_where_a_running_vm_cannot_have_it_back_it_says_what_that_needs() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        lose(cloud)
        heal(cloud)
        await cloud.settle(60)
        [change] = cloud.vm()["pendingChanges"]
        assert (change["field"], change["current"], change["desired"]) == ("spec.networks[front]", "in the air", place(cloud))
        assert change["needs"] == "PowerOff"
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert facets(cloud) == WELL

    capabilities = Settings().capabilities - {Capability.NIC_HOTPLUG}
    play(story, settings=Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5, capabilities=capabilities))


def test_what_else_was_done_by_hand_is_told_beside_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.ADD_DEVICE, "web", "usb-1")
        lose(cloud)
        await cloud.settle(60)
        text = cloud.text(type="InSync")
        assert text.count("in the air") == 1
        assert "devices not made by Vireo: usb-1" in text

    play(story)
