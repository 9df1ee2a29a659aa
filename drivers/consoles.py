"""Serial consoles of VMs: one to talk to, and what was written on it before."""

from __future__ import annotations

from typing import Protocol

from drivers.types import HostID, InstanceID

__all__ = ["Console", "Consoles"]


class Console(Protocol):
    """An open serial console, for one user at a time. Calls from two threads, one that reads and one that writes."""

    def read(self, timeout: float) -> bytes:
        """What the guest wrote since the last call; empty after `timeout` seconds without anything.

        Raises Conflict once the console has ended, because the VM was powered off or somebody else took the console over, and
        everything before that was read.
        """

    def write(self, data: bytes) -> None:
        """Type. Raises Conflict once the console has ended, Busy while the guest does not take what was typed before."""

    def close(self) -> None:
        """Leave the console to others. Never raises; may be called twice."""


class Consoles(Protocol):
    """Serial consoles of an endpoint (Capability.CONSOLE)."""

    def open(self, host: HostID, instance: InstanceID, *, force: bool = False) -> Console:
        """Talk to the first serial port of a VM that runs. `force` ends another user's session.

        Raises NotFound, Conflict while the VM is off or, without `force`, while somebody else has its console; Transient.
        """

    def log(self, host: HostID, instance: InstanceID) -> bytes:
        """What the guest wrote on its first serial port, over all its starts: the last few MiB, as many as the host keeps.

        Raises NotFound for a VM that is not there, or of which no log is kept; Transient.
        """
