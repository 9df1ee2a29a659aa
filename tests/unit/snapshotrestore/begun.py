"""A VM that can be brought back, for the stories of restores."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.snapshots import ready, snapshot, text, write
from tests.support.vms import GIB, VMCloud, site, vm

SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3))
BOTH = pytest.mark.parametrize("settings", [None, SLOW], ids=["at once", "by tasks"])


async def begin(cloud: VMCloud, *, memory: bool = False, power: str = "On") -> None:
    """A VM with a snapshot of "old", and "new" on its disk now."""
    cloud.apply(site())
    cloud.apply(vm())
    await cloud.settle(60)
    write(cloud, "old")
    cloud.apply(snapshot(extra=f"includeMemory: {str(memory).lower()}"))
    await cloud.settle(20)
    assert ready(cloud) == ("True", "Ready"), text(cloud)
    write(cloud, "new")
    cloud.edit(powerState=power)
    await cloud.settle(30)


def back(cloud: VMCloud, name: str = "back") -> tuple[str, str] | None:
    return ready(cloud, name, "SnapshotRestore")


def why(cloud: VMCloud, name: str = "back") -> str:
    return text(cloud, name, "SnapshotRestore")
