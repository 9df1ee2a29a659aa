"""What somebody changes on a VM by hand: its power and its hardware."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import VMCloud, play
from tests.unit.vm.things import running


@pytest.mark.parametrize("policy", ["Correct", "Report"])
@pytest.mark.parametrize(
    ("declared", "act"), [("On", Act.POWER_OFF), ("On", Act.CRASH_VM), ("Off", Act.POWER_ON)], ids=["off", "crash", "on"]
)
def test_power_changed_by_hand(policy: str, declared: str, act: Act) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f'driftPolicy: {policy}, powerState: "{declared}"')
        cloud.datacentre.act(act, "web")
        await cloud.settle(30)
        corrected = (cloud.datacentre.vm().power is Power.ON) == (declared == "On")
        assert "PowerStateDrift" in cloud.events("web")
        assert corrected == (policy == "Correct")
        if policy == "Correct":
            assert cloud.reason() == ("True", "Running" if declared == "On" else "Stopped")
            assert cloud.job()[1] == "Succeeded"
        else:
            assert cloud.reason() == ("False", "PowerStateDrift")
            assert cloud.reason(type="PowerStateSynced") == ("False", "Drift")
            await cloud.settle(120)
            written = cloud.writes
            await cloud.settle(600)
            assert cloud.writes == written

    play(story)


HARDWARE: list[tuple[Act, str, dict[str, Any], tuple[str, str]]] = [
    (Act.ADD_DEVICE, "usb-1", {}, ("False", "ForeignDevices")),
    (Act.REMOVE_NIC, "front", {"driftPolicy": "Correct"}, ("True", "AsDeclared")),
    (Act.SET_CPUS, "1", {"driftPolicy": "Correct"}, ("True", "AsDeclared")),
]


@pytest.mark.parametrize(("act", "value", "policy", "expected"), HARDWARE, ids=[each[0] for each in HARDWARE])
def test_hardware_changed_by_hand(act: Act, value: str, policy: dict[str, str], expected: tuple[str, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(**policy)
        await cloud.settle(10)
        cloud.datacentre.act(act, "web", value)
        await cloud.settle(60)
        assert cloud.reason(type="InSync") == expected
        assert cloud.reason() == ("True", "Running")
        assert [disk["pool"] for disk in cloud.vm()["disks"]] == ["s1"], "the pool is known as long as the VM is"
        assert list(cloud.datacentre.vm().nics) == ["front"]
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.datacentre.vms

    play(story)


@pytest.mark.parametrize("policy", ["", "driftPolicy: Report"], ids=["by default", "Report"])
@pytest.mark.parametrize("act", [(Act.SET_CPUS, "1"), (Act.REMOVE_NIC, "front")], ids=lambda act: act[0])
def test_hardware_changed_by_hand_is_reported_and_left_until_the_spec_changes(act: tuple[Act, str], policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        cloud.datacentre.act(act[0], "web", act[1])
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert cloud.reason(type="InSync") == ("False", "Drift")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift"), "a restart of the controller corrects nothing"
        changed = cloud.datacentre.vm()
        assert (changed.cpus, list(changed.nics)) == ((1, ["front"]) if act[0] is Act.SET_CPUS else (2, []))
        cloud.edit(driftPolicy="Correct")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert (cloud.datacentre.vm().cpus, list(cloud.datacentre.vm().nics)) == (2, ["front"])

    play(story)


@pytest.mark.parametrize("policy", ["", "driftPolicy: Correct"], ids=["by default", "Correct"])
def test_what_waits_for_a_restart_hides_no_drift(policy: str) -> None:
    """It may wait for months; what is declared of CPUs meanwhile is not what runs, and nobody changed that by hand."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        cloud.edit(offering="large")
        await cloud.settle(30)
        cloud.edit(offering="small")
        await cloud.settle(30)
        assert cloud.reason(type="RestartRequired") == ("True", "ChangesPending")
        assert "HardwareDrift" not in cloud.events("web")
        cloud.datacentre.act(Act.REMOVE_NIC, "web", "front")
        await cloud.settle(60)
        assert "HardwareDrift" in cloud.events("web")
        assert list(cloud.datacentre.vm().nics) == (["front"] if policy else [])
        if not policy:
            assert cloud.reason() == ("False", "HardwareDrift")
            assert "interfaces" in cloud.text()
            assert "CPUs" not in cloud.text()
            assert cloud.vm()["pendingChanges"]
        cloud.edit(restartedAt="2026-11-22T11:00:00Z")
        await cloud.settle(4 * 3600)
        assert cloud.reason() == ("True", "Running")
        assert (cloud.datacentre.vm().running_cpus, list(cloud.datacentre.vm().nics)) == (2, ["front"])
        assert "pendingChanges" not in cloud.vm()

    play(story)


def test_a_resize_is_no_drift() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "driftPolicy: Report")
        cloud.edit(offering="large")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert "HardwareDrift" not in cloud.events("web")

    play(story)


@pytest.mark.parametrize("policy", ["Correct", "Report"])
def test_unknown_power_is_neither_drift_nor_ready(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        def becomes(power: Power) -> None:
            found = cloud.datacentre.vm()
            found.power = power
            cloud.datacentre.service.dc.vm_changed(found)
            cloud.datacentre.woken.set()

        await running(cloud, f"driftPolicy: {policy}")
        becomes(Power.UNKNOWN)
        await cloud.settle(60)
        assert cloud.reason() == ("False", "PowerUnknown")
        assert cloud.vm()["state"] == "Unknown"
        assert cloud.reason(type="PowerStateSynced") == ("Unknown", "PowerUnknown")
        assert "PowerStateDrift" not in cloud.events("web")
        becomes(Power.ON)
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().starts == 1

    play(story)
