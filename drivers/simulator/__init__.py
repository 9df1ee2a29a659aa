"""The simulator: a datacentre without hardware, for demonstrations, tests and measurements. See docs/concepts/simulator.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .driver import SimulatorDriver

__all__ = ["driver"]


def driver() -> SimulatorDriver:
    """The driver, as the entry point group `vireo.drivers` names it."""
    from .driver import SimulatorDriver

    return SimulatorDriver()
