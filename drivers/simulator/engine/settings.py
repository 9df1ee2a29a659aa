"""What a simulated datacentre looks like and how fast it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.types import Capability

__all__ = ["Settings"]

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes are bytes, times seconds.

    Hosts are named `host-00001` and on. `durations` maps a method (`compute.create`, `compute.apply`, `compute.delete`,
    `power.start`, `power.stop` for HARD, `storage.put_image`) to how long its native task takes; a method that isn't there
    is done at once. `boot` is the time from power on until the guest agent answers, `shutdown` the time that a guest takes
    to obey a soft stop.
    """

    hosts: int = 10
    cpus: int = 32
    memory: int = 128 * GIB
    pool_capacity: int = 10 * 1024 * GIB
    boot: float = 1.0
    shutdown: float = 1.0
    durations: Mapping[str, float] = field(default_factory=dict)
    capabilities: frozenset[Capability] = frozenset(Capability)
