"""The driver contract: what Vireo asks of a hypervisor.

An *endpoint* is what one set of credentials reaches: one libvirtd (one host), a XenServer pool (many hosts), an ESXi host or a
vCenter (many hosts). A driver connects to an endpoint; the connection lists its hosts and offers small groups of calls.

Rules that hold for every method:

- Calls are synchronous and may block up to the driver's own native timeout; the caller runs them in bounded threads. Every method
  is safe to call from several threads at once.
- Mutators are idempotent: each may be called again after a crash, with the same arguments, and must then converge. They return
  `Done`, or `Started(op)` when the hypervisor works on; `poll(op)` tells the rest.
- Errors are those of `drivers.errors`, nothing else escapes.
- Ownership: everything made carries our owner mark (`Owner`, names of disks and NICs). What has no mark is never touched.
- A call whose `Capability` the connection does not declare raises Unsupported.
- No secret, and no host name or path of a hypervisor, is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from drivers.adoption import Adopting
from drivers.consoles import Consoles
from drivers.types import (
    ApplyMode,
    Capability,
    Change,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    Done,
    Endpoint,
    Event,
    HostID,
    ImageFile,
    InstanceID,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    OpRef,
    PoolContents,
    PoolSpec,
    Progress,
    SnapshotID,
    Started,
    StopMode,
    StoredFile,
    VolumeID,
)

__all__ = ["Compute", "Connection", "Driver", "Events", "Hosts", "Power", "Snapshots", "Storage", "Tasks", "Volumes"]


class Hosts(Protocol):
    """The hosts of an endpoint."""

    def list_hosts(self) -> Sequence[ObservedHost]:
        """Every host of the endpoint, read now, in as few calls as the hypervisor allows.

        Raises Transient, AuthFailed.
        """


class Compute(Protocol):
    """Virtual machines of an endpoint."""

    def observe_all(self) -> Mapping[InstanceID, ObservedVM]:
        """All VMs that carry our owner mark, in as few calls as the hypervisor allows. Read-only.

        What guests say may be missing here where it would cost a call for each VM, of all VMs then: each guest is asked by itself
        (`observe`) when an event tells of it, and from time to time. Whether they have an agent may not be missing.
        """

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        """One VM, read now, with what its guest agent says.

        Raises NotFound if it does not exist on this host, Conflict if that identity has no mark of ours.
        """

    def create(self, host: HostID, vm: DesiredVM) -> Done | Started:
        """Define the VM, powered off, with its disks, volumes, NICs and seed, under its deterministic identity.

        An existing VM with our mark is success and is left as it is. A disk of ours that exists already is used as it is, never
        made afresh. On failure, nothing that this call made stays behind. Its pools, the images of its disks and its volumes must
        be there (NotFound otherwise). Raises Conflict if the identity is taken by a VM without our mark or a volume is on another
        VM; NoRoom, InvalidSpec, Busy, Transient.
        """

    def apply(self, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done | Started:
        """Apply the changes together; those already in effect are skipped. A change that needs power off raises Conflict while on.

        On a running VM, a change whose mode is RESTART is written so that the next start has it; a seed counts as there once
        written. Raises NotFound, NoRoom for a disk that can't grow, NetworkMissing for a NIC that can't be plugged in, InvalidSpec,
        Busy, Transient, Unsupported.
        """

    def apply_mode(self, change: Change, observed: ObservedVM) -> ApplyMode:
        """What this hypervisor needs for that change on this VM as observed. Makes no call."""

    def delete(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec] = ()) -> Done | Started:
        """Remove the VM, running or not, its snapshots, its seed, and the disks made for it; nothing else. Absent is success.

        `pools` are those that may hold a disk of the VM: leftovers by our names in them are removed too, so that nothing stays
        behind when the VM's definition is gone already. In a shared pool that means also under a VM that runs on another host: the
        caller must be sure of `host`. Raises Conflict if the identity has no mark of ours.
        """


class Power(Protocol):
    """Power of a VM (Capability.POWER)."""

    def start(self, host: HostID, instance: InstanceID) -> Done | Started:
        """Power on; already on is success.

        Raises NotFound, Busy, InvalidSpec, Transient, and NetworkMissing while the host lacks what a NIC is to be plugged in to.
        """

    def stop(self, host: HostID, instance: InstanceID, mode: StopMode) -> Done | Started:
        """SOFT asks the guest and returns at once: the caller observes and decides when to use HARD. HARD returns with power off.

        Already off is success. SOFT raises Unsupported without Capability.SOFT_STOP, NotFound, Busy, Transient.
        """

    def resume(self, host: HostID, instance: InstanceID) -> Done | Started:
        """Let a VM go on that the hypervisor suspended for an error of a disk (`ObservedVM.failures`).

        What failed is tried again; if it fails again, the VM is suspended again. One in any other state, be it suspended by
        somebody, is left as it is, and that is success. Raises NotFound, Busy, Transient.
        """


class Storage(Protocol):
    """Storage pools and template images (Capability.STORAGE)."""

    def ensure_pool(self, host: HostID, pool: PoolSpec) -> ObservedPool:
        """Make the pool usable on this host and report its size; an existing one is reported as it is.

        An NFS export is mounted, also when its mount was lost; nothing is ever written into the directory below it.
        Of a Ceph pool the key is taken over, if it is given, in place of the one that the host had.
        What somebody else, or another cloud, has in the same place is used as it is.
        Raises InvalidSpec if the path can't be a pool (not a directory, not writable) or the host has one of that name elsewhere,
        whoever's; StorageUnavailable if the NFS or iSCSI server or the Ceph cluster does not answer or refuses, Unsupported if the
        host can't use such a server, Transient.
        """

    def release_pool(self, host: HostID, pool: PoolSpec) -> Done:
        """Have this host let go of what `ensure_pool` made of it: an export is unmounted, a definition removed. No file is touched.

        What somebody else made in the same place, or another cloud (`Endpoint.cloud`), stays as it is. A pool that is not there, or
        could not be, is success, and so is an iSCSI target or a Ceph pool, of which hosts keep nothing, a key in memory aside.
        Raises Conflict while a VM of this host, whoever's, has a disk in it, the host uses the mount, or letting a volume group go
        would switch volumes off; StorageUnavailable if it can't be unmounted for want of its server, Busy, Transient.
        """

    def list_pools(self, host: HostID) -> Sequence[PoolSpec]:
        """The pools that `ensure_pool` made on this host for this cloud and that were not released since, usable or not.

        Whether other hosts share them is not known here (`shared` is False). One with a volume group may be told as two: its
        directory, and its group without a path. What was made without a cloud is every cloud's. Raises Transient.
        """

    def has_image(self, host: HostID, pool: PoolSpec, image: str) -> bool:
        """Whether the complete image `ImageFile.name` is in the pool."""

    def put_image(self, host: HostID, pool: PoolSpec, image: ImageFile) -> Done | Started:
        """Put a template image into the pool so that disks can be layered on it; complete or absent, never half.

        An image that is there is success. Raises NoRoom, Transient.
        """

    def delete_image(self, host: HostID, pool: PoolSpec, image: str) -> Done:
        """Remove a template image; absent is success. Raises Conflict while a disk is layered on it."""

    def list_files(self, host: HostID, pool: PoolSpec) -> Sequence[StoredFile]:
        """Every file in the pool under our names, complete or not, whoever has it now; markers aside. Read now, and slow.

        Raises NotFound, Transient.
        """


class Volumes(Protocol):
    """Data disks with a life of their own (Capability.VOLUMES), and their snapshots (Capability.VOLUME_SNAPSHOTS).

    A host's pool says where; for a shared pool any host that has it will do, but for an attached volume name the host of its VM.
    Attaching and detaching are changes of a VM: `Compute.apply`; deleting a VM leaves the volumes that were on it.

    In a pool of an iSCSI target a volume is a LUN that is there already, named with each `VolumeAttachment`; nothing is written to
    it but by guests. Such a pool keeps nothing else: what would make something there raises InvalidSpec, and what would remove
    something finds nothing. `contents` lists the LUNs, and `grow_volume` tells the VM that has one how large it has become.

    A pool of a Ceph cluster keeps empty volumes and nothing else: an image, a disk, a snapshot of a volume, or a volume made of
    something raises InvalidSpec, and a snapshot of a VM that has one of its volumes Conflict.
    """

    def contents(self, host: HostID, pool: PoolSpec) -> PoolContents:
        """What lies in the pool under our names, read now in as few calls as the hypervisor allows. Raises NotFound, Transient."""

    def create_volume(self, host: HostID, volume: DesiredVolume) -> Done | Started:
        """Make the volume; one with this identity is success and left as it is. On failure nothing stays behind.

        Raises NotFound for a missing source, InvalidSpec when the source is larger, NoRoom, Transient.
        """

    def grow_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, size: int) -> Done | Started:
        """Grow to `size` bytes, at once also in a VM that runs with it; one as large already is success.

        Where it is copied for that, the copy needs room beside it; until it is complete the volume is as it was.
        Raises NotFound, NoRoom, Conflict where a snapshot of its VM or a missing Capability.DISK_GROW_LIVE forbids it, Transient.
        """

    def delete_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID) -> Done | Started:
        """Remove the volume and its content; absent is success. Raises Conflict while it is attached to a VM of this host."""

    def snapshot_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: DesiredSnapshot) -> Done | Started:
        """Keep the volume's present content as a snapshot of its own in the same pool; an existing snapshot is success.

        Complete or absent, never half. On a volume of a running VM it needs Capability.VOLUME_SNAPSHOT_LIVE (Conflict otherwise),
        and with `quiesce` as `Snapshots.create_snapshot` says; `memory` is InvalidSpec.
        Raises NotFound, Conflict, NoRoom, Transient.
        """

    def restore_volume(self, host: HostID, pool: PoolSpec, volume: VolumeID, snapshot: SnapshotID, token: str) -> Done | Started:
        """Give the volume the snapshot's content and keep the larger of both sizes; all or nothing. The snapshot stays.

        The content is copied beside the one that the volume has. `token` names this request and is not empty (InvalidSpec): the
        volume keeps those of the last REMEMBERED that took effect at least, each from the same moment as its content and wherever
        the volume goes. Any of them again is success without another effect, be it that others followed it, also while the volume
        is attached.
        Raises Conflict while the volume is attached, NotFound, NoRoom, Transient. The caller keeps it detached until this is done.
        """

    def delete_volume_snapshot(self, host: HostID, pool: PoolSpec, snapshot: SnapshotID) -> Done | Started:
        """Remove the snapshot; volumes made from it keep their content. Absent is success."""


class Snapshots(Protocol):
    """Snapshots of whole VMs (Capability.SNAPSHOTS), a tree for each; `ObservedVM.snapshots` lists them.

    While a VM has snapshots, its disks can't be grown and its volumes neither attached nor detached: `Compute.apply` raises
    Conflict. `Compute.delete` removes the snapshots with the VM.
    """

    def create_snapshot(self, host: HostID, instance: InstanceID, snapshot: DesiredSnapshot) -> Done | Started:
        """Take a snapshot; an existing one with this identity is success. On failure the VM is as before and runs on.

        With `quiesce` success also says that the guest is not left frozen: repeated, the call thaws it.

        Without `memory` a running VM needs Capability.SNAPSHOT_RUNNING (Conflict otherwise). `memory` needs SNAPSHOT_MEMORY
        (Unsupported otherwise) and a running VM (Conflict), `quiesce` SNAPSHOT_QUIESCE (Unsupported otherwise) and an agent that
        answers (Conflict, with the filesystems thawed again); both together are InvalidSpec.
        Raises NotFound, NoRoom, Busy, Transient, InvalidSpec.
        """

    def restore(self, host: HostID, instance: InstanceID, snapshot: SnapshotID, token: str) -> Done | Started:
        """Bring disks and volumes, and with a memory snapshot the running state, back to the snapshot. Other snapshots stay.

        CPUs, memory size, NICs and seed stay those of the VM now wherever it ends powered off. After a snapshot with memory the
        VM runs, else it is off; a running VM and a snapshot without memory is Conflict: stop it first. `token` names this request
        and is not empty (InvalidSpec): the VM keeps those of the last REMEMBERED that took effect at least (`ObservedVM.restored`).
        Any of them again is success without another effect, be it that others followed it.
        Raises NotFound, Conflict, NoRoom, Busy, Transient, and NetworkMissing while a VM that would run can't be plugged in.
        """

    def delete_snapshot(self, host: HostID, instance: InstanceID, snapshot: SnapshotID) -> Done | Started:
        """Remove one snapshot anywhere in the tree, on a running VM too; its children move to its parent.

        Absent is success, also together with its VM.
        """


class Tasks(Protocol):
    """Native tasks."""

    def poll(self, op: OpRef) -> Progress:
        """How far a native task is. Raises NotFound for one that the hypervisor has forgotten: then only observing tells."""


@runtime_checkable
class Events(Protocol):
    """Native events (Capability.EVENTS).

    Without Capability.DEFINITION_EVENTS some changes that somebody else makes to a VM are not told; each is seen by
    `Compute.observe_all`, which the caller then asks often.
    """

    def subscribe(self, notify: Callable[[], None]) -> None:
        """Have `notify` called whenever `fetch` has something to tell, from now on: no thread waits for that. Called once.

        However much happens, it need be called only once until the next `fetch`; it may be called when there is nothing after all,
        and after `close`. It is called from any thread, does not block and raises nothing. Raises Transient.
        """

    def fetch(self) -> Sequence[Event]:
        """What changed since the last call, without waiting for more. Called by one thread at a time.

        Events before `subscribe` need not be kept: the caller observes all after it subscribed. Raises Transient when events may
        have been lost, as with the connection that they came through; the caller observes all, then calls again.
        """


class Connection(Protocol):
    """A logged-in endpoint. Groups of calls are attributes; `close` ends it and makes blocked calls return."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the endpoint can do, probed at connect."""

    @property
    def hosts(self) -> Hosts:
        """Host calls."""

    @property
    def compute(self) -> Compute:
        """VM calls."""

    @property
    def power(self) -> Power:
        """Power calls."""

    @property
    def storage(self) -> Storage:
        """Pool and image calls."""

    @property
    def volumes(self) -> Volumes:
        """Volume calls."""

    @property
    def snapshots(self) -> Snapshots:
        """Snapshot calls."""

    @property
    def adoption(self) -> Adopting:
        """Calls about VMs that others made."""

    @property
    def consoles(self) -> Consoles:
        """Console calls."""

    @property
    def tasks(self) -> Tasks:
        """Task calls."""

    @property
    def events(self) -> Events:
        """Event calls."""

    def close(self) -> None:
        """Log out and free native resources. Never raises; may be called twice."""


class Driver(Protocol):
    """What a driver package offers under the entry point group `vireo.drivers`, by the Cluster's hypervisor name."""

    def connect(self, endpoint: Endpoint) -> Connection:
        """Open and probe an endpoint.

        Raises Transient if it does not answer within the driver's timeout, AuthFailed if it refuses the credentials or its
        certificate is not trusted, InvalidSpec if the URL is not one of this driver, Unsupported if its version is too old.
        """
