"""What calls come to, and what a hypervisor says by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from drivers.types.disks import InstanceID
from drivers.types.endpoints import HostID

OpRef = NewType("OpRef", str)
"""Reference to a native task that survives a restart of the controller."""


@dataclass(frozen=True, slots=True)
class Done:
    """The call took effect."""


@dataclass(frozen=True, slots=True)
class Started:
    """A native task was started; poll `op` until it ends."""

    op: OpRef


@dataclass(frozen=True, slots=True)
class Running:
    """The native task is under way; `progress` in percent, or None if the hypervisor does not tell."""

    progress: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The native task ended well."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The native task failed with the hypervisor's `reason`; `retryable` tells whether the same call may succeed later.

    `no_room`: for want of room in a storage pool, with nothing made or changed (`drivers.errors.NoRoom`).
    """

    reason: str
    retryable: bool
    native_code: str = ""
    no_room: bool = False


Progress = Running | Succeeded | Failed


@dataclass(frozen=True, slots=True)
class VMChanged:
    """A native event: something about this VM changed; observe it."""

    instance: InstanceID


@dataclass(frozen=True, slots=True)
class HostChanged:
    """A native event: something about this host changed; observe all of it."""

    host: HostID


Event = VMChanged | HostChanged
