"""The simulator: a datacentre without hardware, for demonstrations, tests and measurements. See docs/concepts/simulator.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connect import SimulatorDriver

__all__ = ["driver"]


def driver() -> SimulatorDriver:
    """The driver, as the entry point group `vireo.drivers` names it."""
    from .connect import SimulatorDriver

    return SimulatorDriver()
