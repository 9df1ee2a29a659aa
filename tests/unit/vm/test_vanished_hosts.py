"""A host that vanishes from the inventory of its endpoint while its VMs run: nothing is known of them, and nothing is done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, Power
from tests.support.live.audit import findings
from tests.support.matrix import MatrixCloud, play, wrong
from tests.support.vms import GIB, vm
from tests.support.volumes import mounted, mounts, volume

TELLS = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2)
SILENT = replace(TELLS, capabilities=TELLS.capabilities - {Capability.EVENTS})
HYPERVISORS = pytest.mark.parametrize("settings", [TELLS, SILENT], ids=["tells", "is silent"])


async def running(cloud: MatrixCloud) -> str:
    """A VM with a volume on one of two hosts behind one endpoint; the name of its host."""
    cloud.site(2, shared=True)
    await cloud.settle(30)
    cloud.apply(volume())
    cloud.apply(vm(extra=mounted("data")))
    await cloud.settle(67)
    assert not wrong(cloud), wrong(cloud)
    return str(cloud.vm()["host"])


def unlist(cloud: MatrixCloud, host: str) -> None:
    cloud.datacentre.act(Act.UNLIST_HOST, host)


def listed(cloud: MatrixCloud, host: str) -> None:
    cloud.datacentre.act(Act.LIST_HOST, host)


def said(cloud: MatrixCloud) -> set[str]:
    """Every reason that the VM's conditions ever had."""
    raws = [raw for raw in cloud.api.history if raw["kind"] == "VirtualMachine" and raw["metadata"]["name"] == "web"]
    return {each["reason"] for raw in raws for each in raw.get("status", {}).get("conditions", ())}


def made(cloud: MatrixCloud) -> list[tuple[str, int, int]]:
    """Where VMs are, how often each was made, and started."""
    return [(entry.host, entry.made, entry.starts) for entry in cloud.datacentre.census.vms]


@HYPERVISORS
def test_nothing_is_claimed_and_nothing_done_until_it_is_back(settings: Settings) -> None:
    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        await cloud.settle(120)
        assert (cloud.vm()["state"], cloud.reason()) == ("Unknown", ("False", "HostDown"))
        assert f"the endpoint lists no host named {host}" in cloud.text()
        facets = [cloud.reason(type=type) for type in ("PowerStateSynced", "InSync")]
        assert facets == [("Unknown", "LastSeenAsDeclared"), ("Unknown", "HostDown")]
        assert cloud.condition("Host", host, "Connected") == ("False", "HostNotListed")
        written = cloud.writes
        await cloud.settle(3600)
        assert (cloud.writes, made(cloud)) == (written, [(host, 1, 1)])
        listed(cloud, host)
        await cloud.settle(60)
        assert not wrong(cloud), wrong(cloud)
        assert (made(cloud), cloud.vm()["state"]) == ([(host, 1, 1)], "Running")
        assert not said(cloud) & {"InstanceMissing", "InstanceLost", "NotFoundOnHypervisor"}
        assert not {"Recreating", "Moved", "HardwareDrift", "PowerStateDrift"} & set(cloud.events("web"))

    play(story, settings)


@HYPERVISORS
@pytest.mark.parametrize("seconds", [0, 1, 5, 9, 14, 16, 29, 31])
def test_whenever_it_goes_and_comes(seconds: int, settings: Settings) -> None:
    """Between any two looks at hosts, and at VMs."""

    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        await cloud.settle(seconds)
        for _ in range(3):
            unlist(cloud, host)
            await cloud.settle(17 + seconds)
            listed(cloud, host)
            await cloud.settle(11)
        await cloud.settle(60)
        assert not wrong(cloud), wrong(cloud)
        assert made(cloud) == [(host, 1, 1)]
        assert not said(cloud) & {"InstanceMissing", "InstanceLost", "NotFoundOnHypervisor"}

    play(story, settings)


@HYPERVISORS
def test_its_volumes_are_nobody_else_s(settings: Settings) -> None:
    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        await cloud.settle(60)
        cloud.apply(vm("other"))
        await cloud.settle(60)
        assert cloud.vm("other")["host"] != host
        cloud.edit("other", volumes=mounts("data"))
        await cloud.settle(600)
        [entry] = cloud.datacentre.census.volumes
        assert [user.partition("/")[0] for user in entry.users] == [host]
        assert cloud.reason("other")[0] == "False"

    play(story, settings)


@HYPERVISORS
def test_what_is_declared_meanwhile_is_carried_out_once_it_is_back(settings: Settings) -> None:
    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        await cloud.settle(60)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        assert cloud.datacentre.vm().power is Power.ON
        listed(cloud, host)
        await cloud.settle(60)
        assert (cloud.datacentre.vm().power, cloud.reason()) == (Power.OFF, ("True", "Stopped"))

    play(story, settings)


def test_a_call_that_finds_neither_vm_nor_host_takes_the_vm_for_neither_deleted_nor_free() -> None:
    """Before the hosts are listed the next time."""

    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        cloud.edit(stopMode="Hard", powerState="Off", volumes=[])
        await cloud.settle(60)
        assert (cloud.vm()["state"], cloud.reason()) == ("Unknown", ("False", "HostDown"))
        assert [each["name"] for each in cloud.vm()["volumes"]] == ["data"], "it has it until it is seen without it"
        assert not said(cloud) & {"InstanceMissing", "InstanceLost"}
        listed(cloud, host)
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Stopped")
        assert made(cloud) == [(host, 1, 1)]

    play(story, SILENT)


@HYPERVISORS
@pytest.mark.parametrize("seen", [False, True], ids=["at once", "later"])
def test_a_vm_that_is_deleted_waits_for_its_host(seen: bool, settings: Settings) -> None:
    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        await cloud.settle(60 if seen else 0.01)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(120)
        assert cloud.exists("VirtualMachine", "shop/web")
        status, _ = cloud.reason(type="DeletionBlocked") or ("", "")
        assert status == "True"
        assert made(cloud) == [(host, 1, 1)]
        assert "NotFoundOnHypervisor" not in said(cloud)
        listed(cloud, host)
        await cloud.settle(120)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert findings(cloud, cloud.datacentre.census) == []
        assert made(cloud) == []

    play(story, settings)


@HYPERVISORS
def test_a_vm_whose_status_is_lost_is_not_made_again_elsewhere(settings: Settings) -> None:
    async def story(cloud: MatrixCloud) -> None:
        host = await running(cloud)
        unlist(cloud, host)
        await cloud.settle(60)
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(600)
        assert made(cloud) == [(host, 1, 1)]
        assert cloud.reason() == ("False", "HostsNotObserved")
        assert host in cloud.text()
        listed(cloud, host)
        await cloud.settle(240)
        assert not wrong(cloud), wrong(cloud)
        assert made(cloud) == [(host, 1, 1)]

    play(story, settings)
