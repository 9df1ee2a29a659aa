"""Where VMs go, where they are found again, and what happens when that is gone."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Power
from tests.support.vms import GIB, VMCloud, play, site, vm

ONE, TWO = "host-00001", "host-00002"
TIGHT = Settings(hosts=2, cpus=8, memory=8 * GIB, boot=1, shutdown=1)
"""Memory for two small VMs on each host."""


async def running(cloud: VMCloud, count: int = 1, *names: str) -> None:
    cloud.apply(site(count).replace('memory: "1.5"}', 'memory: "1"}, disableThreshold: {cpu: 100, memory: 100}'))
    await cloud.settle(30)
    for name in names or ("web",):
        cloud.apply(vm(name))
    await cloud.settle(30)


def test_vm_without_room_waits_and_goes_on_when_there_is_some() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 1, "a", "b")
        cloud.apply(vm("c", extra="placement: {host: h1}"))
        cloud.apply("kind: ServiceOffering\nmetadata: {name: huge}\nspec: {cpus: 64, memory: 4Gi}")
        cloud.apply(vm("d").replace("small", "huge"))
        await cloud.settle(30)
        assert cloud.reason("c") == ("False", "NoFittingHost")
        assert cloud.kstatus("VirtualMachine", "shop/c") == "InProgress"
        assert cloud.vm("c")["placementReport"]["rejected"] == {"InsufficientMemory": 1}
        assert cloud.vm("c")["placementReport"]["examples"] == {"InsufficientMemory": ["h1"]}
        assert cloud.reason("d") == ("False", "TooLargeForAnyHost")
        assert cloud.kstatus("VirtualMachine", "shop/d") == "Failed"
        assert "job" not in cloud.vm("c")
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle(90)
        assert cloud.reason("c") == ("True", "Running")
        assert "placementReport" not in cloud.vm("c")

    play(story, settings=TIGHT)


def test_resize_waits_for_room_and_counts_as_what_it_is_also_after_a_restart() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 1, "a", "b")
        cloud.edit("a", offering="large")
        await cloud.settle(30)
        assert cloud.reason("a") == ("False", "InsufficientCapacity")
        assert cloud.datacentre.vm("a").memory == 4 * GIB
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.reason("a") == ("False", "InsufficientCapacity")
        assert cloud.datacentre.vm("a").memory == 4 * GIB
        held = cloud.controller.parts.placements.size(cloud.raw("VirtualMachine", "shop/a")["metadata"]["uid"])
        assert held is not None
        assert held.memory == 4 * GIB
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(90)
        assert cloud.datacentre.vm("a").memory == 8 * GIB
        assert cloud.reason("a") == ("True", "Running")

    play(story, settings=TIGHT)


def test_what_waits_for_room_can_still_be_stopped() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 1, "a", "b")
        cloud.edit("a", offering="large", powerState="Off")
        await cloud.settle(30)
        assert cloud.datacentre.vm("a").power is Power.OFF
        assert cloud.vm("a")["state"] == "Stopped"

    play(story, settings=TIGHT)


def test_sums_are_the_same_after_a_restart() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2, "a", "b", "c")
        uids = [cloud.raw("VirtualMachine", f"shop/{name}")["metadata"]["uid"] for name in "abc"]
        before = [cloud.controller.parts.placements.size(uid) for uid in uids]
        await cloud.restart()
        await cloud.settle(5)
        assert [cloud.controller.parts.placements.size(uid) for uid in uids] == before
        assert None not in before

    play(story)


def test_lost_statuses_are_found_again_and_nothing_is_made_twice() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2, "a", "b", "c")
        before = {name: cloud.vm(name) for name in "abc"}
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        for name in "abc":
            after = cloud.vm(name)
            assert cloud.reason(name) == ("True", "Running")
            for field in ("host", "cluster", "instanceID", "nics", "disks", "ipAddress"):
                assert after[field] == before[name][field], field
        assert all(each.made == each.starts == 1 for each in cloud.datacentre.census.vms)

    play(story)


def test_status_lost_and_host_silent_makes_no_second_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2)
        was = cloud.vm()["host"]
        other = {"h1": ONE, "h2": TWO}[was]
        cloud.datacentre.act(Act.CUT_HOST, other)
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(300)
        assert cloud.reason() == ("False", "HostsNotObserved")
        assert was in cloud.text()
        assert len(cloud.datacentre.vms) == 1
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.reason(type="DeletionBlocked") is not None
        cloud.datacentre.act(Act.HEAL_HOST, other)
        await cloud.settle(120)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert not cloud.datacentre.vms

    play(story)


def test_host_that_was_never_reached_is_not_waited_for() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.datacentre.act(Act.CUT_HOST, TWO)
        await running(cloud, 2)
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        await cloud.controller.kill()
        cloud.wipe_status()
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.restart()
        await cloud.settle(180)
        assert cloud.reason() == ("True", "Running"), "h2 has no finalizer, so it never carried a VM"

    play(story)


def test_host_down_leaves_the_vm_unknown_and_it_comes_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2)
        assert cloud.reason(type="GuestReady") == ("True", "AgentAnswers")
        where = {"h1": ONE, "h2": TWO}[cloud.vm()["host"]]
        cloud.datacentre.act(Act.CUT_HOST, where)
        await cloud.settle(120)
        assert cloud.reason() == ("False", "HostDown")
        assert cloud.vm()["state"] == "Unknown"
        assert cloud.reason(type="GuestReady") is None
        assert len(cloud.datacentre.vms) == 1
        cloud.datacentre.act(Act.HEAL_HOST, where)
        await cloud.settle(120)
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().starts == 1

    play(story)


def test_host_that_crashed_has_its_vms_started_again_when_it_is_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.CRASH_HOST, ONE)
        await cloud.settle(120)
        cloud.datacentre.act(Act.BOOT_HOST, ONE)
        await cloud.settle(120)
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().starts == 2

    play(story)


def test_restart_of_the_controller_writes_nothing_about_vms() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2, "a", "b")
        await cloud.settle(120)
        cloud.points.clear()
        await cloud.restart()
        await cloud.settle(300)
        assert cloud.points["after status of VirtualMachine"] == 0

    play(story)


def test_vm_deleted_by_hand_is_not_made_anew_where_that_is_not_wanted() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(recreatePolicy="Never")
        await cloud.settle(5)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "InstanceMissing")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert not cloud.datacentre.vms
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")
        cloud.apply(vm())
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_vm_moved_by_hand_is_followed_with_its_room() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 2)
        was = cloud.vm()["host"]
        target = {"h1": TWO, "h2": ONE}[was]
        cloud.datacentre.act(Act.MOVE_VM, "web", target)
        await cloud.settle(10)
        assert cloud.vm()["host"] != was
        assert cloud.reason() == ("True", "Running")
        uid = cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"]
        held = cloud.controller.parts.placements.size(uid)
        assert held is not None
        assert held.host == cloud.vm()["host"]
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        assert cloud.datacentre.vm().power is Power.OFF

    play(story)


def test_image_that_is_gone_from_the_pool_is_copied_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.forget_image()
        cloud.apply(vm("second"))
        await cloud.settle(60)
        assert cloud.reason("second") == ("True", "Running")
        assert len(cloud.images.downloads) == 1
        assert cloud.jobs("second") == [("DeployVirtualMachine", "Succeeded")]

    play(story)


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [("InvalidSpec", "RefusedByHypervisor", "Failed"), ("Conflict", "HypervisorConflict", "InProgress")],
)
def test_refused_create(error: str, reason: str, status: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.datacentre.fail("compute.create", count=None, error=error)
        cloud.apply(vm())
        await cloud.settle(60)
        assert cloud.reason() == ("False", reason)
        assert cloud.kstatus("VirtualMachine", "shop/web") == status
        assert cloud.job() == ("DeployVirtualMachine", "Failed" if status == "Failed" else "InProgress")
        cloud.datacentre.heal()
        cloud.edit(hostname="other")
        await cloud.settle(90)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_task_that_fails_is_tried_again_and_its_reference_outlives_the_controller() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm())
        await asyncio.sleep(9)
        reference = cloud.vm()["job"]["nativeRef"]
        assert cloud.reason()[0] == "False"
        await cloud.restart()
        await asyncio.sleep(1)
        assert cloud.vm()["job"]["nativeRef"] == reference
        await cloud.settle(120)
        assert cloud.reason() == ("True", "Running")
        assert "nativeRef" not in cloud.vm()["job"]
        assert cloud.datacentre.census.vms[0].made == 1

    play(story, settings=Settings(hosts=1, cpus=8, memory=32 * GIB, durations=dict.fromkeys(TASK_METHODS, 5.0)))


# Deletion


def test_deletion_on_a_silent_host_waits_and_can_be_forced() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.CUT_HOST, ONE)
        await cloud.settle(60)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(120)
        uid, instance = cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"], cloud.vm()["instanceID"]
        assert cloud.reason() == ("False", "DeletionBlocked")
        assert f"vireo.dev/force-delete={uid}" in cloud.text()
        cloud.annotate("VirtualMachine", "shop/web", "vireo.dev/force-delete", "another-uid")
        await cloud.settle(60)
        assert cloud.exists("VirtualMachine", "shop/web")
        cloud.annotate("VirtualMachine", "shop/web", "vireo.dev/force-delete", uid)
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert "ForceDeleted" in cloud.events("web")
        held = cloud.controller.parts.addresses.records
        assert [owner.name for _, owner in held("shop/front")] == ["shop/web"], "it may well run on"
        cloud.datacentre.act(Act.DELETE_VM, f"{ONE}/{instance}")
        cloud.datacentre.act(Act.HEAL_HOST, ONE)
        await cloud.settle(1300)
        assert not held("shop/front")

    play(story)


def test_retained_vm_stays_as_it_is() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(deletionPolicy="Retain")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert cloud.datacentre.vm().power is Power.ON
        assert "Retained" in cloud.events("web")

    play(story)


def test_vm_that_was_never_made_goes_at_once() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(vm())
        await cloud.settle(10)
        assert cloud.reason() == ("False", "ZoneNotFound")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(5)
        assert not cloud.exists("VirtualMachine", "shop/web")

    play(story)


@pytest.mark.parametrize("kind", [FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.LOSE_REPLY, FaultKind.ERROR])
def test_delete_task_that_goes_wrong(kind: FaultKind) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.service.dc.settings = Settings(hosts=1, durations={"compute.delete": 3.0})
        cloud.datacentre.fail("compute.delete", kind)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(120)
        assert not cloud.exists("VirtualMachine", "shop/web")
        census = cloud.datacentre.census
        assert (census.vms, census.disks) == ((), ())

    play(story)


def test_foreign_vm_with_the_same_identity_is_never_touched() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.DISOWN_VM, "web")
        await cloud.settle(60)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        [left] = cloud.datacentre.vms
        assert left.power is Power.ON
        assert left.owner is None

    play(story)


def test_paused_vm_object_is_left_alone() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.annotate("VirtualMachine", "shop/web", "vireo.dev/paused", "true")
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        assert cloud.datacentre.vm().power is Power.ON
        cloud.api.annotate(Key("VirtualMachine", "shop", "web"), "vireo.dev/paused", None)
        await cloud.settle(30)
        assert cloud.datacentre.vm().power is Power.OFF

    play(story)
