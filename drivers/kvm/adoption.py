"""Taking over domains that others made, and letting go of them (drivers.adoption.Adopting): only metadata is written."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.adoption import AdoptedDisk, Adoption, FoundVM
from drivers.errors import Conflict, NotFound
from drivers.kvm import domains, names
from drivers.kvm import mark as marks
from drivers.kvm.domain import memory, observe
from drivers.kvm.domain.found import found
from drivers.kvm.domain.observe import Documents
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import Role, Session
from drivers.kvm.machine import agent
from drivers.kvm.mark import Mark, MarkedDisk
from drivers.kvm.subject import CONFIG, LIVE
from drivers.kvm.xmltext import parse, render
from drivers.types import Done, HostID, InstanceID


class KVMAdoption:
    """Every call is synchronous in libvirt, so none returns a task."""

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks) -> None:
        """`locks` by instance are shared with KVMCompute."""
        self._session = session
        self._hosts = hosts
        self._locks = locks

    def find(self, instance: InstanceID) -> Sequence[FoundVM]:
        """The domain with that UUID; its guest is asked on a connection of its own."""
        names.instance_id(instance)
        host = self._hosts.profile.host
        seen = self._session.run(Role.WORK, f"look for the VM {instance}", lambda connection: _find(connection, instance, host))
        if seen is None:
            return ()
        return (replace(seen, guest=agent.ask(self._session, instance)) if seen.guest.agent else seen,)

    def adopt(self, host: HostID, instance: InstanceID, adoption: Adoption) -> Done:
        """Set our element in the domain's metadata, of what runs and of the next start."""
        return self._change(host, instance, "adopt", lambda connection: _adopt(connection, instance, adoption))

    def disown(self, host: HostID, instance: InstanceID, uid: str) -> Done:
        """Take our element out of the domain's metadata."""
        return self._change(host, instance, "let go of", lambda connection: _disown(connection, instance, uid))

    def _change(self, host: HostID, instance: InstanceID, verb: str, function: Callable[[Any], None]) -> Done:
        self._hosts.require(host)

        def run(connection: Any) -> None:
            with self._locks.hold(instance, self._session.timeouts.turn):
                function(connection)

        self._session.run(Role.WORK, f"{verb} the VM {instance}", run, mutating=True)
        return Done()


def _find(connection: Any, instance: InstanceID, host: HostID) -> FoundVM | None:
    domain = domains.find(connection, instance)
    if domain is None:
        return None
    documents = _documents(domain)
    sizes = {name: _size(domain, name) for name in map(observe.device, documents.inactive.iterfind("devices/disk"))}
    seen = found(documents, host, sizes, int(domain.snapshotNum(0)))
    return replace(seen, guest=replace(seen.guest, agent=observe.agent_connected(documents.live)))


def _documents(domain: Any) -> Documents:
    state, reason = domain.state(0)
    live = parse(domain.XMLDesc(0)) if domains.active(domain) else None
    return Documents(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)), live, state, reason)


def _size(domain: Any, device: str) -> int:
    """Bytes that the guest sees of a disk; 0 for a drive without medium, or whose medium can't be read."""
    try:
        return int(domain.blockInfo(device, 0)[0])
    except libvirt.libvirtError:
        return 0


def _adopt(connection: Any, instance: InstanceID, adoption: Adoption) -> None:
    domain = domains.find(connection, instance)
    if domain is None:
        raise NotFound(f"the VM {instance} is not on this host")
    documents = _documents(domain)
    owned = marks.read(documents.inactive)
    if owned is not None and owned.owner.uid == adoption.owner.uid:
        return
    _require_unowned(instance, owned, documents, adoption)
    if not domain.isPersistent():
        raise Conflict(f"the VM {instance} is transient, so libvirt forgets it when it stops: define it first")
    _require_devices(documents.inactive if documents.live is None else documents.live, adoption)
    require_own_files(instance, adoption.disks)
    before = owned or Mark(adoption.owner, memory.read(documents.inactive).total, "")
    made = Mark(
        owner=adoption.owner,
        memory=before.memory,
        seed=before.seed,
        disks=tuple(_marked(each, before) for each in adoption.disks),
        nics=tuple(map(marks.of_nic, adoption.nics)),
        restored=before.restored,
        adopted=True,
    )
    _write(domain, render(marks.build(made, bare=True)))


def _require_unowned(instance: InstanceID, owned: Mark | None, documents: Documents, adoption: Adoption) -> None:
    """Raises Conflict unless the VM has just the mark that is to be replaced, or none if none is."""
    if (owned.owner.uid if owned else "") != adoption.replaces:
        raise Conflict(
            f"the VM {instance} carries the mark of another owner" if owned else f"the VM {instance} has no mark any more"
        )
    seen = observe.observe(documents, HostID(""))
    if seen is not None and seen.volumes:
        raise Conflict(f"the VM {instance} has the volume {seen.volumes[0].volume}: detach it first")


def _marked(disk: AdoptedDisk, before: Mark) -> MarkedDisk:
    """A disk that Vireo made for the VM is still known by the name of its file."""
    ours = any((known.target, known.path) == (disk.device, "") for known in before.disks)
    return MarkedDisk(names.label(disk.name), disk.pool, disk.device, disk.size, "" if ours else disk.path)


def _require_devices(domain: ET.Element, adoption: Adoption) -> None:
    """Raises Conflict if the VM changed since it was found."""
    disks = {(observe.device(item), observe.medium(item)) for item in domain.iterfind("devices/disk")}
    missing = [disk.device for disk in adoption.disks if (disk.device, disk.path) not in disks]
    missing += sorted({nic.mac for nic in adoption.nics} - {observe.mac(item) for item in domain.iterfind("devices/interface")})
    if missing:
        raise Conflict(f"the VM has no {', '.join(missing)} any more, or another in its place")


def require_own_files(instance: InstanceID, disks: Sequence[AdoptedDisk]) -> None:
    """Raises Conflict for a disk in a pool that Vireo made for something else: it would go with the VM."""
    for disk in disks:
        if disk.pool and names.is_of_others(PurePosixPath(disk.path).name, instance):
            raise Conflict(f"the disk {disk.device} of the VM is {disk.path}, which Vireo made for something else: detach it first")


def _disown(connection: Any, instance: InstanceID, uid: str) -> None:
    domain = domains.find(connection, instance)
    owned = None if domain is None else marks.read(parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)))
    if owned is None or owned.owner.uid != uid:
        return
    if not owned.adopted:
        raise Conflict(f"the VM {instance} was made by Vireo, not adopted")
    _write(domain, None)


def _write(domain: Any, text: str | None) -> None:
    flags = CONFIG | LIVE if domains.active(domain) else CONFIG
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, text, marks.PREFIX, marks.NAMESPACE, flags)
