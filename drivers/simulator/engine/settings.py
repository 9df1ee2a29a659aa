"""What a simulated datacentre looks like and how fast it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.errors import InvalidSpec
from drivers.types import Capability

__all__ = ["OFFERED", "TASK_METHODS", "Settings"]

TASK_METHODS = frozenset(
    {
        "compute.create",
        "compute.apply",
        "compute.delete",
        "power.start",
        "power.stop",
        "storage.put_image",
        "volumes.create_volume",
        "volumes.grow_volume",
        "volumes.delete_volume",
        "volumes.snapshot_volume",
        "volumes.restore_volume",
        "volumes.delete_volume_snapshot",
        "snapshots.create_snapshot",
        "snapshots.restore",
        "snapshots.delete_snapshot",
        "adoption.adopt",
        "adoption.disown",
    },
)
"""Methods that can be native tasks; of `power.stop` only HARD."""

GIB = 1024**3

OFFERED = frozenset(Capability) - {Capability.CONSOLE}
"""All that a simulated endpoint can do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes are bytes, times seconds.

    Hosts are named `host-00001` and on. `durations` maps a method of TASK_METHODS to how long its native task takes; one that
    isn't there is done at once. `boot` is the time from power on until the guest agent answers, `shutdown` the time that a
    guest takes to obey a soft stop. Raises InvalidSpec for what makes no sense.
    """

    hosts: int = 10
    cpus: int = 32
    memory: int = 128 * GIB
    pool_capacity: int = 10 * 1024 * GIB
    boot: float = 1.0
    shutdown: float = 1.0
    durations: Mapping[str, float] = field(default_factory=dict)
    capabilities: frozenset[Capability] = OFFERED

    def __post_init__(self) -> None:
        """Check every number."""
        least = {"hosts": 0, "cpus": 1, "memory": 1, "pool_capacity": 1, "boot": 0, "shutdown": 0}
        for name, minimum in least.items():
            _check(name, getattr(self, name), minimum)
        for method, seconds in self.durations.items():
            if method not in TASK_METHODS:
                raise InvalidSpec(f"{method} has no native task; these have: {', '.join(sorted(TASK_METHODS))}")
            _check(f"duration of {method}", seconds, 0)


def _check(name: str, value: float, least: float) -> None:
    if not (math.isfinite(value) and value >= least):
        raise InvalidSpec(f"{name} can't be {value}")
