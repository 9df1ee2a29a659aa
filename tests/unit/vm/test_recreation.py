"""A VM that was deleted on the hypervisor: made again on its disk, reported, or made afresh, as its policy says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Capability, Power
from tests.support.vms import GIB, Stop, VMCloud, play, site, vm
from tests.support.volumes import has, local_pools, mounted, volume

QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 1.5))
HOSTS = {"h1": "host-00001", "h2": "host-00002"}


async def running(cloud: VMCloud, extra: str = "", *texts: str) -> None:
    cloud.apply(site(2))
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
    cloud.apply(vm(extra=extra))
    await cloud.settle(30)
    assert cloud.reason()[0] == "True", cloud.text()  # type: ignore[index]
    cloud.datacentre.act(Act.WRITE_DISK, "web", "root=precious")


def contents(cloud: VMCloud) -> list[str]:
    """What is on the root disks that exist."""
    return [disk.content for disk in cloud.datacentre.census.disks]


def lose_disk(cloud: VMCloud) -> None:
    """Somebody deletes the VM with its storage."""
    cloud.datacentre.act(Act.DELETE_VM, "web")
    for pool in cloud.datacentre.service.dc.pools.values():
        pool.disks.clear()


@pytest.mark.parametrize("policy", ["", "recreatePolicy: OnRootDisk", "recreatePolicy: Fresh"])
def test_made_again_on_its_root_disk(policy: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, policy)
        before = cloud.vm()
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(5)
        assert cloud.reason() == ("False", "InstanceMissing"), "somebody may be moving it"
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert contents(cloud) == ["precious"]
        after = cloud.vm()
        assert {each: after[each] for each in ("host", "nics", "disks", "instanceID")} == {
            each: before[each] for each in ("host", "nics", "disks", "instanceID")
        }
        assert cloud.job() == ("DeployVirtualMachine", "Succeeded")
        assert "Recreating" in cloud.events("web")

    play(story)


def test_one_declared_off_stays_off_and_gets_its_volumes() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f'{mounted("data")}, powerState: "Off"', volume())
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(40)
        assert (cloud.reason(), has(cloud)) == (("True", "Stopped"), ["data"])
        assert cloud.datacentre.vm().power is Power.OFF

    play(story)


def test_without_its_disk_it_says_so_and_fresh_makes_another() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        lose_disk(cloud)
        await cloud.settle(60)
        assert cloud.reason() == ("False", "InstanceLost")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert not cloud.datacentre.vms
        cloud.edit(recreatePolicy="Fresh")
        await cloud.settle(40)
        assert cloud.reason() == ("True", "Running")
        assert "precious" not in contents(cloud)

    play(story)


@pytest.mark.parametrize("made_by", [QUICK, Settings(hosts=2, capabilities=frozenset(Capability) - {Capability.VOLUMES})])
def test_never_and_where_nobody_can_look(made_by: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "recreatePolicy: Never" if made_by is QUICK else "")
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "InstanceMissing")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert (cloud.datacentre.vms, contents(cloud)) == ([], ["precious"])

    play(story, settings=made_by)


@pytest.mark.parametrize("pause", [0, 5])
def test_a_vm_that_is_being_moved_is_not_made_twice(pause: float) -> None:
    """On a shared pool a second VM would destroy the disk of the first."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        there = HOSTS["h2" if cloud.vm()["host"] == "h1" else "h1"]
        machine = cloud.datacentre.vm()
        cloud.datacentre.act(Act.MOVE_VM, "web", there)
        engine = cloud.datacentre.service.dc
        moved = engine.hosts[machine.host].vms.pop(machine.instance)
        engine.vm_changed(moved)
        await cloud.settle(pause)
        engine.hosts[machine.host].vms[machine.instance] = moved  # nobody is told
        await cloud.settle(60)
        assert [each.host for each in cloud.datacentre.vms] == [there]
        assert cloud.reason() == ("True", "Running")
        assert HOSTS[cloud.vm()["host"]] == there

    play(story)


def test_a_host_that_does_not_answer_may_have_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        there = HOSTS["h2" if cloud.vm()["host"] == "h1" else "h1"]
        cloud.datacentre.act(Act.CUT_HOST, there)
        await cloud.settle(120)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(120)
        assert cloud.reason() == ("False", "HostsNotObserved")
        assert not cloud.datacentre.vms
        cloud.datacentre.act(Act.HEAL_HOST, there)
        await cloud.settle(120)
        assert (cloud.reason(), contents(cloud)) == (("True", "Running"), ["precious"])

    play(story)


def test_a_local_disk_is_nobody_elses() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "rootDisk: {tags: [fast]}", local_pools(tags="[fast]"))
        there = HOSTS["h2" if cloud.vm()["host"] == "h1" else "h1"]
        cloud.datacentre.act(Act.CUT_HOST, there)
        await cloud.settle(120)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(40)
        assert (cloud.reason(), contents(cloud)) == (("True", "Running"), ["precious"])

    play(story)


def recreated(made_by: Settings, disturb: Callable[[VMCloud], None]) -> VMCloud:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        cloud.points.clear()
        disturb(cloud)
        for _ in range(60):
            await asyncio.sleep(1)
            if cloud.stopped.is_set():
                cloud.stopped.clear()
                await cloud.restart()
        await cloud.settle(60)
        assert (cloud.reason(), contents(cloud)) == (("True", "Running"), ["precious"]), cloud.text()
        assert len(cloud.datacentre.vms) == 1

    return play(story, settings=made_by)


@pytest.mark.parametrize("made_by", [QUICK, SLOW], ids=["at-once", "by-tasks"])
def test_killed_before_or_after_any_write_or_call(made_by: Settings) -> None:
    points = recreated(made_by, lambda cloud: None).points
    assert set(points) >= {"before create", "after create", "before start", "before status of VirtualMachine", "before contents"}
    for number in range(1, points.total() + 1):
        stop = Stop(number)
        recreated(made_by, lambda cloud, stop=stop: setattr(cloud, "stop", stop))
        assert stop.name, f"point {number} was never reached"


@pytest.mark.parametrize("method", ["compute.create", "volumes.contents", "power.start"])
@pytest.mark.parametrize("kind", [FaultKind.LOSE_REPLY, FaultKind.ERROR])
def test_calls_go_wrong_once(method: str, kind: FaultKind) -> None:
    extra = {"error": "Transient"} if kind is FaultKind.ERROR else {}
    recreated(QUICK, lambda cloud: cloud.datacentre.fail(method, kind, **extra))


@pytest.mark.parametrize("silent", [False, True], ids=["all-hosts-answer", "one-is-silent"])
def test_a_lost_vm_lets_go_of_the_volumes_that_it_no_longer_names(silent: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, mounted("data", "logs") + ", recreatePolicy: Never", volume("data"), volume("logs"))
        if silent:
            cloud.datacentre.act(Act.CUT_HOST, HOSTS["h1" if cloud.vm()["host"] == "h2" else "h2"])
            await cloud.restart()
            await cloud.settle(30)
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(90)
        assert cloud.reason() == ("False", "InstanceMissing")
        assert [each["name"] for each in cloud.vm()["volumes"]] == ["data", "logs"]
        cloud.edit("web", volumes=[{"name": "logs", "volume": "logs"}])
        cloud.apply(vm("other", mounted("data")))
        await cloud.settle(120)
        assert [each["name"] for each in cloud.vm()["volumes"]] == (["data", "logs"] if silent else ["logs"])
        assert cloud.reason("other") == (("False", "VolumeInUse") if silent else ("True", "Running"))

    play(story, settings=QUICK)
