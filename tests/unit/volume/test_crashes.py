"""Whatever goes wrong at whatever step of a volume's life, it ends as declared: one volume, on one VM, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.runtime.keys import Key
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support import volumes
from tests.support.crashes import PARTS, Step, failing, killed_at_each_point, watch
from tests.support.vms import GIB, Stop, VMCloud, play, site, vm
from tests.support.volumes import has, made, mounted, mounts, ready, status, volume
from tests.unit.runtime.fakes import Fault

DATA, WEB = Key("Volume", "shop", "data"), Key("VirtualMachine", "shop", "web")
QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 1.5))
"""Every call becomes a native task."""


def create(cloud: VMCloud) -> None:
    cloud.apply(volume())


def create_vm(cloud: VMCloud) -> None:
    cloud.apply(vm(extra=mounted("data")))


def attach(*names: str) -> Step:
    def step(cloud: VMCloud) -> None:
        if WEB in cloud.api.objects:
            cloud.edit(volumes=mounts(*names))

    return step


def grow(size: str) -> Step:
    def step(cloud: VMCloud) -> None:
        if DATA in cloud.api.objects:
            volumes.edit(cloud, size=size)

    return step


def delete(cloud: VMCloud) -> None:
    for key in (DATA, WEB):
        if key in cloud.api.objects:
            cloud.api.delete(key)


LIFE: Sequence[Step] = (create, create_vm, grow("7Gi"), attach(), attach("data"))


async def begin(cloud: VMCloud) -> None:
    cloud.apply(site(2))
    await cloud.settle(30)
    cloud.apply(vm("seeding"))
    await cloud.settle(30)
    cloud.api.delete(Key("VirtualMachine", "shop", "seeding"))
    await cloud.settle(15)


async def live(cloud: VMCloud, life: Sequence[Step] = LIFE) -> None:
    """Take the steps; when the world stops meanwhile, start another controller, and go on."""
    for step in life:
        step(cloud)
        await watch(cloud, 8, never_broken)
    await watch(cloud, 12, never_broken)
    await cloud.settle(40)


def never_broken(cloud: VMCloud) -> None:
    """What holds at every moment: no volume is made twice or on two VMs, none is gone under its VM."""
    census = cloud.datacentre.census
    for each in census.volumes:
        assert each.made == 1, each
        assert len(each.users) <= 1, each
    there = {each.volume for each in census.volumes}
    assert all(attached.volume in there for machine in census.vms for attached in machine.volumes), census


def check(cloud: VMCloud) -> None:
    """The pools have what is declared, the VM has it if it says so, and the memory of the controller says the same."""
    never_broken(cloud)
    declared, machine = cloud.api.objects.get(DATA), cloud.api.objects.get(WEB)
    parts, uid = cloud.controller.parts, declared["metadata"]["uid"] if declared else ""
    assert list(made(cloud)) == (["data"] if declared else []), cloud.datacentre.census.volumes
    if declared:
        size = int(declared["spec"]["size"].removesuffix("Gi")) * GIB
        assert (ready(cloud), made(cloud)["data"].size) == (("True", "Ready"), size), status(cloud)
        assert status(cloud)["job"]["status"] == "Succeeded"
        held = parts.placements.size(uid)
        assert held is not None
        assert (held.pool, held.disk) == (status(cloud)["pool"], size)
    if machine:
        named = [each["name"] for each in machine["spec"].get("volumes", [])]
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), named), cloud.text()
        assert [each["name"] for each in cloud.vm().get("volumes", [])] == named
        assert ("attachedTo" in status(cloud)) == bool(named)
    assert len(cloud.datacentre.census.vms) == (1 if machine else 0)


def whole_life(made_by: Settings, disturb: Callable[[VMCloud], None]) -> VMCloud:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.points.clear()
        disturb(cloud)
        await live(cloud)
        check(cloud)
        await live(cloud, [delete])
        check(cloud)
        assert not any(cloud.controller.parts.placements.size(f"uid-{number}") for number in range(100))

    return play(story, settings=made_by)


CALLS = ("create_volume", "grow_volume", "delete_volume", "apply", "create", "delete")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("made_by", [QUICK, SLOW], ids=["at once", "by tasks"])
def test_killed_before_or_after_any_write_or_call(made_by: Settings, part: int) -> None:
    """Every point of a life is tried, a quarter of them here; up to the kill, each life is the same."""
    calls = {f"{when} {call}" for when in ("before", "after") for call in CALLS}
    among = {*calls, "before status of Volume", "after metadata of Volume"}
    killed_at_each_point(lambda disturb: whole_life(made_by, disturb), among, part)


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.THROTTLED, Fault.UNAVAILABLE, Fault.LOST])
@pytest.mark.parametrize("part", ["status", "metadata"])
def test_each_write_of_a_life_fails_once(fault: Fault, part: str) -> None:
    """The first, second, … write of a volume goes wrong, each in a life of its own."""

    for which in range(1, 3 if part == "metadata" else 10):
        whole_life(QUICK, failing(which, fault, lambda written, key: (written, key) == (part, DATA)))


MUTATING = ["volumes.create_volume", "volumes.grow_volume", "volumes.delete_volume", "compute.apply"]


@pytest.mark.parametrize("method", MUTATING)
@pytest.mark.parametrize("kind", [FaultKind.TASK_ERROR, FaultKind.FORGET_TASK, FaultKind.LOSE_REPLY, FaultKind.ERROR])
def test_each_call_of_a_life_goes_wrong_once(method: str, kind: FaultKind) -> None:
    extra = {"error": "Transient"} if kind is FaultKind.ERROR else {}
    whole_life(SLOW, lambda cloud: cloud.datacentre.fail(method, kind, **extra))


EDITS = st.sampled_from([grow("6Gi"), grow("9Gi"), attach(), attach("data"), create, create_vm, delete])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=st.lists(EDITS, max_size=6), stops=st.lists(st.integers(1, 60), max_size=3), by_tasks=st.booleans())
def test_any_edits_with_any_kills_converge(edits: list[Step], stops: list[int], by_tasks: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        for number in [*stops, 10_000]:
            cloud.stop = Stop(number)
            await live(cloud, edits)
        await live(cloud, [delete])
        check(cloud)
        await live(cloud, [create, create_vm])
        check(cloud)

    play(story, settings=SLOW if by_tasks else QUICK)
