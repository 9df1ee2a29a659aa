"""What a Host says it has promised is what placement counts, whatever else is known of its VMs."""

from __future__ import annotations

import pytest

from tests.support.cloud import OFFERING
from tests.support.vms import GIB, VMCloud, play, vm
from tests.unit.placement.test_room import TIGHT, cluster, held


def told(cloud: VMCloud, kind: str = "Host", name: str = "h1") -> tuple[int, str, int]:
    found = cloud.status(kind, name)["allocated"]
    return found["cpus"], found["memory"], found["vms"]


def counted(cloud: VMCloud) -> tuple[int, int]:
    usage = cloud.controller.parts.placements.promised("h1")
    return usage.cpus, usage.memory


async def begin(cloud: VMCloud, offering: str) -> None:
    cloud.apply(cluster("1h"))
    await cloud.settle(30)
    cloud.apply(vm().replace("offering: small", f"offering: {offering}"))
    await cloud.settle(90)


@pytest.mark.parametrize("restarted", [False, True], ids=["", "after a restart of the controller"])
def test_a_vm_that_shrinks_at_its_restart_is_counted_with_what_it_runs_with(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, "large")
        assert told(cloud) == told(cloud, "Cluster", "c1") == (4, "8Gi", 1)
        cloud.edit(offering="small")
        await cloud.settle(120)
        if restarted:
            await cloud.restart()
            await cloud.settle(120)
        assert cloud.reason(type="RestartRequired") == ("True", "ChangesPending")
        assert told(cloud) == (4, "8Gi", 1)
        cloud.edit(restartedAt="2026-11-21T10:00:00Z")
        await cloud.settle(120)
        assert told(cloud) == told(cloud, "Cluster", "c1") == (2, "4Gi", 1)

    play(story, settings=TIGHT)


def test_the_room_of_one_that_shrinks_is_not_given_away_in_the_first_moments_of_a_controller() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, "large")
        cloud.edit(offering="small")
        await cloud.settle(30)
        await cloud.controller.kill()
        cloud.apply(vm("b"))
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.reason("b") == ("False", "NoFittingHost")
        assert counted(cloud) == held(cloud) == (4, 8 * GIB)
        assert all(each.owner.name != "b" for each in cloud.datacentre.vms if each.owner)

    play(story, settings=TIGHT)


def test_one_that_has_no_room_to_grow_is_counted_as_it_is() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, "small")
        cloud.apply(vm("b"))
        await cloud.settle(60)
        cloud.edit(offering="large")
        await cloud.settle(120)
        assert cloud.reason() == ("False", "InsufficientCapacity")
        assert told(cloud) == (4, "8Gi", 2)
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(120)
        assert told(cloud) == (4, "8Gi", 1), "it has grown"

    play(story, settings=TIGHT)


def test_a_vm_that_is_on_its_way_is_counted_and_one_that_gives_up_is_not() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.images.seconds = 300
        cloud.apply(cluster("1h"))
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(120)
        assert cloud.reason() == ("False", "TemplateNotReady")
        assert counted(cloud) == (0, 0)
        assert told(cloud) == (0, "0", 0)
        await cloud.settle(300)
        assert told(cloud) == (2, "4Gi", 1)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(120)
        assert told(cloud) == (0, "0", 0)

    play(story, settings=TIGHT)


def test_it_is_written_once_for_many_changes_and_not_at_rest() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(cluster("1h").replace(OFFERING, OFFERING.replace("4Gi", "512Mi").replace("cpus: 2", "cpus: 1")))
        await cloud.settle(60)
        for number in range(8):
            cloud.apply(vm(f"v{number}"))
        await cloud.settle(120)
        assert told(cloud) == (8, "4Gi", 8)
        hosts = [raw["status"] for raw in cloud.api.history if raw["kind"] == "Host" and "status" in raw]
        told_of = {str(status.get("allocated")) for status in hosts}
        assert len(told_of) <= 4, "in 30 seconds no more than one"
        written = cloud.writes
        await cloud.settle(3600)
        assert cloud.writes == written

    play(story, settings=TIGHT)
