"""Whatever goes wrong at whatever step of a VM's life, it ends as declared: one VM, nothing of it left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.runtime.keys import Key
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Power
from tests.support.crashes import PARTS, Step, failing, killed_at_each_point, watch
from tests.support.vms import GIB, Stop, VMCloud, play, site, vm
from tests.unit.runtime.fakes import Fault

WEB = Key("VirtualMachine", "shop", "web")
SECOND = [{"name": "front", "network": "front"}, {"name": "back", "network": "front"}]
QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 1.5))
"""Every call becomes a native task."""


def create(cloud: VMCloud) -> None:
    cloud.apply(vm())


def edit(**spec: Any) -> Step:
    def step(cloud: VMCloud) -> None:
        if cloud.exists("VirtualMachine", "shop/web"):
            cloud.edit(**spec)

    return step


def delete(cloud: VMCloud) -> None:
    if cloud.exists("VirtualMachine", "shop/web"):
        cloud.delete("VirtualMachine", "shop/web")


LIFE: Sequence[Step] = (
    create,
    edit(offering="large", networks=SECOND),
    edit(restartedAt="2026-11-20T11:00:00Z"),
    edit(powerState="Off"),
)


async def begin(cloud: VMCloud) -> None:
    cloud.apply(site(2))
    await cloud.settle(30)


async def live(cloud: VMCloud, life: Sequence[Step] = LIFE) -> None:
    """Take the steps; when the world stops meanwhile, start another controller, and go on."""
    for step in life:
        step(cloud)
        await watch(cloud, 8)
    await watch(cloud, 10)
    await cloud.settle(30)


def check(cloud: VMCloud) -> None:
    """The hypervisors have what is declared, once, and the memory of the controller says the same."""
    declared = cloud.api.objects.get(WEB)
    census, parts = cloud.datacentre.census, cloud.controller.parts
    assert len(census.vms) == len(census.disks) == (1 if declared else 0), census
    addresses = [str(ip) for ip, _ in parts.addresses.records("shop/front")]
    if declared is None:
        assert not addresses
        assert not any(parts.placements.size(f"uid-{number}") for number in range(100))
        return
    found, spec, status = cloud.datacentre.vm(), declared["spec"], declared["status"]
    offering = cloud.raw("ServiceOffering", spec["offering"])["spec"]
    assert census.vms[0].made == 1
    assert cloud.reason() == ("True", "Stopped" if spec.get("powerState") == "Off" else "Running"), status
    assert (found.power is Power.ON) == (spec.get("powerState") != "Off")
    assert list(found.nics) == [nic["name"] for nic in spec["networks"]]
    assert sorted(addresses) == sorted(nic.ip for nic in found.nics.values())
    assert status["job"]["status"] != "InProgress"
    needs = [offering["cpus"], int(offering["memory"].removesuffix("Gi")) * GIB]
    if status.get("pendingChanges"):  # one that runs keeps the room of what it runs with until its restart
        needs = [max(each) for each in zip(needs, (found.running_cpus, found.running_memory), strict=True)]
    else:
        assert [found.cpus, found.memory] == needs
    size = parts.placements.size(declared["metadata"]["uid"])
    assert size is not None
    assert [size.cpus, size.memory] == needs
    assert found.host == f"host-{int(size.host.removeprefix('h')):05d}"


def whole_life(made: Settings, disturb: Callable[[VMCloud], None]) -> VMCloud:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.points.clear()
        disturb(cloud)
        await live(cloud)
        check(cloud)
        await live(cloud, [delete])
        check(cloud)

    return play(story, settings=made)


STEPS = {f"{when} {call}" for when in ("before", "after") for call in ("create", "apply", "start", "stop", "delete", "put_image")}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("made", [QUICK, SLOW], ids=["at once", "by tasks"])
def test_killed_before_or_after_any_write_or_call(made: Settings, part: int) -> None:
    """Every point of a life is tried, a quarter of them here; up to the kill, each life is the same."""
    among = {*STEPS, "before status of VirtualMachine", "after metadata of VirtualMachine"}
    killed_at_each_point(lambda disturb: whole_life(made, disturb), among, part)


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.THROTTLED, Fault.UNAVAILABLE, Fault.LOST])
@pytest.mark.parametrize("part", ["status", "metadata"])
def test_each_write_of_a_life_fails_once(fault: Fault, part: str) -> None:
    """The first, second, … write of a VM goes wrong, each in a life of its own."""

    for which in range(1, 3 if part == "metadata" else 16):
        whole_life(QUICK, failing(which, fault, lambda written, key: (written, key) == (part, WEB)))


MUTATING = ["compute.create", "compute.apply", "compute.delete", "power.start", "power.stop", "storage.put_image"]


@pytest.mark.parametrize("method", MUTATING)
@pytest.mark.parametrize("kind", [FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.LOSE_REPLY])
def test_each_task_of_a_life_goes_wrong_once(method: str, kind: FaultKind) -> None:
    whole_life(SLOW, lambda cloud: cloud.datacentre.fail(method, kind))


EDITS = st.sampled_from(
    [
        edit(offering="large"),
        edit(offering="small"),
        edit(networks=SECOND),
        edit(networks=SECOND[:1]),
        edit(powerState="Off"),
        edit(powerState="On"),
        edit(restartedAt="2026-11-20T11:00:00Z"),
        edit(restartedAt="2026-11-20T12:00:00Z"),
        edit(sshKeys=["ssh-ed25519 AAAA me"]),
        edit(rootDisk={"size": "20Gi"}),
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=st.lists(EDITS, max_size=6), stops=st.lists(st.integers(1, 60), max_size=3), by_tasks=st.booleans())
def test_any_edits_with_any_kills_converge(edits: list[Step], stops: list[int], by_tasks: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for number in [*stops, 10_000]:
            cloud.stop = Stop(number)
            await live(cloud, [create, *edits] if not cloud.exists("VirtualMachine", "shop/web") else edits)
            check(cloud)
        await live(cloud, [delete])
        check(cloud)

    play(story, settings=SLOW if by_tasks else QUICK)
