"""Serial consoles, which simulated VMs do not have: nothing runs in them that could write on one."""

from __future__ import annotations

from typing import NoReturn

from drivers.errors import Unsupported
from drivers.types import HostID, InstanceID


class NoConsoles:
    """See drivers.consoles.Consoles; Capability.CONSOLE is not offered."""

    def open(self, _host: HostID, _instance: InstanceID, *, force: bool = False) -> NoReturn:
        """Always raises Unsupported."""
        raise Unsupported("a simulated VM has no console")

    def log(self, _host: HostID, _instance: InstanceID) -> NoReturn:
        """Always raises Unsupported."""
        raise Unsupported("a simulated VM has no console, and so no log of one")
