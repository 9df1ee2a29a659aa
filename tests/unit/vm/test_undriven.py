"""A VM that its spec keeps from being driven is still shown as it is, and holds nothing that others could use."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support.vms import VMCloud, play, site, vm

PINNED_ELSEWHERE = [{"name": "front", "network": "front", "ip": "10.1.0.77"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"offering": "nope"}, "OfferingNotFound"),
        ({"networks": [{"name": "front", "network": "nope"}]}, "NetworkNotFound"),
        ({"networks": PINNED_ELSEWHERE}, "AddressFixed"),
    ],
)
def test_power_that_is_lost_is_seen_though_the_spec_is_wrong(change: dict[str, Any], reason: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        cloud.edit(**change)
        await cloud.settle(30)
        assert cloud.reason() == ("False", reason)
        assert cloud.vm()["state"] == "Running"
        cloud.datacentre.act(Act.POWER_OFF, "web")
        await cloud.settle(30)
        assert cloud.reason() == ("False", reason)
        assert cloud.datacentre.vm().power is Power.OFF
        assert cloud.vm()["state"] == "Stopped"

    play(story)


@pytest.mark.parametrize("change", [{"offering": "nope"}, {"networks": PINNED_ELSEWHERE}], ids=["reference", "address"])
def test_off_is_carried_out_though_the_spec_is_wrong(change: dict[str, Any]) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        cloud.edit(**change, powerState="Off")
        await cloud.settle(180)
        assert cloud.datacentre.vm().power is Power.OFF
        assert cloud.vm()["state"] == "Stopped"
        assert cloud.job() == ("StopVirtualMachine", "Succeeded")
        assert cloud.reason() in {("False", "OfferingNotFound"), ("False", "AddressFixed")}

    play(story)


def test_a_vm_without_an_address_has_no_place() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm(networks=["{name: front, network: front, ip: 10.9.9.9}"]))
        await cloud.settle(30)
        assert cloud.reason() == ("False", "AddressOutsideSubnet")
        assert cloud.reason(type="NetworksReady") == ("False", "AddressOutsideSubnet")
        assert cloud.reason(type="Placed") is None
        assert "host" not in cloud.vm()
        assert cloud.controller.parts.placements.size(cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"]) is None

    play(story)
