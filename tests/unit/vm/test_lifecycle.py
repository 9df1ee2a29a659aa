"""The life of a VM over a simulated host: power, stops, restarts, changes, drift."""

from __future__ import annotations

import asyncio

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, Power
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.unit.vm.things import running

WRITES_OF_A_DEPLOYMENT = 5


def without(*missing: Capability) -> Settings:
    return Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5, capabilities=frozenset(Capability) - {*missing})


def _steps(cloud: VMCloud) -> int:
    """But for looks at the files of the pool, which don't grow with its VMs."""
    return sum(count for name, count in cloud.points.items() if not name.endswith("list_files"))


def test_apply_makes_a_running_vm_with_few_writes_and_none_at_rest() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm("seeding"))
        await cloud.settle(120)
        cloud.points.clear()
        cloud.apply(vm())
        await cloud.settle(30)
        assert cloud.points["after status of VirtualMachine"] + cloud.points["after metadata of VirtualMachine"] <= (
            WRITES_OF_A_DEPLOYMENT
        )
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.jobs() == [("DeployVirtualMachine", "Succeeded")]
        status = cloud.vm()
        assert (status["host"], status["cluster"], status["state"]) == ("h1", "c1", "Running")
        assert status["instanceID"] == cloud.datacentre.vm().instance
        assert status["ipAddress"] == status["nics"][0]["ip"]
        assert status["guest"]["addresses"] == [status["ipAddress"]]
        assert cloud.reason(type="GuestReady") == ("True", "AgentAnswers")
        await cloud.settle(120)
        written, steps = cloud.writes, _steps(cloud)
        await cloud.settle(3600)
        assert cloud.writes == written, "at rest nothing is written"
        assert _steps(cloud) - steps <= 2, "at rest no VM is asked for by itself"

    play(story)


def test_vm_declared_off_is_made_and_not_started() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 'powerState: "Off"')
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.datacentre.census.vms[0].starts == 0
        assert cloud.job() == ("DeployVirtualMachine", "Succeeded")

    play(story)


@pytest.mark.parametrize(
    ("mode", "missing", "obeys", "after", "soft"),
    [
        ("Soft", (), True, 10, True),
        ("TrySoft", (), True, 10, True),
        ("TrySoft", (), False, 45, True),
        ("TrySoft", (Capability.SOFT_STOP,), True, 2, False),
        ("Hard", (), True, 2, False),
        ("Hard", (Capability.SOFT_STOP,), True, 2, False),
    ],
)
def test_stop(mode: str, missing: tuple[Capability, ...], obeys: bool, after: float, soft: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, f"stopMode: {mode}, stopTimeout: 40s")
        if not obeys:
            cloud.datacentre.act(Act.IGNORE_STOP, "web")
        cloud.edit(powerState="Off")
        await asyncio.sleep(1)
        assert (cloud.reason() == ("False", "Stopping")) == soft
        await cloud.settle(after)
        assert cloud.datacentre.vm().power is Power.OFF
        assert cloud.reason() == ("True", "Stopped")
        assert cloud.job() == ("StopVirtualMachine", "Succeeded")
        cloud.edit(powerState="On")
        await cloud.settle(10)
        assert cloud.job() == ("StartVirtualMachine", "Succeeded")

    play(story, settings=without(*missing))


def test_try_soft_waits_for_its_timeout_and_not_longer() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "stopMode: TrySoft, stopTimeout: 40s")
        cloud.datacentre.act(Act.IGNORE_STOP, "web")
        cloud.edit(powerState="Off")
        await cloud.settle(38)
        assert cloud.datacentre.vm().power is Power.ON
        await cloud.settle(5)
        assert cloud.datacentre.vm().power is Power.OFF

    play(story)


def test_soft_waits_for_the_guest_for_ever_and_looks_seldom() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "stopMode: Soft, stopTimeout: 40s")
        cloud.datacentre.act(Act.IGNORE_STOP, "web")
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        cloud.points.clear()
        await cloud.settle(600)
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.points["before observe"] <= 600 / 2 + 60
        assert cloud.points["before stop"] <= 600 / 15
        assert cloud.points["after status of VirtualMachine"] == 0
        assert "its stopTimeout is over" in cloud.text()
        cloud.edit(stopMode="Hard")
        await cloud.settle(5)
        assert cloud.reason() == ("True", "Stopped")

    play(story)


def test_soft_stop_that_is_not_to_be_had_starts_no_job() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "stopMode: Soft")
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "SoftStopUnsupported")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert "TrySoft or Hard" in cloud.text()
        assert cloud.jobs() == [("DeployVirtualMachine", "Succeeded")]
        cloud.edit(stopMode="TrySoft")
        await cloud.settle(10)
        assert cloud.reason() == ("True", "Stopped")

    play(story, settings=without(Capability.SOFT_STOP))


def test_change_of_mind_while_stopping_cancels_the_stop() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.IGNORE_STOP, "web")
        cloud.edit(powerState="Off")
        await cloud.settle(5)
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.reason() == ("True", "Running")
        assert cloud.job()[1] != "InProgress"

    play(story)


