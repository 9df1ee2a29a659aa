"""Snapshots of whole VMs (drivers.base.Snapshots): internal ones, kept in the qcow2 files of the VM's disks and volumes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.kvm import domains, names
from drivers.kvm.domain import observe, snapshots, volumes
from drivers.kvm.domain.observe import agent_connected
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import COPY_LIMIT, Role, Session
from drivers.kvm.network import filters
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.switches import Switches
from drivers.kvm.snapshot import freeze, livesnapshot, restoring
from drivers.kvm.subject import Subject, subject
from drivers.kvm.xmltext import render
from drivers.types import DesiredSnapshot, Done, HostID, InstanceID, SnapshotID


class KVMSnapshots:
    """Every call is synchronous in libvirt, so none returns a task."""

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks, segments: Segments, switches: Switches) -> None:
        """`locks` by instance are shared with KVMCompute."""
        self._session = session
        self._hosts = hosts
        self._locks = locks
        self._segments = segments
        self._switches = switches

    def create_snapshot(self, host: HostID, instance: InstanceID, snapshot: DesiredSnapshot) -> Done:
        """With libvirt a snapshot of a running VM has its running state; one without is made by QEMU itself."""
        timeout = self._session.timeouts.agent
        action = f"take a snapshot of the VM {instance}"
        return self._run(host, instance, action, lambda vm: _create(vm, snapshot, timeout))

    def restore(self, host: HostID, instance: InstanceID, snapshot: SnapshotID, token: str) -> Done:
        """See `snapshot.restoring`; a guest that runs on has the segments of its time, and is held to its addresses of now."""

        def run(vm: Subject) -> None:
            restoring.restore(vm, snapshot, token, self._segments)
            after = subject(vm.connection, vm.instance)
            if self._hosts.profile.filters:
                filters.hold(after)
            self._switches.guard(after)

        return self._run(host, instance, f"restore the VM {instance}", run)

    def delete_snapshot(self, host: HostID, instance: InstanceID, snapshot: SnapshotID) -> Done:
        """Its children move to its parent, which libvirt does. A VM that is gone has no snapshots."""
        self._hosts.require(host)
        with suppress(NotFound):
            self._run(host, instance, f"delete a snapshot of the VM {instance}", lambda vm: _delete(vm, snapshot))
        return Done()

    def _run(self, host: HostID, instance: InstanceID, action: str, function: Callable[[Subject], None]) -> Done:
        """Turn about with changes of the VM, since both rewrite its definition."""
        self._hosts.require(host)

        def run(connection: Any) -> None:
            with self._locks.hold(instance, self._session.timeouts.turn):
                function(subject(connection, instance))

        self._session.run(Role.WORK, action, run, mutating=True, extra=COPY_LIMIT)
        return Done()


def _create(vm: Subject, snapshot: DesiredSnapshot, timeout: int) -> None:
    if restoring.find(vm, snapshot.snapshot) is not None:
        if snapshot.quiesce and agent_connected(vm.live):
            freeze.thaw(vm.domain, timeout)  # whoever took it may have died before
        return
    _require_possible(vm, snapshot)
    if vm.live is None or snapshot.memory:
        vm.domain.snapshotCreateXML(render(snapshots.build(snapshot, vm.inactive if vm.live is None else vm.live)), 0)
    elif snapshot.quiesce:
        with freeze.frozen(vm.domain, timeout):
            livesnapshot.take(vm, snapshot)
    else:
        livesnapshot.take(vm, snapshot)


def _require_possible(vm: Subject, snapshot: DesiredSnapshot) -> None:
    """Raises InvalidSpec for a VM that can never have a snapshot, Conflict for one that cannot have this one now."""
    names.uuid_text(snapshot.snapshot)
    if snapshot.memory and snapshot.quiesce:
        raise InvalidSpec("a snapshot has the guest's memory or a frozen guest, not both")
    if vm.live is None and (snapshot.memory or snapshot.quiesce):
        raise Conflict("the VM is off; only its disks can be kept, and no guest can be frozen")
    if snapshot.quiesce and not agent_connected(vm.live):
        raise Conflict("no guest agent is connected, so the guest cannot be frozen")
    if _uefi(vm):
        raise InvalidSpec("a VM with UEFI firmware cannot have snapshots on this host: libvirt cannot keep its variable store")
    if not any(map(snapshots.writable, vm.inactive.iterfind("devices/disk"))):
        raise InvalidSpec("the VM has no disk that a snapshot could be kept in")
    if luns := [observe.device(disk) for disk in vm.inactive.iterfind("devices/disk") if volumes.lun_of(disk)]:
        raise Conflict(f"the disk {luns[0]} is a LUN, whose content no snapshot can keep; detach it")
    if blocks := [observe.device(disk) for disk in vm.inactive.iterfind("devices/disk") if _is_block(disk)]:
        raise Conflict(f"the disk {blocks[0]} is a logical volume of LVM, which keeps no snapshot")
    if images := [observe.device(disk) for disk in vm.inactive.iterfind("devices/disk") if volumes.is_rbd(disk)]:
        raise Conflict(f"the disk {images[0]} is in a Ceph pool, whose content no snapshot of a VM can keep; detach it")
    unfit = snapshots.unfit(vm.inactive if vm.live is None else vm.live)
    if unfit:
        raise Conflict(f"the disk {unfit[0]}, which Vireo did not make, cannot keep a snapshot; detach it or make it qcow2")


def _is_block(disk: ET.Element) -> bool:
    """Whether a disk is a logical volume that Vireo made."""
    name = PurePosixPath(observe.medium(disk)).name
    return name.endswith(f".{names.RAW}") and (names.disk_of(name) is not None or names.content_of(name) is not None)


def _uefi(vm: Subject) -> bool:
    return any(item.get("firmware") == "efi" or item.find("nvram") is not None for item in vm.inactive.iterfind("os"))


def _delete(vm: Subject, snapshot: SnapshotID) -> None:
    found = restoring.find(vm, snapshot)
    if found is not None:
        with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT):
            found.delete(0)
