"""VMs that others made: how they are found on a hypervisor, and what is written on one that is taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from drivers.types import (
    AttachedVolume,
    Attachment,
    DesiredNIC,
    DiskLimits,
    Done,
    Firmware,
    GuestInfo,
    HostID,
    InstanceID,
    Owner,
    Power,
    Segment,
    Started,
)

__all__ = ["AdoptedDisk", "Adopting", "Adoption", "FoundDisk", "FoundNIC", "FoundVM"]


@dataclass(frozen=True, slots=True)
class FoundDisk:
    """A disk or drive of a VM, whoever made it.

    `device` names it on the VM; `path` is its file or block device on the host, empty without a medium or where it is neither;
    `size` in bytes as the guest sees it, 0 if unknown. `exclusive`: this VM writes to it, and no other may. `limits` as of
    `ObservedDisk`.
    """

    device: str
    path: str
    size: int
    exclusive: bool = True
    limits: DiskLimits | None = field(default_factory=DiskLimits)


@dataclass(frozen=True, slots=True)
class FoundNIC:
    """A NIC of a VM, whoever made it. `attachment` is None where the hypervisor knows segments only.

    `name` and `ip` are what our mark says of it; empty without one.
    """

    mac: str
    segment: Segment
    attachment: Attachment | None = None
    name: str = ""
    ip: str = ""


@dataclass(frozen=True, slots=True)
class FoundVM:
    """A VM with a given identity, whoever made it.

    `owner` is that of our mark, None without one. `disks` begin with the one that it boots from; our own seed is none of them.
    `snapshots` counts those that it has, `volumes` are those of ours that it has. Sizes as of `ObservedVM`.
    """

    instance: InstanceID
    host: HostID
    name: str
    power: Power
    cpus: int
    memory: int
    running_cpus: int
    running_memory: int
    firmware: Firmware
    owner: Owner | None = None
    disks: tuple[FoundDisk, ...] = ()
    nics: tuple[FoundNIC, ...] = ()
    guest: GuestInfo = field(default_factory=GuestInfo)
    snapshots: int = 0
    volumes: tuple[AttachedVolume, ...] = ()
    most_cpus: int = 0
    """As of `ObservedVM`."""


@dataclass(frozen=True, slots=True)
class AdoptedDisk:
    """A disk as the mark of an adopted VM names it; `device`, `path` and `size` as it was found.

    `pool` is our name of the pool that it lies in, empty for one that is only noted: such a disk is never grown or removed.
    """

    name: str
    device: str
    path: str
    pool: str
    size: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is written on a VM that is taken over: whose it is, and under which names its disks and NICs are known from then on.

    A NIC is told by its MAC address. Devices that are not named stay foreign. `replaces` is the uid in the mark that the VM has, of
    an owner that is gone; empty for a VM without one.
    """

    owner: Owner
    disks: tuple[AdoptedDisk, ...] = ()
    nics: tuple[DesiredNIC, ...] = ()
    replaces: str = ""


class Adopting(Protocol):
    """Taking over VMs that others made, and letting go of them (Capability.ADOPTION): only our owner mark comes and goes.

    A VM that was adopted is one of ours for every other call. `Compute.delete` removes of its disks those that its mark has in a
    pool, and raises Conflict before anything else while another VM has one of them or another disk is layered on it.
    """

    def find(self, instance: InstanceID) -> Sequence[FoundVM]:
        """Every VM with that identity on those hosts of the endpoint that answer, read now, with what its guest agent says.

        Read-only. Raises InvalidSpec for text that is no UUID, Transient.
        """

    def adopt(self, host: HostID, instance: InstanceID, adoption: Adoption) -> Done | Started:
        """Put our owner mark on a VM, running or not. One that has the mark of this owner is success and left as it is.

        A mark of exactly the owner that `adoption` replaces is swapped for the new one, in one step, and the VM counts as adopted
        from then on, also one that Vireo made.

        Raises NotFound, Conflict for a VM with the mark of any other owner, without the mark that is to be replaced, with volumes
        of ours, or without a disk or NIC that `adoption` names, Busy, Transient.
        """

    def disown(self, host: HostID, instance: InstanceID, uid: str) -> Done | Started:
        """Take the mark of the owner `uid` off an adopted VM, which goes on as it is.

        No such mark, or no such VM, is success. Raises Conflict for a VM that Vireo made, Busy, Transient.
        """
