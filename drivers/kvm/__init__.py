"""KVM hosts through libvirt: one endpoint is the libvirtd (or virtqemud) of one host.

Here are the parts of the driver contract, one module each, and what all share; in packages, what the parts are made of. Which
builds on which is in `.importlinter`. libvirt-python is imported only below this package, and only when the driver is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.base import Driver

__all__ = ["driver"]


def driver() -> Driver:
    """The driver for entry point `KVM`. Raises ImportError where libvirt-python is not installed.

    libvirt reads its log settings once, when it is loaded; unless the operator has set some, its warnings, which hold paths and
    peers' names, go nowhere: errors are raised.
    """
    os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
    from drivers.kvm.connection import KVMDriver

    return KVMDriver()
