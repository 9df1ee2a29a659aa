"""Whatever somebody does to a VM by hand is found: within seconds where the hypervisor tells of it, else at the next look."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support.matrix import MatrixCloud, play
from tests.support.vms import GIB, vm
from tests.support.volumes import mounted, volume

TELLS = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2)
SILENT = replace(TELLS, capabilities=TELLS.capabilities - {Capability.EVENTS})
PARTLY = replace(TELLS, capabilities=TELLS.capabilities - {Capability.DEFINITION_EVENTS})
SECONDS = {"tells": (TELLS, 5), "tells of some": (PARTLY, 67), "is silent": (SILENT, 31)}
"""Virtual ones, within which it is found: of one that tells nothing all VMs are looked at every 30 s, of one that does not tell of
definitions every 60 s, by up to a tenth more or less."""

Found = Callable[[MatrixCloud], bool]


def event(reason: str) -> Found:
    return lambda cloud: reason in cloud.events("web")


def in_sync(reason: str) -> Found:
    return lambda cloud: cloud.reason(type="InSync") == ("False", reason)


def away(cloud: MatrixCloud) -> str:
    """The host that the VM was not placed on."""
    placed = next(raw for raw in cloud.api.history if raw["metadata"]["name"] == "web" and raw.get("status", {}).get("host"))
    return "host-00001" if placed["status"]["host"] == "host-00002" else "host-00002"


def on_its_host(cloud: MatrixCloud) -> str:
    return str(cloud.vm()["host"])


def silent(cloud: MatrixCloud) -> bool:
    return (cloud.vm()["state"], cloud.reason()) == ("Unknown", ("False", "HostDown"))


HOST_ACTS = {Act.LOSE_NETWORK, Act.UNLIST_HOST}
ROWS: dict[Act, tuple[Callable[[MatrixCloud], str], Found]] = {
    Act.POWER_OFF: (lambda _: "", event("PowerStateDrift")),
    Act.CRASH_VM: (lambda _: "", event("PowerStateDrift")),
    Act.DELETE_VM: (lambda _: "", lambda cloud: cloud.reason() == ("False", "InstanceMissing")),
    Act.RENAME_VM: (lambda _: "other", event("Renamed")),
    Act.SET_CPUS: (lambda _: "1", event("HardwareDrift")),
    Act.SET_MEMORY: (lambda _: str(GIB), event("HardwareDrift")),
    Act.ADD_DEVICE: (lambda _: "sdz", in_sync("ForeignDevices")),
    Act.REMOVE_NIC: (lambda _: "front", event("HardwareDrift")),
    Act.MOVE_NIC: (lambda _: "front=elsewhere/7", event("HardwareDrift")),
    Act.DETACH_VOLUME: (lambda cloud: next(iter(cloud.datacentre.vm().volumes)), event("HardwareDrift")),
    Act.REMOVE_DISK: (lambda _: "root", in_sync("DiskMissing")),
    Act.MOVE_VM: (away, lambda cloud: cloud.vm()["host"] == away(cloud)),
    Act.LOSE_NETWORK: (lambda _: "guest", event("HardwareDrift")),
    Act.UNLIST_HOST: (lambda _: "", silent),
}


@pytest.mark.parametrize("hypervisor", SECONDS)
@pytest.mark.parametrize("act", ROWS)
def test_it_is_found(act: Act, hypervisor: str) -> None:
    settings, seconds = SECONDS[hypervisor]
    value, found = ROWS[act]

    async def story(cloud: MatrixCloud) -> None:
        cloud.site(2, shared=act is Act.UNLIST_HOST)
        await cloud.settle(30)
        cloud.apply(volume())
        cloud.apply(vm(extra=mounted("data")))
        await cloud.settle(67)
        assert cloud.reason() == ("True", "Running")
        assert not found(cloud)
        cloud.datacentre.act(act, on_its_host(cloud) if act in HOST_ACTS else "web", value(cloud))
        for _ in range(seconds):
            await asyncio.sleep(1)
            if found(cloud):
                return
        pytest.fail(f"not found within {seconds} s: {cloud.vm()['conditions']}")

    play(story, settings)
