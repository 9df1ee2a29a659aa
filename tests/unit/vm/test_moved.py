"""A VM that somebody moved is followed, never taken for deleted and made a second time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support.vms import GIB, VMCloud, play, site, vm

ONE, TWO = "host-00001", "host-00002"
BUSY = Settings(hosts=2, cpus=16, memory=64 * GIB, boot=1, shutdown=1)
SHARED = 'endpoint: {url: "simulator://dc/"}'


def as_one_endpoint(text: str) -> str:
    """The hosts as members of one pool: the cluster has the endpoint, they have none."""
    for number in (1, 2):
        own = f'{{cluster: c1, endpoint: {{url: "simulator://dc/host-{number:05d}"}}}}'
        text = text.replace(own, f"{{cluster: c1, nativeName: host-{number:05d}}}")
    return text.replace("hypervisor: Simulator,", f"hypervisor: Simulator, {SHARED},")


@pytest.mark.parametrize("shared", [False, True], ids=["own endpoints", "one endpoint"])
@pytest.mark.parametrize("policy", ["", "recreatePolicy: Never", "recreatePolicy: Fresh"])
def test_it_is_followed_within_seconds_and_made_once(shared: bool, policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(as_one_endpoint(site(2)) if shared else site(2))
        await cloud.settle(30)
        cloud.apply(vm("web", policy))
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        for _ in range(4):
            was = cloud.vm()["host"]
            cloud.datacentre.act(Act.MOVE_VM, "web", {"h1": TWO, "h2": ONE}[was])
            await cloud.settle(5)
            assert cloud.vm()["host"] != was
            assert cloud.reason() == ("True", "Running")
        [there] = cloud.datacentre.census.vms
        assert (there.made, there.starts) == (1, 1)
        states = {raw.get("status", {}).get("state") for raw in cloud.api.history if raw["metadata"]["name"] == "web"}
        assert "Error" not in states, "it was never taken for deleted"

    play(story, settings=BUSY)


@pytest.mark.parametrize("shared", [False, True], ids=["own endpoints", "one endpoint"])
@pytest.mark.parametrize("told", [False, True], ids=["no events", "events"])
def test_it_is_deleted_where_it_is_and_nothing_of_it_before(shared: bool, told: bool) -> None:
    """Its disk is in a pool that both hosts reach: removed by its old host, it would go from under the VM."""

    async def story(cloud: VMCloud) -> None:
        cloud.apply(as_one_endpoint(site(2)) if shared else site(2))
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        was = cloud.vm()["host"]
        cloud.datacentre.act(Act.MOVE_VM, "web", {"h1": TWO, "h2": ONE}[was])
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(5)
        assert not cloud.exists("VirtualMachine", "shop/web")
        census = cloud.datacentre.census
        assert (census.vms, census.disks) == ((), ())

    play(story, settings=BUSY if told else replace(BUSY, capabilities=frozenset(Capability) - {Capability.EVENTS}))


def test_one_that_is_gone_already_is_let_go() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(5)
        assert not cloud.exists("VirtualMachine", "shop/web")

    play(story, settings=BUSY)
