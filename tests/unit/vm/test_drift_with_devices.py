"""A VM with a device that somebody gave it by hand: what else is changed by hand is treated as on any other VM."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from tests.support.vms import VMCloud, play, site, vm

DEVICES = pytest.mark.parametrize("device", [(Act.ADD_DEVICE, "usb-1"), (Act.REMOVE_DISK, "root")], ids=lambda each: each[0])


async def begin(cloud: VMCloud, device: tuple[Act, str], policy: str = "") -> None:
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm(extra=policy))
    await cloud.settle(30)
    cloud.datacentre.act(device[0], "web", device[1])
    await cloud.settle(30)
    assert cloud.reason(type="InSync") in (("False", "ForeignDevices"), ("False", "DiskMissing"))


def hardware(cloud: VMCloud) -> tuple[int, list[str]]:
    found = cloud.datacentre.vm()
    return found.cpus, list(found.nics)


def ready(device: tuple[Act, str]) -> tuple[str, str]:
    return ("False", "DiskMissing") if device[0] is Act.REMOVE_DISK else ("True", "Running")


@DEVICES
@pytest.mark.parametrize("policy", ["", "driftPolicy: Report"], ids=["by default", "Report"])
@pytest.mark.parametrize("act", [(Act.SET_CPUS, "1"), (Act.REMOVE_NIC, "front")], ids=lambda each: each[0])
def test_hardware_is_reported_and_left(device: tuple[Act, str], policy: str, act: tuple[Act, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, device, policy)
        cloud.datacentre.act(act[0], "web", act[1])
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert cloud.reason(type="InSync") == ("False", "Drift")
        changed = (1, ["front"]) if act[0] is Act.SET_CPUS else (2, [])
        assert hardware(cloud) == changed
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")
        assert hardware(cloud) == changed

    play(story)


@DEVICES
def test_hardware_is_put_right_where_that_is_the_policy(device: tuple[Act, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, device, "driftPolicy: Correct")
        cloud.datacentre.act(Act.SET_CPUS, "web", "1")
        await cloud.settle(60)
        assert hardware(cloud) == (2, ["front"])
        assert cloud.reason() == ready(device)

    play(story)


@DEVICES
def test_a_new_spec_is_carried_out(device: tuple[Act, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, device)
        cloud.edit(offering="large")
        await cloud.settle(60)
        assert hardware(cloud) == (4, ["front"])
        assert cloud.reason() == ready(device)
        assert "HardwareDrift" not in cloud.events("web")

    play(story)
