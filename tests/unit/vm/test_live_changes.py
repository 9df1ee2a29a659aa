"""Changes that a hypervisor can't make while the VM runs: they are pending, say what they need, and come with the next restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.support.volumes import has, mounted, volume

FRONT = {"name": "front", "network": "front"}
BACK = {"name": "back", "network": "front"}


@dataclass(frozen=True)
class Change:
    """`edit` of a running VM, declared with `extra`; `done` tells whether it has it; `pending` is what is told until then."""

    name: str
    missing: Capability
    edit: dict[str, Any]
    done: Callable[[VMCloud], bool]
    pending: list[tuple[str, str]]
    extra: str = field(default="")


def _nics(*names: str) -> Callable[[VMCloud], bool]:
    return lambda cloud: sorted(cloud.datacentre.vm().nics) == sorted(names)


CHANGES = [
    Change(
        "a NIC is added",
        Capability.NIC_HOTPLUG,
        {"networks": [FRONT, BACK]},
        _nics("front", "back"),
        [("spec.networks[back]", "PowerOff")],
    ),
    Change("a NIC is removed", Capability.NIC_HOTPLUG, {"networks": []}, _nics(), [("spec.networks[front]", "PowerOff")]),
    Change(
        "the root disk grows",
        Capability.DISK_GROW_LIVE,
        {"rootDisk": {"size": "20Gi"}},
        lambda cloud: cloud.datacentre.vm().disks["root"].size == 20 * GIB,
        [("spec.rootDisk.size", "PowerOff")],
    ),
    Change(
        "more memory",
        Capability.MEMORY_ADD_LIVE,
        {"offering": "large"},
        lambda cloud: cloud.datacentre.vm().running_memory == 8 * GIB,
        [("spec.offering", "Restart")],
    ),
    Change(
        "more CPUs",
        Capability.CPU_ADD_LIVE,
        {"offering": "large"},
        lambda cloud: cloud.datacentre.vm().running_cpus == 4,
        [("spec.offering", "Restart")],
    ),
    Change(
        "a volume is detached",
        Capability.VOLUME_HOTPLUG,
        {"volumes": []},
        lambda cloud: has(cloud) == [],
        [("spec.volumes[data]", "PowerOff")],
        mounted("data"),
    ),
]


def hosts(missing: frozenset[Capability]) -> Settings:
    return Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, capabilities=frozenset(Capability) - missing)


async def edited(cloud: VMCloud, change: Change) -> None:
    """A running VM whose spec was changed half a minute ago."""
    cloud.apply(site())
    cloud.apply(volume())
    await cloud.settle(30)
    cloud.apply(vm(extra=change.extra))
    await cloud.settle(30)
    assert cloud.reason() == ("True", "Running"), cloud.text()
    assert not change.done(cloud)
    cloud.edit(**change.edit)
    await cloud.settle(30)


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.name)
def test_without_the_capability_it_is_pending_and_comes_with_the_next_restart(change: Change) -> None:
    async def story(cloud: VMCloud) -> None:
        await edited(cloud, change)
        starts = cloud.datacentre.vm().starts
        assert not change.done(cloud), "the hypervisor can't do that"
        assert [(each["field"], each["needs"]) for each in cloud.vm()["pendingChanges"]] == change.pending
        required = cloud.reason(type="RestartRequired")
        assert required is not None
        assert required[0] == "True"
        assert cloud.reason() == ("True", "Running")
        cloud.edit(restartedAt="2026-11-20T11:00:00Z")
        await cloud.settle(60)
        assert change.done(cloud)
        assert "pendingChanges" not in cloud.vm()
        assert (cloud.reason(type="RestartRequired") or ("False",))[0] == "False"
        assert (cloud.reason(), cloud.datacentre.vm().starts) == (("True", "Running"), starts + 1)

    play(story, settings=hosts(frozenset({change.missing})))


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.name)
def test_with_the_capability_it_is_done_at_once(change: Change) -> None:
    async def story(cloud: VMCloud) -> None:
        await edited(cloud, change)
        assert change.done(cloud)
        assert "pendingChanges" not in cloud.vm()
        assert cloud.datacentre.vm().starts == 1

    play(story, settings=hosts(frozenset()))
