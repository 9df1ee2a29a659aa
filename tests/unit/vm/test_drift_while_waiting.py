"""What is done to a VM by hand is told with every look at it, whatever it waits for, and becomes what it would without the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.support.snapshots import snapshot
from tests.support.vms import GIB, NETWORK, VMCloud, play, site, vm
from tests.support.volumes import mounts, volume
from tests.unit.placement.test_room import cluster

Step = Callable[[VMCloud], None]
ONE_HOST = Settings(hosts=1, cpus=8, memory=16 * GIB, boot=1, shutdown=1, durations={"snapshots.create_snapshot": 400})
HUGE = "kind: ServiceOffering\nmetadata: {name: huge}\nspec: {cpus: 2, memory: 14Gi}"
SAME = "kind: ServiceOffering\nmetadata: {name: other}\nspec: {cpus: 2, memory: 4Gi}"
FRONT = {"name": "front", "network": "front"}
PINNED = {"name": "more", "network": "front", "ip": "10.1.0.77"}
HOLDER = vm("holder", networks=["{name: nic, network: front, ip: 10.1.0.77}"])


@dataclass(frozen=True)
class Wait:
    """How a VM comes to wait, for what, how that ends without a change of its spec, and whether it is driven meanwhile."""

    begin: Step
    reason: str
    end: Step
    driven: bool = True
    before: Step = lambda cloud: None


def edit(**spec: Any) -> Step:
    return lambda cloud: cloud.edit(**spec)


def apply(text: str) -> Step:
    return lambda cloud: cloud.apply(text)


def host(cloud: VMCloud, state: str) -> None:
    cloud.api.edit(next(key for key in cloud.api.objects if key.kind == "Host"), adminState=state)


def maintained(cloud: VMCloud) -> None:
    host(cloud, "Maintenance")
    cloud.edit(restartedAt="2026-11-20T11:00:00Z")


WAITS = {
    "offering": Wait(edit(offering="other"), "OfferingNotFound", apply(SAME), driven=False),
    "network": Wait(
        edit(networks=[FRONT, {"name": "more", "network": "more"}]),
        "NetworkNotFound",
        apply(NETWORK.replace("name: front", "name: more").replace("10.1.", "10.3.")),
        driven=False,
    ),
    "address": Wait(
        edit(networks=[FRONT, PINNED]),
        "AddressInUse",
        lambda cloud: cloud.delete("VirtualMachine", "shop/holder"),
        driven=False,
        before=apply(HOLDER),
    ),
    "volume": Wait(edit(volumes=mounts("data")), "VolumeNotFound", apply(volume())),
    "room": Wait(
        edit(offering="huge"),
        "InsufficientCapacity",
        lambda cloud: cloud.delete("VirtualMachine", "shop/holder"),
        before=apply(HOLDER.replace("offering: small", "offering: large")),
    ),
    "maintenance": Wait(maintained, "HostInMaintenance", lambda cloud: host(cloud, "Enabled")),
}
EVERY = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
POLICIES = pytest.mark.parametrize("policy", ["", "Report", "Correct"], ids=["by default", "Report", "Correct"])


async def waits(cloud: VMCloud, wait: Wait, policy: str = "") -> None:
    """A VM that is at rest but for what it waits for."""
    cloud.apply(cluster("1h"))
    cloud.apply(HUGE)
    await cloud.settle(30)
    cloud.apply(vm(extra=f"driftPolicy: {policy}" if policy else ""))
    await cloud.settle(30)
    wait.before(cloud)
    await cloud.settle(30)
    assert cloud.reason() == ("True", "Running")
    wait.begin(cloud)
    await cloud.settle(60)
    assert cloud.reason() == ("False", wait.reason)
    assert told(cloud) == (False, ("True", "AsDeclared"))


def told(cloud: VMCloud, event: str = "HardwareDrift") -> tuple[bool, tuple[str, str] | None]:
    return event in cloud.events("web"), cloud.reason(type="InSync")


def nics(cloud: VMCloud) -> list[str]:
    return list(cloud.datacentre.vm().nics)


@EVERY
def test_the_end_of_a_wait_is_no_drift(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        wait.end(cloud)
        await cloud.settle(240)
        assert cloud.reason() == ("True", "Running")
        assert told(cloud) == (False, ("True", "AsDeclared"))

    play(story, settings=ONE_HOST)


@EVERY
@POLICIES
def test_hardware_is_told_at_once_and_left_or_put_right_by_the_policy(wait: Wait, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait, policy)
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(40)
        assert told(cloud)[0]
        if policy == "Correct" and wait.driven:
            assert nics(cloud) == ["front"]
            assert cloud.reason() == ("False", wait.reason), "it waits on"
        else:
            assert told(cloud) == (True, ("False", "Drift"))
            assert "interfaces" in cloud.text(type="InSync")
            assert nics(cloud) == []
        wait.end(cloud)
        await cloud.settle(240)
        if policy == "Correct":
            assert cloud.reason() == ("True", "Running")
            assert "front" in nics(cloud)
            assert cloud.reason(type="InSync") == ("True", "AsDeclared")
        else:
            assert cloud.reason() == ("False", "HardwareDrift")
            assert "front" not in nics(cloud), "the end of the wait corrects nothing"
            cloud.edit(driftPolicy="Correct")
            await cloud.settle(120)
            assert cloud.reason() == ("True", "Running")
            assert "front" in nics(cloud)

    play(story, settings=ONE_HOST)


@EVERY
def test_what_is_put_back_by_hand_is_no_drift_any_more(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        cloud.datacentre.act(Act.SET_CPUS, "web", "1")
        await cloud.settle(40)
        assert told(cloud) == (True, ("False", "Drift"))
        cloud.datacentre.act(Act.SET_CPUS, "web", "2")
        await cloud.settle(60)
        assert cloud.reason(type="InSync") == ("True", "AsDeclared")
        assert cloud.reason() == ("False", wait.reason)
        wait.end(cloud)
        await cloud.settle(240)
        assert cloud.reason() == ("True", "Running")

    play(story, settings=ONE_HOST)


@EVERY
def test_a_restarted_controller_neither_forgets_nor_corrects_it(wait: Wait) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait)
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(40)
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason(type="InSync") == ("False", "Drift")
        assert nics(cloud) == []
        wait.end(cloud)
        await cloud.settle(240)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert "front" not in nics(cloud)

    play(story, settings=ONE_HOST)


UNDRIVEN = pytest.mark.parametrize(
    "wait", [each for each in WAITS.values() if not each.driven], ids=[name for name, each in WAITS.items() if not each.driven]
)


@UNDRIVEN
@POLICIES
def test_power_is_told_at_once_and_left_until_the_vm_can_be_driven(wait: Wait, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait, policy)
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await cloud.settle(40)
        assert "PowerStateDrift" in cloud.events("web")
        assert cloud.reason(type="PowerStateSynced") == ("False", "Drift")
        assert cloud.reason() == ("False", wait.reason)
        assert cloud.datacentre.vm().power is Power.OFF
        wait.end(cloud)
        await cloud.settle(240)
        left = policy == "Report"
        assert cloud.datacentre.vm().power is (Power.OFF if left else Power.ON)
        assert cloud.reason() == (("False", "PowerStateDrift") if left else ("True", "Running"))

    play(story, settings=ONE_HOST)


@UNDRIVEN
@POLICIES
def test_one_that_somebody_started_is_stopped_unless_it_is_to_be_reported(wait: Wait, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, wait, policy)
        cloud.edit(powerState="Off", stopMode="Hard")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.OFF
        assert "PowerStateDrift" not in cloud.events("web"), "it was declared"
        cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        assert "PowerStateDrift" in cloud.events("web")
        assert cloud.datacentre.vm().power is (Power.ON if policy == "Report" else Power.OFF)
        assert cloud.reason() == ("False", wait.reason)

    play(story, settings=ONE_HOST)


def test_what_was_told_before_the_spec_changed_is_for_the_new_spec_to_put_right() -> None:
    """Also if that one has to wait first."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(40)
        assert cloud.reason() == ("False", "HardwareDrift")
        cloud.edit(offering="other")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "OfferingNotFound")
        cloud.apply(SAME)
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert nics(cloud) == ["front"]

    play(story, settings=ONE_HOST)


