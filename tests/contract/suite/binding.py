"""What the suite needs from a driver and its counterpart."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

from drivers.base import Connection, Driver
from drivers.types import Attachment, Endpoint, HostID, ImageFile, InstanceID, PoolSpec, SnapshotID, VolumeID


class Binding(Protocol):
    """A driver with a counterpart that the suite has for itself.

    `host` is where VMs are made, `pool` a directory there that may be created, `image` a template image of a few MiB that need
    not boot (`Guests` needs one that does, with a guest agent and cloud-init), `attachment` what NICs attach to; `memory` in
    bytes is enough for a VM of it, and four times as much is free on the host. `bad_urls` are not URLs of this driver,
    `dead` is an endpoint where nothing answers, `bad_pools` are directories that can't be made into pools.
    """

    driver: Driver
    endpoint: Endpoint
    host: HostID
    pool: PoolSpec
    image: ImageFile
    attachment: Attachment
    memory: int
    bad_urls: Sequence[str]
    dead: Endpoint
    bad_pools: Sequence[str]

    def connect(self, cloud: str = "") -> Connection:
        """A new connection to `endpoint`, of that cloud."""

    # Past the driver: what somebody does at the hypervisor itself.

    def make_foreign_vm(self, instance: InstanceID) -> None:
        """Make a VM with that UUID on `host` without our mark."""

    def remove_foreign_vm(self, instance: InstanceID) -> None:
        """Remove it again."""

    def fingerprint(self, instance: InstanceID) -> object:
        """Everything about a VM on `host` that a driver could change, to compare; None if it does not exist."""

    def drop_definition(self, instance: InstanceID) -> None:
        """Remove a VM's definition and leave its disks."""

    def cut_power(self, instance: InstanceID) -> None:
        """Power a running VM off."""

    def leftovers(self, identity: InstanceID | VolumeID | SnapshotID) -> set[str]:
        """Names of all files, definitions and snapshots on `host` that belong to this VM, volume or snapshot."""


class StorageBinding(Binding, Protocol):
    """A counterpart where disks can be written to and read, past any guest. `path` is what the driver calls `volume_id`."""

    def write(self, path: str, marker: str) -> None:
        """Write up to 16 ASCII characters to the beginning of a disk or volume that no running VM has."""

    def read(self, path: str) -> str:
        """The marker that was written last, else anything that is the same for the same content."""


class LUNBinding(Binding, Protocol):
    """A counterpart with a target of an iSCSI server: `san`, a pool of its LUNs."""

    san: PoolSpec

    def have_lun(self, number: int, size: int) -> None:
        """Have a LUN of so many bytes, if there is none of that number."""


class CephBinding(Binding, Protocol):
    """A counterpart with a Ceph cluster: `ceph`, a pool of it, with the key."""

    ceph: PoolSpec


class FaultyBinding(Binding, Protocol):
    """A counterpart that can lose replies."""

    def lose_reply(self, call: str) -> None:
        """Let the next `call` take effect without a reply.

        It is `create`, `delete`, `apply`, `start`, `stop`, `put_image`, or a method of volumes or snapshots.
        """


class MovingBinding(Binding, Protocol):
    """A counterpart where somebody plugs NICs in elsewhere. Its `attachment` is a bridge of Open vSwitch."""

    def move_nic(self, instance: InstanceID, mac: str, vlan: int) -> None:
        """Give the port of a NIC another VLAN, of what runs too if the VM does."""


class Alteration(StrEnum):
    """What somebody changes of a VM that has 2 CPUs, twice `memory`, and a NIC on a bridge of Open vSwitch."""

    CPUS = "CPUs"
    MEMORY = "memory"
    ADDED_DEVICE = "added device"
    REMOVED_NIC = "removed NIC"
    MOVED_NIC = "moved NIC"


class AlteringBinding(Binding, Protocol):
    """A counterpart where somebody changes VMs. `told_of_running`: what events tell of even without DEFINITION_EVENTS."""

    told_of_running: Collection[Alteration]

    def alter(self, instance: InstanceID, what: Alteration) -> None:
        """Change it: of what runs too if the VM does and the hypervisor can; CPUs and memory for the next start, to half."""


class UnpluggingBinding(Binding, Protocol):
    """A counterpart whose bridge of `attachment` somebody takes away and brings back. Nobody but the suite uses it."""

    def lose_network(self) -> None:
        """Remove the bridge under the NICs that are plugged in there."""

    def heal_network(self) -> None:
        """Make it as it was, without what was plugged in to it."""


class UnmanagedBinding(Binding, Protocol):
    """A counterpart where somebody makes VMs that are not at all like ours."""

    def make_unmanaged_vm(self, instance: InstanceID, mac: str, other_mac: str, size: int) -> None:
        """Make one on `host` and start it.

        It has 1 CPU, `memory`, BIOS, a disk of `size` in the directory of `pool` and another elsewhere, a NIC `mac` on VLAN 10 of
        `attachment` and one without a VLAN.
        """

    def remove_unmanaged_vm(self, instance: InstanceID) -> None:
        """Remove what is left of it, disks too."""

    def share_disk(self, path: str, instance: InstanceID) -> None:
        """Make a VM, off, that has the disk at `path` too."""

    def essence(self, instance: InstanceID) -> object:
        """Everything about a VM but our mark, and what tells that it was not restarted."""

    def unmanaged_disks(self, instance: InstanceID) -> set[str]:
        """Paths of those of its two disks that are still there."""
