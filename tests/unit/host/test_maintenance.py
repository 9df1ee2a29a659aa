"""A host in maintenance gets no VMs, starts none, and says which still run on it."""

from __future__ import annotations

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.support import cloud as base
from tests.support.hypervisors import Hypervisor
from tests.support.hypervisors import host as hypervisor_host
from tests.support.vms import GIB, VMCloud, play, site, vm

ROOMY = Settings(hosts=2, cpus=32, memory=64 * GIB, boot=1, shutdown=1)


def to(cloud: VMCloud, state: str, name: str = "h1") -> None:
    cloud.api.edit(Key("Host", "", name), adminState=state)


def host(cloud: VMCloud) -> tuple[str, list[str]]:
    status = cloud.status("Host", "h1")
    return status["resourceState"], status.get("running", [])


async def running(cloud: VMCloud, *names: str, hosts: int = 1) -> None:
    cloud.apply(site(hosts))
    await cloud.settle(30)
    for name in names:
        cloud.apply(vm(name, "placement: {host: h1}"))
    await cloud.settle(30)


def test_vms_that_run_are_listed_until_they_are_stopped() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a", "b")
        to(cloud, "Maintenance")
        await cloud.settle(10)
        assert host(cloud) == ("PrepareForMaintenance", ["shop/a", "shop/b"])
        assert cloud.condition("Host", "h1", "Ready") == ("False", "PrepareForMaintenance")
        assert "shop/a, shop/b" in cloud.message("Host", "h1")
        assert cloud.condition("Host", "h1", "Schedulable") == ("False", "Maintenance")
        assert cloud.datacentre.vm("a").power is Power.ON, "nothing is stopped behind its owner's back"
        cloud.edit("a", powerState="Off")
        await cloud.settle(30)
        assert host(cloud) == ("PrepareForMaintenance", ["shop/b"])
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(30)
        assert host(cloud) == ("Maintenance", [])
        assert cloud.condition("Host", "h1", "Ready") == ("True", "Maintenance")
        to(cloud, "Enabled")
        await cloud.settle(30)
        assert host(cloud) == ("Enabled", [])
        assert cloud.condition("Host", "h1", "Schedulable") == ("True", "Up")

    play(story, settings=ROOMY)


def test_no_vm_goes_there_or_is_started_there() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a", hosts=2)
        cloud.edit("a", powerState="Off")
        await cloud.settle(30)
        to(cloud, "Maintenance")
        cloud.apply(vm("new"))
        cloud.apply(vm("pinned", "placement: {host: h1}"))
        await cloud.settle(30)
        assert cloud.vm("new")["host"] == "h2"
        assert cloud.vm("pinned")["placementReport"]["rejected"] == {"HostDisabled": 1}
        cloud.edit("a", powerState="On")
        await cloud.settle(60)
        assert cloud.reason("a") == ("False", "HostInMaintenance")
        assert cloud.kstatus("VirtualMachine", "shop/a") == "InProgress"
        assert cloud.datacentre.vm("a").power is Power.OFF
        assert host(cloud) == ("Maintenance", [])
        to(cloud, "Enabled")
        await cloud.settle(60)
        for name in ("a", "pinned"):
            assert cloud.reason(name) == ("True", "Running")

    play(story, settings=ROOMY)


def test_a_vm_that_crashes_or_is_cut_off_stays_off_until_maintenance_is_over() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a")
        to(cloud, "Maintenance")
        await cloud.settle(10)
        cloud.datacentre.act(Act.POWER_OFF, "a")
        await cloud.settle(60)
        assert cloud.reason("a") == ("False", "HostInMaintenance")
        assert host(cloud) == ("Maintenance", [])
        to(cloud, "Disabled")
        await cloud.settle(30)
        assert cloud.reason("a") == ("True", "Running"), "Disabled is for new VMs only"

    play(story, settings=ROOMY)


def test_a_restart_waits_rather_than_end_in_a_stop() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a")
        to(cloud, "Maintenance")
        await cloud.settle(10)
        cloud.edit("a", restartedAt="2026-11-21T09:00:00Z")
        await cloud.settle(30)
        assert cloud.reason("a") == ("False", "HostInMaintenance")
        assert cloud.datacentre.vm("a").power is Power.ON
        assert cloud.datacentre.vm("a").starts == 1
        to(cloud, "Enabled")
        await cloud.settle(60)
        assert cloud.reason("a") == ("True", "Running")
        assert cloud.datacentre.vm("a").starts == 2

    play(story, settings=ROOMY)


@pytest.mark.parametrize("silent", [False, True], ids=["", "while it does not answer"])
def test_a_restarted_controller_says_the_same_and_writes_nothing(silent: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a")
        to(cloud, "Maintenance")
        await cloud.settle(60)
        if silent:
            cloud.datacentre.act(Act.CUT_HOST, "host-00001")
            await cloud.settle(200)
        before, writes = host(cloud), cloud.writes
        assert before == ("PrepareForMaintenance", ["shop/a"]), "nobody knows that it stopped"
        await cloud.restart()
        await cloud.settle(120)
        assert host(cloud) == before
        assert cloud.writes == writes

    play(story, settings=ROOMY)


def test_the_list_is_bounded_and_counts_no_stopped_ones() -> None:
    async def story(cloud: base.Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(hypervisor_host())
        cloud.apply(base.BASE.replace("cluster: c1,", "cluster: c1, adminState: Maintenance,"))
        for number in range(130):
            power = "Stopped" if number % 13 == 0 else "Running"
            cloud.apply(base.vm(f"v{number:03}").replace("status: {", f"status: {{state: {power}, "))
        await cloud.settle(60)
        status = cloud.status("Host", "h1")
        assert status["resourceState"] == "PrepareForMaintenance"
        assert len(status["running"]) == 100
        assert "shop/v000" not in status["running"]
        assert "and 90 more" in cloud.message("Host", "h1")

    base.play(story)


def test_one_that_is_stopped_is_ready_though_a_restart_was_asked_for() -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud, "a")
        to(cloud, "Maintenance")
        cloud.edit("a", restartedAt="2026-11-21T10:00:00Z")
        await cloud.settle(30)
        assert cloud.reason("a") == ("False", "HostInMaintenance")
        assert cloud.datacentre.vm("a").power is Power.ON
        cloud.edit("a", powerState="Off")
        await cloud.settle(30)
        assert cloud.reason("a") == ("True", "Stopped")
        assert cloud.vm("a")["appliedRestartAt"] == "2026-11-21T10:00:00Z"
        assert host(cloud) == ("Maintenance", [])
        to(cloud, "Enabled")
        await cloud.settle(30)
        assert cloud.reason("a") == ("True", "Stopped"), "nor is it started by the end of the maintenance"

    play(story, settings=ROOMY)
