"""Every fault that the simulator can have, in the middle of every operation: afterwards all is as declared, once.

Each cell is a test of its own. The fault strikes the operation's own call to the hypervisor, then it is lifted; the cell of the
table says how many seconds of virtual time passed from there until all was as declared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from tests.support import adoption
from tests.support.matrix import OPERATIONS, QUICK, SLOW, MatrixCloud, Operation, Step, end_as_declared, play, prepare, wrong
from tests.support.snapshots import reads, stored
from tests.support.tables import Cell
from tests.support.vms import GIB

TITLE = "Faults while users work: seconds until all is as declared"
NARROW = replace(QUICK, memory=10 * GIB)
LIE = "64:1099511627776"
"""64 CPUs and 1 TiB."""


def _nothing(cloud: MatrixCloud) -> None:
    """It ends by itself."""


@dataclass(frozen=True)
class Fault:
    """A way to go wrong: `begin` is called before the users act; what it lets happen lasts for `lasts` seconds, then `lift`.

    With one host, whose other VM leaves too little room, it begins before anything is there.
    """

    name: str
    begin: Callable[[MatrixCloud, Operation], None]
    settings: Settings = QUICK
    lasts: float = 20.0
    lift: Step = _nothing
    hosts: int = 2


def scripted(kind: FaultKind, count: int = 1, **values: Any) -> Callable[[MatrixCloud, Operation], None]:
    """The next calls of the operation go wrong."""
    return lambda cloud, operation: cloud.datacentre.fail(operation.method, kind, count=count, **values)


def to_host(when: str, act: Act) -> Callable[[MatrixCloud, Operation], None]:
    """Something happens to the VM's host, or to all if any host may do it, before or after the operation's call."""

    def begin(cloud: MatrixCloud, operation: Operation) -> None:
        cloud.at[f"{when} {operation.call}"] = to_vms_host if operation.on_vm else to_hosts(act)

    def to_vms_host(cloud: MatrixCloud) -> None:
        cloud.datacentre.act(act, cloud.vm()["host"])

    return begin


def to_hosts(act: Act, value: str = "") -> Step:
    """Something happens to all hosts now."""

    def step(cloud: MatrixCloud) -> None:
        for name in cloud.datacentre.service.dc.hosts:
            cloud.datacentre.act(act, name, value)

    return step


def truth(cloud: MatrixCloud) -> None:
    """The lie, which mattered, ends, and there is room as soon as the other VM is gone."""
    assert wrong(cloud)
    cloud.delete("VirtualMachine", "shop/idle")
    to_hosts(Act.LIE)(cloud)


def power(act: Act) -> Step:
    return lambda cloud: cloud.datacentre.act(act, "web")


def take_volume(cloud: MatrixCloud) -> None:
    [volume] = cloud.datacentre.vm().volumes
    cloud.datacentre.act(Act.DETACH_VOLUME, "web", volume)


def take_volume_to_be_put_back(cloud: MatrixCloud) -> None:
    """What the VM's own operation does not put right anyway is put right for the asking."""
    cloud.edit(driftPolicy="Correct")
    take_volume(cloud)


def delete_volume(cloud: MatrixCloud) -> None:
    cloud.datacentre.act(Act.DELETE_VOLUME, f"host-00001/{cloud.status('Volume', 'shop/data')['volumeID']}")


BEHIND: dict[str, tuple[str, Step]] = {
    "create": ("after start", power(Act.POWER_OFF)),
    "start": ("after start", power(Act.POWER_OFF)),
    "stop": ("after stop", power(Act.POWER_ON)),
    "hard stop": ("after stop", power(Act.POWER_ON)),
    "resize": ("after apply", lambda cloud: cloud.datacentre.act(Act.SET_CPUS, "web", "1")),
    "attach": ("after apply", take_volume),
    "detach": ("before apply", take_volume),
    "snapshot": ("before create_snapshot", power(Act.POWER_OFF)),
    "restore": ("before restore", power(Act.POWER_ON)),
    "delete": ("before delete", power(Act.DELETE_VM)),
    "grow": ("before grow_volume", take_volume_to_be_put_back),
    "adopt": ("before adopt", lambda cloud: cloud.datacentre.act(Act.POWER_OFF, f"host-00001/{adoption.ID}")),
    "let go": ("before disown", power(Act.POWER_OFF)),
    "take back": ("before adopt", lambda cloud: cloud.datacentre.act(Act.POWER_OFF, "old")),
    "v.delete": ("before delete_volume", delete_volume),
}
"""What somebody does with the console, and when."""


def behind(cloud: MatrixCloud, operation: Operation) -> None:
    point, step = BEHIND[operation.name]
    cloud.at[point] = step