@pytest.mark.parametrize(
    ("asked", "restarts"),
    [
        ("2026-11-20T09:59:59Z", False),  # before the object was made
        ("2026-11-20T10:00:00Z", False),
        ("2026-11-20T12:00:00Z", True),
    ],
)
def test_restart_token_counts_from_creation(asked: str, restarts: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(restartedAt=asked)
        await cloud.settle(30)
        assert cloud.datacentre.vm().starts == (2 if restarts else 1)
        assert cloud.reason() == ("True", "Running")
        assert ("RebootVirtualMachine", "Succeeded") in cloud.jobs() or not restarts
        starts = cloud.datacentre.vm().starts
        await cloud.restart()
        await cloud.settle(60)
        assert cloud.datacentre.vm().starts == starts, "a served request is not served again"

    play(story)


def test_restart_is_not_repeated_when_all_status_is_lost() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(restartedAt="2026-11-20T12:00:00Z")
        await cloud.settle(30)
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.datacentre.vm().starts == 2
        assert cloud.reason() == ("True", "Running")
        assert "Found" in cloud.events("web")

    play(story)


def test_restart_of_a_vm_that_is_off_is_only_noted() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, 'powerState: "Off"')
        cloud.points.clear()
        cloud.edit(restartedAt="2026-11-20T12:00:00Z")
        await cloud.settle(30)
        assert cloud.datacentre.vm().starts == 0
        assert cloud.vm()["appliedRestartAt"] == "2026-11-20T12:00:00Z"
        assert cloud.points["after status of VirtualMachine"] == 1
        assert cloud.vm()["state"] == "Stopped"

    play(story)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_suspended_vm_is_told_left_as_it_is_and_healthy_once_it_runs_again(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.act(Act.PAUSE, "web")
        await cloud.settle(30)
        assert cloud.reason() == ("False", "Suspended")
        assert cloud.reason(type="PowerStateSynced") == ("False", "Suspended")
        await cloud.settle(120)
        written = cloud.writes
        await cloud.settle(600)
        assert cloud.writes == written
        assert cloud.datacentre.vm().power is Power.PAUSED
        if restarted:
            cloud.edit(restartedAt="2026-11-22T09:00:00Z")
        else:
            cloud.datacentre.act(Act.POWER_ON, "web")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.reason() == ("True", "Running")
        assert cloud.reason(type="PowerStateSynced") == ("True", "AsDeclared")

    play(story)


@pytest.mark.parametrize(
    ("missing", "pending"),
    [
        ((), []),
        ((Capability.CPU_ADD_LIVE,), ["spec.offering"]),
        ((Capability.MEMORY_ADD_LIVE, Capability.CPU_ADD_LIVE), ["spec.offering"]),
    ],
)
def test_resize(missing: tuple[Capability, ...], pending: list[str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(offering="large")
        await cloud.settle(30)
        found = cloud.datacentre.vm()
        assert (found.cpus, found.memory) == (4, 8 * GIB)
        assert [each["field"] for each in cloud.vm().get("pendingChanges", [])] == pending
        assert (cloud.reason(type="RestartRequired") is not None) == bool(pending)
        assert cloud.reason() == ("True", "Running")
        assert cloud.job() == ("ScaleVirtualMachine", "Succeeded")
        cloud.edit(restartedAt="2026-11-20T12:00:00Z")
        await cloud.settle(30)
        assert not cloud.vm().get("pendingChanges")
        assert (found.running_cpus, found.running_memory) == (4, 8 * GIB)
        assert {state for _, state in cloud.jobs()} == {"Succeeded"}

    play(story, settings=without(*missing))


def test_nics_come_and_go_with_their_addresses() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        front = {"name": "front", "network": "front"}
        cloud.edit(networks=[front, {"name": "back", "network": "front"}])
        await cloud.settle(30)
        assert list(cloud.datacentre.vm().nics) == ["front", "back"]
        assert len(cloud.controller.parts.addresses.records("shop/front")) == 2
        cloud.edit(networks=[front])
        await cloud.settle(30)
        assert list(cloud.datacentre.vm().nics) == ["front"]
        assert [nic["name"] for nic in cloud.vm()["nics"]] == ["front"]
        assert len(cloud.controller.parts.addresses.records("shop/front")) == 1

    play(story)


def test_disk_grows() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "rootDisk: {size: 10Gi}")
        cloud.edit(rootDisk={"size": "20Gi"})
        await cloud.settle(30)
        assert cloud.datacentre.census.disks[0].size == 20 * GIB
        assert cloud.vm()["disks"][0]["size"] == "20Gi"
        assert cloud.job() == ("UpdateVirtualMachine", "Succeeded")

    play(story)


@pytest.mark.parametrize("method", ["compute.create", "power.start", "power.stop", "compute.apply", "compute.delete"])
@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.LOSE_REPLY, FaultKind.HANG, FaultKind.EXPIRE_SESSION])
def test_each_call_may_fail_once(method: str, kind: FaultKind) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.datacentre.fail(method, kind)
        cloud.apply(vm())
        await cloud.settle(100)
        cloud.edit(offering="large", restartedAt="2026-11-20T12:00:00Z")
        await cloud.settle(100)
        assert cloud.reason() == ("True", "Running")
        assert (cloud.datacentre.vm().cpus, cloud.datacentre.vm().starts) == (4, 2)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(100)
        assert not cloud.exists("VirtualMachine", "shop/web")
        census = cloud.datacentre.census
        assert (census.vms, census.disks) == ((), ())

    play(story)
