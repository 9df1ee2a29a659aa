"""Memory that a guest is given while it runs, and does not take: it waits for a restart, and nobody is accused of drift."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.model import VM
from tests.support.vms import GIB, VMCloud, play, site, vm


async def grown(cloud: VMCloud, *, ignored: bool = True, policy: str = "") -> VM:
    """A VM of 4 GiB whose offering became one of 8 GiB while it ran."""
    cloud.apply(site())
    await cloud.settle(30)
    cloud.apply(vm(extra=policy))
    await cloud.settle(30)
    if ignored:
        cloud.datacentre.act(Act.IGNORE_MEMORY, "web")
    cloud.edit(offering="large")
    await cloud.settle(30)
    return cloud.datacentre.vm()


def waiting(cloud: VMCloud) -> list[str]:
    return [each["desired"] for each in cloud.vm().get("pendingChanges", [])]


def test_it_is_pending_with_the_reason_until_the_restart() -> None:
    async def story(cloud: VMCloud) -> None:
        found = await grown(cloud)
        assert (found.memory, found.running_memory, found.running_cpus) == (8 * GIB, 4 * GIB, 4)
        [desired] = waiting(cloud)
        assert "8Gi of memory, which the guest was given and has not taken" in desired
        assert cloud.reason(type="RestartRequired") == ("True", "ChangesPending")
        assert cloud.reason() == ("True", "Running")
        assert cloud.job() == ("ScaleVirtualMachine", "Succeeded")
        cloud.edit(restartedAt="2026-11-21T10:00:00Z")
        await cloud.settle(60)
        assert (found.running_memory, waiting(cloud)) == (8 * GIB, [])
        assert cloud.reason(type="RestartRequired") is None

    play(story)


def test_it_is_given_once() -> None:
    async def story(cloud: VMCloud) -> None:
        await grown(cloud)
        cloud.points.clear()
        await cloud.settle(600)
        assert cloud.points["before apply"] == 0

    play(story)


def test_once_the_guest_takes_it_nothing_is_pending() -> None:
    async def story(cloud: VMCloud) -> None:
        found = await grown(cloud)
        cloud.datacentre.act(Act.IGNORE_MEMORY, "web", "false")
        await cloud.settle(30)
        assert (found.running_memory, waiting(cloud)) == (8 * GIB, [])
        assert cloud.reason(type="RestartRequired") is None
        assert {state for _, state in cloud.jobs()} == {"Succeeded"}

    play(story)


def test_another_size_is_offered_again_and_the_old_one_withdraws_it() -> None:
    async def story(cloud: VMCloud) -> None:
        found = await grown(cloud)
        cloud.edit(offering="small")
        await cloud.settle(30)
        assert (found.memory, found.running_memory, found.offered_memory) == (4 * GIB, 4 * GIB, 0)
        assert found.starts == 1

    play(story)


@pytest.mark.parametrize("policy", ["", "driftPolicy: Report", "driftPolicy: Correct"], ids=["by default", "Report", "Correct"])
def test_a_guest_that_lets_go_of_it_while_it_reboots_is_no_drift(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        found = await grown(cloud, ignored=False, policy=policy)
        assert (found.running_memory, waiting(cloud)) == (8 * GIB, [])
        found.running_memory, found.offered_memory, found.ignores_memory = 4 * GIB, 8 * GIB, True
        cloud.datacentre.act(Act.RENAME_VM, "web", found.name)
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert len(waiting(cloud)) == 1
        cloud.datacentre.act(Act.IGNORE_MEMORY, "web", "false")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert waiting(cloud) == []
        assert "HardwareDrift" not in cloud.events("web")

    play(story)


def test_memory_that_somebody_took_away_is_drift() -> None:
    async def story(cloud: VMCloud) -> None:
        await grown(cloud, ignored=False)
        cloud.datacentre.act(Act.SET_MEMORY, "web", str(4 * GIB))
        await cloud.settle(60)
        assert cloud.reason() == ("False", "HardwareDrift")

    play(story)