FAULTS = [
    Fault("lost reply after commit", scripted(FaultKind.LOSE_REPLY)),
    Fault("error, three times", scripted(FaultKind.ERROR, count=3), lasts=60.0),
    Fault("conflict, once", scripted(FaultKind.ERROR, error="Conflict")),
    Fault("failed task", scripted(FaultKind.TASK_ERROR), SLOW),
    Fault("hang", scripted(FaultKind.HANG)),
    Fault("vanished task", scripted(FaultKind.FORGET_TASK), SLOW),
    Fault("session expiry", scripted(FaultKind.EXPIRE_SESSION)),
    Fault("partition before the call", to_host("before", Act.CUT_HOST), QUICK, 90.0, to_hosts(Act.HEAL_HOST)),
    Fault("partition during the task", to_host("after", Act.CUT_HOST), SLOW, 90.0, to_hosts(Act.HEAL_HOST)),
    Fault("host crash before the call", to_host("before", Act.CRASH_HOST), QUICK, 90.0, to_hosts(Act.BOOT_HOST)),
    Fault("host crash during the task", to_host("after", Act.CRASH_HOST), SLOW, 90.0, to_hosts(Act.BOOT_HOST)),
    Fault("host claims too little", lambda cloud, _: to_hosts(Act.LIE, f"1:{GIB}")(cloud), QUICK, 60.0, to_hosts(Act.LIE)),
    Fault("host claims too much", lambda cloud, _: to_hosts(Act.LIE, LIE)(cloud), NARROW, 60.0, truth, hosts=1),
    Fault("pool claims too much", scripted(FaultKind.ERROR, count=3, error="NoRoom"), lasts=60.0),
    Fault("out-of-band change", behind),
]
NO_ROOM = "takes no room of a host, so it can't be misled by one that claims too much"
NO_SPACE = "takes no room in a pool, so it can't be misled by one that claims too much"
IN_POOL = {"create", "snapshot", "restore", "grow", "v.create", "v.snapshot", "v.restore"}
LOST = "what somebody deletes is lost: that is told and can't be mended"
NONSENSE = {
    **{("out-of-band change", each.name): LOST for each in OPERATIONS if each.name not in BEHIND},
    **{("host claims too much", each.name): NO_ROOM for each in OPERATIONS if not each.room},
    **{("pool claims too much", each.name): NO_SPACE for each in OPERATIONS if each.name not in IN_POOL},
    **{(name, "stop"): "asking a guest to stop is no native task" for name in ("failed task", "vanished task")},
    **{(name, "p.delete"): "letting a pool go is no native task" for name in ("failed task", "vanished task")},
}
"""Cells that make no sense, and why."""
REFUSED = dict.fromkeys(
    [("conflict, once", "restore"), ("conflict, once", "v.restore")],
    "a definite no of the hypervisor ends a restore: it says Failed, and nothing was changed",
)
CELLS = [(fault, each) for fault in FAULTS for each in OPERATIONS if (fault.name, each.name) not in NONSENSE]


def refused(cloud: MatrixCloud) -> None:
    """The restore did not happen, and says so."""
    assert cloud.condition("SnapshotRestore", "shop/back", "Ready") == ("False", "HypervisorConflict")
    if cloud.exists("VirtualMachine", "shop/web"):
        assert (reads(cloud), cloud.datacentre.vm().restores) == ("new", 0)
    else:
        assert stored(cloud) == "new"


def suffer(fault: Fault, operation: Operation) -> int:
    """Carry out the operation under the fault; returns how long it took from its end."""
    took = 0

    async def story(cloud: MatrixCloud) -> None:
        nonlocal took
        if fault.hosts == 1:
            fault.begin(cloud, operation)
            await prepare(cloud, operation, hosts=1, idle=operation.room)
        else:
            await prepare(cloud, operation)
            fault.begin(cloud, operation)
        await cloud.settle(1)
        operation.act(cloud)
        await cloud.settle(fault.lasts)
        assert not cloud.at, "the call was never made"
        assert not cloud.datacentre.service.faults.in_force(), "the fault did not strike"
        fault.lift(cloud)
        took = await end_as_declared(cloud, operation)

    play(story, fault.settings)
    return took


@pytest.mark.parametrize(("fault", "operation"), CELLS, ids=[f"{fault.name}-{each.name}" for fault, each in CELLS])
def test_it_ends_as_declared(fault: Fault, operation: Operation, cell: Cell) -> None:
    why = REFUSED.get((fault.name, operation.name))
    cell(TITLE, fault.name, operation.name, "FAILED")
    seconds = suffer(fault, replace(operation, done=refused) if why else operation)
    cell(TITLE, fault.name, operation.name, f"refused - {why}" if why else str(seconds))


@pytest.mark.parametrize(("place", "why"), NONSENSE.items(), ids=["-".join(place) for place in NONSENSE])
def test_cells_without_sense_are_of_the_table(place: tuple[str, str], why: str, cell: Cell) -> None:
    fault, operation = place
    assert fault in [each.name for each in FAULTS]
    assert operation in [each.name for each in OPERATIONS]
    cell(TITLE, fault, operation, f"n/a - {why}")
