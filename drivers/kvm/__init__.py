"""KVM hosts through libvirt: one endpoint is the libvirtd (or virtqemud) of one host.

libvirt-python is imported only below this package, and only when the driver is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.base import Driver

__all__ = ["driver"]


def driver() -> Driver:
    """The driver for entry point `KVM`. Raises ImportError where libvirt-python is not installed."""
    from drivers.kvm.connection import KVMDriver

    return KVMDriver()
