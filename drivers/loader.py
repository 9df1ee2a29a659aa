"""Find drivers by the Cluster's hypervisor name through the entry point group `vireo.drivers`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from drivers.base import Driver
from drivers.errors import Unsupported

GROUP = "vireo.drivers"


def available() -> tuple[str, ...]:
    """Hypervisor names that have a driver installed, sorted."""
    return tuple(sorted(point.name for point in entry_points(group=GROUP)))


def load(hypervisor: str) -> Driver:
    """The driver for `hypervisor`. Raises Unsupported, with what is missing or wrong, if none is installed or can be loaded."""
    for point in entry_points(group=GROUP, name=hypervisor):
        try:
            return cast(Driver, point.load()())
        except ModuleNotFoundError as error:
            message = f"the {hypervisor} driver needs a package that is not installed: {error.name}"
            raise Unsupported(message) from error
        except ImportError as error:  # such as a shared library that is missing, or a package of another version
            raise Unsupported(f"the {hypervisor} driver can't be loaded: {error}") from error
    raise Unsupported(f"no driver for hypervisor {hypervisor}; installed: {', '.join(available())}")
