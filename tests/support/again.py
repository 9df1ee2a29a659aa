"""What users do after an operation that takes it back or goes beyond it: then a call of the operation that comes late is stale.

A hypervisor can't know that it is. What makes most such calls harmless is that they name what they are for by identity, and ask for
a state instead of a change; `LEAVES` has those that still leave something, and how that is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.support import volumes
from tests.support.matrix import ADOPTED, DATA, FRONT, SECOND, SPARE, WITH_DATA, MatrixCloud, Step, apply, edit
from tests.support.snapshots import reads, ready, restore, store, stored, write
from tests.support.volumes import mounts

_MEANWHILE = "written meanwhile"


def _anything(cloud: MatrixCloud) -> None:
    """The audit looks at all that is declared."""


@dataclass(frozen=True)
class Again:
    """A step of users, and what must hold after it beside that all is as declared."""

    act: Step
    done: Step = _anything


@dataclass(frozen=True)
class Leaves:
    """What a stale call leaves: `found` are parts of what the audit says then, one for each finding, and `told` whether users can
    see it where `how` says."""

    how: str
    found: tuple[str, ...]
    told: Callable[[MatrixCloud], bool]


def _delete(kind: str, name: str) -> Step:
    return lambda cloud: cloud.delete(kind, f"shop/{name}")


def _kept(cloud: MatrixCloud) -> None:
    assert (reads(cloud), cloud.datacentre.vm().restores) == (_MEANWHILE, 1)


def _kept_after_both(cloud: MatrixCloud) -> None:
    assert (reads(cloud), cloud.datacentre.vm().restores) == (_MEANWHILE, 2)


def _stored(cloud: MatrixCloud) -> None:
    assert stored(cloud) == _MEANWHILE


def _followed(cloud: MatrixCloud) -> None:
    assert ready(cloud, "next", "SnapshotRestore") == ("True", "Completed")


AGAIN = {
    "create": Again(_delete("VirtualMachine", "web")),
    "start": Again(edit(powerState="Off")),
    "stop": Again(edit(powerState="On")),
    "hard stop": Again(edit(powerState="On")),
    "resize": Again(edit(offering="small")),
    "attach": Again(edit(volumes=[])),
    "detach": Again(edit(volumes=mounts("data"))),
    "NIC off": Again(edit(networks=[FRONT, SECOND])),
    "rename NIC": Again(edit(networks=[FRONT, SECOND])),
    "snapshot": Again(_delete("Snapshot", "snap")),
    "restore": Again(lambda cloud: write(cloud, _MEANWHILE), _kept),
    "delete": Again(WITH_DATA),
    "grow": Again(lambda cloud: volumes.edit(cloud, size="9Gi")),
    "adopt": Again(_delete("VirtualMachine", "web")),
    "let go": Again(ADOPTED),
    "take back": Again(_delete("VirtualMachine", "web")),
    "v.create": Again(_delete("Volume", "data")),
    "v.delete": Again(DATA),
    "v.snapshot": Again(_delete("Snapshot", "snap")),
    "v.restore": Again(lambda cloud: store(cloud, _MEANWHILE), _stored),
    "p.delete": Again(SPARE),
}

_NEXT = Again(apply(restore("next")), _followed)
FOLLOWED = {
    "restore": (_NEXT, Again(lambda cloud: write(cloud, _MEANWHILE), _kept_after_both)),
    "v.restore": (_NEXT, Again(lambda cloud: store(cloud, _MEANWHILE), _stored)),
}
"""Restores that another one follows before somebody writes: the late one is not even the last that took effect."""


def _orphaned(cloud: MatrixCloud) -> bool:
    """Its Host lists the VM that no object has."""
    [vm] = [each for each in cloud.datacentre.vms if each.owner and each.owner.name == "web"]
    return vm.instance in {each["instanceID"] for each in cloud.status("Host", vm.host).get("orphans", ())}


def _listed(cloud: MatrixCloud) -> bool:
    """The pool lists the file that no object has."""
    return cloud.status("StoragePool", "s1").get("orphans", {}).get("count") == 1


def _drifted(cloud: MatrixCloud) -> bool:
    return cloud.reason("web") == ("False", "HardwareDrift")


def _undeclared(cloud: MatrixCloud) -> bool:
    return cloud.reason("web", "InSync") == ("False", "OrphanedSnapshots")


_DRIFT = Leaves("HardwareDrift of the VM", ("HardwareDrift",), _drifted)
LEAVES = {
    ("create", "create"): Leaves("orphan of its Host", ("is an orphan", "is an orphan", "addresses held"), _orphaned),
    ("attach", "apply"): _DRIFT,
    ("detach", "apply"): _DRIFT,
    ("NIC off", "apply"): _DRIFT,
    ("rename NIC", "apply"): _DRIFT,
    ("snapshot", "create_snapshot"): Leaves("OrphanedSnapshots of the VM", ("is an orphan",), _undeclared),
    ("v.create", "create_volume"): Leaves("orphan of its pool", ("is an orphan", "was made 2 times"), _listed),
    ("v.snapshot", "snapshot_volume"): Leaves("orphan of its pool", ("is an orphan",), _listed),
}
"""By operation and call; every other leaves nothing, or what it leaves is put right."""
