"""The leader falls asleep before and after each of its calls and writes, another one takes over, and the first awakes.

It sleeps as a stopped process does: nothing of it goes on, and its Lease runs out. When it awakes, the call that it stood before
goes out, as nothing can stand between the fence and a call; every other is refused by the fence. The write that it stood before is
refused for its old resourceVersion, if anybody has written the object since; so is what else was on its way. Then its term ends by
itself.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from drivers.simulator.engine.census import Census
from drivers.simulator.engine.settings import Settings
from drivers.simulator.methods import METHODS
from tests.support.again import AGAIN, FOLLOWED, LEAVES, Again, Leaves
from tests.support.around import unsettled
from tests.support.matrix import DEADLINE, OPERATIONS, QUICK, SLOW, Operation, end_as_declared, prepare, unfinished, wrong
from tests.support.pauses import PauseCloud, play
from tests.support.tables import Cell
from tests.support.vms import BACKGROUND, Stop

WATCHED = 75
"""Seconds that an operation takes at most, as in the matrix of kills."""
ENDS = 30.0
"""Seconds within which one that awakes has ended its term."""
HARMFUL = {"create", "start", "delete", "attach", "detach", "snapshot", "restore", "v.create", "v.delete", "grow"}
"""Operations whose calls would do harm if they were made twice: of these, each point has each awakening. Of the others each has one
of them; the other two are for the points from which something goes out."""
CHANGING = {name.partition(".")[2] for name, method in METHODS.items() if method.mutates}


class Awakening(enum.Enum):
    """When the first leader awakes."""

    AMID = "while the other one is at it"
    LATER = "when the other one has done it"
    STALE = "when users have taken it back"
    FOLLOWED = "when another one of its kind has followed"


@dataclass
class Sleep:
    """One sleep at the `number`-th point; what that was, and what the fence and the API server refused, and what that accepted."""

    operation: Operation
    awakening: Awakening
    number: int
    point: str = ""
    fenced: int = 0
    outdated: int = 0
    accepted: int = 0

    @property
    def call(self) -> str:
        """The changing call that it stood before, "" if it stood elsewhere."""
        when, name = self.point.split(" ", 1)
        return name if when == "before" and name in CHANGING else ""

    @property
    def write(self) -> bool:
        """Whether it stood before a write."""
        return self.point.startswith("before ") and " of " in self.point

    @property
    def leaves(self) -> Leaves | None:
        """What the call that comes late leaves."""
        return LEAVES.get((self.operation.name, self.call)) if self.awakening is Awakening.STALE else None


def all_done(operation: Operation) -> Operation:
    """With what VMs stand on in order too."""

    def done(cloud: PauseCloud) -> None:
        operation.done(cloud)
        assert not (found := unsettled(cloud)), found

    return replace(operation, done=done)  # type: ignore[arg-type]


async def begin(cloud: PauseCloud, operation: Operation, stop: Stop | None) -> None:
    """Have users act on a cloud that is at rest, with the leader to fall asleep at a point."""
    await prepare(cloud, operation)
    await cloud.settle(WATCHED)
    cloud.path.clear()
    cloud.passed_over = BACKGROUND
    cloud.stop = stop
    operation.act(cloud)


def path(operation: Operation, awakening: Awakening) -> list[str]:
    """The points of an operation when nobody sleeps, in their order."""

    async def story(cloud: PauseCloud) -> None:
        await begin(cloud, operation, None)
        await cloud.settle(WATCHED)

    return play(story, settings(awakening)).path


def goes_out(point: str) -> bool:
    """Whether something is sent from there when its process awakes."""
    when, name = point.split(" ", 1)
    return when == "before" and (name in CHANGING or " of " in name)


def settings(awakening: Awakening) -> Settings:
    return SLOW if awakening is Awakening.AMID else QUICK


async def moment(cloud: PauseCloud, operation: Operation, awakening: Awakening) -> Operation:
    """Wait until the first leader is to awake; returns what must hold in the end from there on."""
    if awakening is Awakening.AMID:
        await at_work(cloud)
        return operation
    await end_as_declared(cloud, operation)
    for again in meanwhile(operation, awakening):
        again.act(cloud)
        operation = all_done(replace(operation, done=again.done))
        await end_as_declared(cloud, operation)
    return operation


def meanwhile(operation: Operation, awakening: Awakening) -> tuple[Again, ...]:
    """What users do while the first leader sleeps, one after the other."""
    if awakening is Awakening.FOLLOWED:
        return FOLLOWED[operation.name]
    return (AGAIN[operation.name],) if awakening is Awakening.STALE else ()


async def at_work(cloud: PauseCloud) -> None:
    """Until the other one leads and has begun to change something, if there is anything left to change."""
    for _ in range(200):
        await asyncio.sleep(0.1)
        if cloud.leader == "new":
            break
    for _ in range(50):
        await asyncio.sleep(0.1)
        if cloud.called("new"):
            break


def suffer(operation: Operation, awakening: Awakening, number: int) -> Sleep:
    """Have the leader sleep at a point of the operation; all must end as declared, or as `LEAVES` has it."""
    sleep = Sleep(operation, awakening, number)

    async def story(cloud: PauseCloud) -> None:
        stop = Stop(number)
        await begin(cloud, operation, stop)
        async with asyncio.timeout(WATCHED):
            await cloud.stopped.wait()
        sleep.point, versions = stop.name, cloud.versions()
        await cloud.take_over()
        wanted = await moment(cloud, all_done(operation), awakening)
        world = state(cloud)
        await awake(cloud, sleep, versions)
        if leaves := sleep.leaves:
            await is_left(cloud, wanted, leaves)
        else:
            await end_as_declared(cloud, wanted)
        if awakening is Awakening.LATER and not sleep.accepted:
            assert state(cloud) == world, "what was done is not touched again"

    play(story, settings(awakening))
    return sleep


def state(cloud: PauseCloud) -> tuple[Census, int]:
    """What there is, and how often anything was written."""
    return cloud.datacentre.census, len(cloud.api.history)


async def awake(cloud: PauseCloud, sleep: Sleep, versions: Mapping[str, str]) -> None:
    """Wake the first leader: nothing goes out but what it stood before, and its term ends.

    The API server accepts a write of it if nobody has written the object since; who leads goes on from there.
    """
    old, at, outdated = cloud.old, asyncio.get_running_loop().time(), cloud.api.refused["old"]
    unchanged = versions.items() & cloud.versions().items()
    old.process.wake()
    await cloud.settle(ENDS)
    assert [call.partition(".")[2] for call in cloud.called("old", at)] == ([sleep.call] if sleep.call else [])
    written = cloud.written("old", at)
    sleep.outdated, sleep.fenced, sleep.accepted = cloud.api.refused["old"] - outdated, old.refused, len(written)
    assert sleep.outdated + sleep.accepted >= sleep.write, "what it stood before was sent"
    assert written == [] or (sleep.write and written == [key for key, _ in unchanged if key in written]), written
    assert old.term is not None
    assert old.term.done()
    assert (old.term.result(), old.errors) == (None, [])
    assert cloud.leader == "new"


async def is_left(cloud: PauseCloud, operation: Operation, leaves: Leaves) -> None:
    """Wait until it is told, and see that nothing else is wrong."""
    for _ in range(0, DEADLINE, 15):
        await asyncio.sleep(15)
        if leaves.told(cloud):
            break
    assert leaves.told(cloud)
    found = wrong(cloud) or unfinished(cloud, operation)
    assert len(found) == len(leaves.found), found
    assert all(part in each for part, each in zip(leaves.found, found, strict=True)), found


CASES = [
    pytest.param(operation, awakening, id=f"{operation.name}-{awakening.name.lower()}")
    for operation in OPERATIONS
    for awakening in Awakening
    if awakening is not Awakening.FOLLOWED or operation.name in FOLLOWED
]


@pytest.mark.parametrize(("operation", "awakening"), CASES)
def test_it_ends_as_declared(operation: Operation, awakening: Awakening, cell: Cell) -> None:
    title = f"A leader that slept awakes {awakening.value}"
    cell(title, operation.name, "ends", "FAILED")
    everywhere = awakening is Awakening.LATER or operation.name in HARMFUL
    points = [each for each in enumerate(path(operation, awakening), 1) if everywhere or goes_out(each[1])]
    sleeps = [suffer(operation, awakening, number) for number, _ in points]
    assert [each.point for each in sleeps] == [name for _, name in points], "it has slept at each"
    left = sorted({each.leaves.how for each in sleeps if each.leaves})
    cell(title, operation.name, "sleeps", str(len(sleeps)))
    cell(title, operation.name, "calls out", str(sum(bool(each.call) for each in sleeps)))
    cell(title, operation.name, "fenced", str(sum(each.fenced for each in sleeps)))
    cell(title, operation.name, "accepted", str(sum(each.accepted for each in sleeps)))
    cell(title, operation.name, "outdated", str(sum(each.outdated for each in sleeps)))
    cell(title, operation.name, "ends", f"told - {', '.join(left)}" if left else "declared")
