"""Virtual machines of a host (drivers.base.Compute)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from drivers.errors import Conflict, NotFound
from drivers.kvm import agent, creation, deletion, domains
from drivers.kvm import changes as rules
from drivers.kvm.domain import observe
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.session import Role, Session
from drivers.types import ApplyMode, Change, DesiredVM, Done, GuestInfo, HostID, InstanceID, ObservedVM, PoolSpec


class KVMCompute:
    """Domains with our mark. Every call is synchronous in libvirt, so none returns a task."""

    def __init__(self, session: Session, hosts: KVMHosts, locks: KeyedLocks) -> None:
        """`locks` by instance are shared with KVMPower."""
        self._session = session
        self._hosts = hosts
        self._locks = locks

    def observe_all(self) -> Mapping[InstanceID, ObservedVM]:
        """One call for the statistics of all domains, then their documents; no guest agent is asked."""
        host = self._hosts.profile.host
        with self._session.use(Role.STATE, "list the VMs of the host") as connection:
            found = [observe.observe(documents, host) for documents in domains.all_documents(connection)]
        return {vm.instance: vm for vm in found if vm is not None}

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        """Documents and statistics, then the guest agent where it is connected."""
        self._hosts.require(host)
        with self._session.use(Role.STATE, f"read the VM {instance}") as connection:
            domain = domains.find(connection, instance)
            if domain is None:
                raise NotFound(f"the VM {instance} is not on this host")
            documents = domains.documents(connection, domain)
            seen = None if documents is None else observe.observe(documents, host)
        if seen is None:
            raise Conflict(f"the identity {instance} is taken by a VM that Vireo did not make")
        return replace(seen, guest=self._guest(instance)) if seen.guest.agent else seen

    def create(self, host: HostID, vm: DesiredVM) -> Done:
        """Disks, seed and domain; see `drivers.kvm.creation`."""
        self._hosts.require(host)
        action = f"create the VM {vm.instance}"
        with self._locks.hold(vm.instance), self._session.use(Role.WORK, action, mutating=True) as connection:
            creation.create(connection, vm, self._hosts.profile)
        return Done()

    def apply(self, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done:
        """All changes are checked before the first is made; each is made on the VM as the one before left it."""
        self._hosts.require(host)
        action = f"change the VM {instance}"
        with self._locks.hold(instance), self._session.use(Role.WORK, action, mutating=True) as connection:
            before = rules.subject(connection, instance)
            for change in changes:
                rules.check(before, change, self._hosts.profile)
            for change in changes:
                rules.apply(rules.subject(connection, instance), change)
        return Done()

    def apply_mode(self, change: Change, observed: ObservedVM) -> ApplyMode:
        """See `drivers.kvm.changes.mode`."""
        return rules.mode(change, observed)

    def delete(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec] = ()) -> Done:
        """Domain and volumes; see `drivers.kvm.deletion`."""
        self._hosts.require(host)
        action = f"delete the VM {instance}"
        with self._locks.hold(instance), self._session.use(Role.WORK, action, mutating=True) as connection:
            deletion.delete(connection, instance, pools)
        return Done()

    def _guest(self, instance: InstanceID) -> GuestInfo:
        """On its own connection: a guest that does not answer holds it for the whole timeout."""
        with self._session.use(Role.AGENT, f"ask the guest agent of the VM {instance}") as connection:
            domain = domains.find(connection, instance)
            return GuestInfo() if domain is None else agent.read(domain, self._session.timeouts.agent)
