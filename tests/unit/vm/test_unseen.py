"""What is said of a VM whose host does not answer, of one that was renamed, and of several things that were done by hand."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.types import Power
from tests.support.vms import VMCloud, play, site, vm


async def running(cloud: VMCloud, extra: str = "") -> None:
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm(extra=extra))
    await cloud.settle(30)
    assert cloud.reason() == ("True", "Running")


async def silent(cloud: VMCloud, seconds: float = 240.0) -> None:
    for method in ("*",):
        cloud.datacentre.fail(method, FaultKind.HANG, count=None)
    await cloud.settle(seconds)
    assert cloud.reason() == ("False", "HostDown")


async def back(cloud: VMCloud) -> None:
    cloud.datacentre.heal()
    await cloud.settle(240)


def facets(cloud: VMCloud) -> list[Any]:
    return [cloud.reason(type=type) for type in ("PowerStateSynced", "InSync")]


def test_nothing_is_claimed_of_what_nobody_can_see() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        await silent(cloud)
        assert facets(cloud) == [("Unknown", "LastSeenAsDeclared"), ("Unknown", "HostDown")]
        assert "does not answer" in cloud.text(type="PowerStateSynced")
        written = cloud.writes
        await cloud.settle(1800)
        assert cloud.writes == written
        await back(cloud)
        assert facets(cloud) == [("True", "AsDeclared"), ("True", "AsDeclared")]
        assert cloud.datacentre.vm().starts == 1

    play(story)


@pytest.mark.parametrize(("policy", "power"), [("Report", Power.OFF), ("Correct", Power.ON)])
def test_power_that_changed_meanwhile_is_drift(policy: str, power: Power) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f"driftPolicy: {policy}")
        await silent(cloud)
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await back(cloud)
        assert cloud.datacentre.vm().power is power
        assert "PowerStateDrift" in cloud.events("web")
        expected = ("False", "Drift") if policy == "Report" else ("True", "AsDeclared")
        assert cloud.reason(type="PowerStateSynced") == expected

    play(story)


def test_drift_that_was_reported_before_stays_reported() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Report")
        cloud.datacentre.act(Act.SET_CPUS, "web", "1")
        await cloud.settle(30)
        assert cloud.reason() == ("False", "HardwareDrift")
        await silent(cloud)
        assert cloud.reason(type="InSync") == ("Unknown", "Drift")
        await back(cloud)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert cloud.datacentre.vm().cpus == 1
        cloud.datacentre.act(Act.SET_CPUS, "web", "2")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_what_the_user_changes_meanwhile_is_no_drift() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Report")
        await silent(cloud)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert cloud.reason(type="PowerStateSynced") == ("Unknown", "HostDown")
        await back(cloud)
        assert cloud.datacentre.vm().power is Power.OFF
        assert cloud.reason() == ("True", "Stopped")
        assert "PowerStateDrift" not in cloud.events("web")

    play(story)


def test_all_that_was_done_by_hand_is_told_together() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for name in ("usb-1", "usb-2"):
            cloud.datacentre.act(Act.ADD_DEVICE, "web", name)
        cloud.datacentre.act(Act.SET_CPUS, "web", "1")
        await cloud.settle(30)
        assert cloud.reason(type="InSync") == ("False", "Drift")
        text = cloud.text(type="InSync")
        assert "changed on the hypervisor: CPUs" in text
        assert "devices not made by Vireo: usb-1, usb-2" in text
        cloud.datacentre.act(Act.REMOVE_DISK, "web", "root")
        cloud.datacentre.act(Act.SET_CPUS, "web", "2")
        await cloud.settle(30)
        assert cloud.reason(type="InSync") == ("False", "DiskMissing")
        text = cloud.text(type="InSync")
        assert "removed from the VM on the hypervisor: root" in text
        assert "usb-1, usb-2" in text
        assert "CPUs" not in text

    play(story)


def test_however_much_was_done_the_message_has_an_end() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        for number in range(40):
            cloud.datacentre.act(Act.ADD_DEVICE, "web", f"usb-{number:02}-{'x' * 300}")
        await cloud.settle(30)
        text = cloud.text(type="InSync")
        assert "and 30 more" in text
        assert len(text) < 1024

    play(story)


def test_a_renamed_vm_is_told_once_and_keeps_its_name() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Correct")
        before = cloud.vm()["hypervisorName"]
        cloud.datacentre.act(Act.RENAME_VM, "web", "other")
        await cloud.settle(30)
        assert cloud.events("web").count("Renamed") == 1
        [event] = [each for each in cloud.api.events if each.reason == "Renamed"]
        assert before in event.message
        assert "other" in event.message
        assert cloud.vm()["hypervisorName"] == cloud.datacentre.vm().name == "other"
        assert cloud.reason() == ("True", "Running")
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.events("web").count("Renamed") == 1

    play(story)