def test_what_was_changed_while_the_host_did_not_answer() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm())
        await cloud.settle(60)
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(240)
        assert cloud.reason() == ("False", "HostDown")
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(240)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert told(cloud) == (True, ("False", "Drift"))
        assert nics(cloud) == []

    play(story, settings=ONE_HOST)


@POLICIES
def test_while_a_snapshot_is_taken(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(vm(extra=f"driftPolicy: {policy}" if policy else ""))
        await cloud.settle(60)
        cloud.apply(snapshot())
        await cloud.settle(60)
        assert not cloud.datacentre.vm().snapshots
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(60)
        assert told(cloud) == (True, ("False", "Drift"))
        assert nics(cloud) == [], "nobody but the snapshot works on it"
        await cloud.settle(600)
        assert nics(cloud) == (["front"] if policy == "Correct" else [])
        assert cloud.reason() == (("True", "Running") if policy == "Correct" else ("False", "HardwareDrift"))

    play(story, settings=ONE_HOST)


def test_nothing_is_written_twice_of_what_lasts() -> None:
    async def story(cloud: VMCloud) -> None:
        await waits(cloud, WAITS["offering"])
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        cloud.datacentre.act(Act.ADD_DEVICE, "web", "usb-1")
        await cloud.settle(60)
        assert "usb-1" in cloud.text(type="InSync")
        assert "interfaces" in cloud.text(type="InSync")
        written = cloud.writes
        for _ in range(10):
            await asyncio.sleep(60)
        assert cloud.writes == written
        assert cloud.events("web").count("HardwareDrift") == 1

    play(story, settings=ONE_HOST)
