"""The life of a VM, from apply to delete, over a simulated host."""

from __future__ import annotations

from drivers.types import Power
from tests.support.vms import VMCloud, play, site, vm


async def running(cloud: VMCloud) -> None:
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm())
    await cloud.settle(30)


def test_apply_makes_a_running_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        print(cloud.raw("VirtualMachine", "shop/web"))
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().power is Power.ON

    play(story)
