"""A VM that somebody moved is followed, never taken for deleted and made a second time."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
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
