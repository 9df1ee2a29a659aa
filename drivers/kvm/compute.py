"""Virtual machines of a host (drivers.base.Compute)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from drivers.errors import Conflict, DriverError
from drivers.kvm import domains
from drivers.kvm.domain import observe
from drivers.kvm.domain.observe import Documents
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.keylock import KeyedLocks, volume_key
from drivers.kvm.link.session import COPY_LIMIT, Role, Session
from drivers.kvm.machine import agent, creation, deletion, suspension
from drivers.kvm.machine import changes as rules
from drivers.kvm.machine.looking import Looks
from drivers.kvm.network.plugs import Plugs
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.switches import Switches
from drivers.kvm.store.targets import Targets
from drivers.kvm.subject import subject
from drivers.types import (
    ApplyMode,
    AttachNIC,
    AttachVolume,
    Change,
    DesiredVM,
    DetachNIC,
    Done,
    HostID,
    InstanceID,
    ObservedVM,
    PoolSpec,
    VolumeID,
)


class KVMCompute:
    """Domains with our mark. Every call is synchronous in libvirt, so none returns a task."""

    def __init__(
        self,
        session: Session,
        hosts: KVMHosts,
        locks: KeyedLocks,
        segments: Segments,
        switches: Switches,
        plugs: Plugs,
        targets: Targets,
    ) -> None:
        """`locks` by instance are shared with KVMPower."""
        self._session = session
        self._hosts = hosts
        self._locks = locks
        self._segments = segments
        self._switches = switches
        self._plugs = plugs
        self._targets = targets
        self._looks = Looks(hosts.profile.host)

    def observe_all(self) -> Mapping[InstanceID, ObservedVM]:
        """See `drivers.kvm.machine.looking`; neither QEMU nor a guest agent is asked."""

        def read(connection: Any) -> Mapping[InstanceID, ObservedVM]:
            return self._looks.all(connection, self._plugs.found)

        return self._session.run(Role.STATE, "list the VMs of the host", read)

    def observe(self, host: HostID, instance: InstanceID) -> ObservedVM:
        """Documents and power, then which disk has failed if that suspended it, or the guest agent where it is connected."""
        self._hosts.require(host)

        def read(connection: Any) -> Documents | None:
            return domains.documents(connection, instance)

        documents = self._session.run(Role.STATE, f"read the VM {instance}", read)
        if documents is not None and documents.failed and suspension.answers(documents):
            documents = replace(documents, errors=suspension.ask(self._session, instance))
        seen = None if documents is None else observe.observe(documents, host, self._plugs.found)
        if seen is None:
            raise Conflict(f"the identity {instance} is taken by a VM that Vireo did not make")
        return replace(seen, guest=agent.ask(self._session, instance)) if seen.guest.agent else seen

    def create(self, host: HostID, vm: DesiredVM) -> Done:
        """Disks, seed and domain; see `drivers.kvm.machine.creation`."""
        self._hosts.require(host)
        volumes = [attachment.volume for attachment in vm.volumes]
        remotes, profile = self._targets.find(vm.volumes), self._hosts.profile
        extra = COPY_LIMIT if any(disk.pool.raw for disk in vm.disks) else 0.0
        self._change("create", vm.instance, lambda connection: creation.create(connection, vm, profile, remotes), volumes, extra)
        return Done()

    def apply(self, host: HostID, instance: InstanceID, changes: Sequence[Change]) -> Done:
        """All changes are checked before the first is made; each is made on the VM as the one before left it."""
        self._hosts.require(host)
        coming = [change.attachment for change in changes if isinstance(change, AttachVolume)]
        remotes = self._targets.find(coming)

        def make(connection: Any) -> None:
            rules.apply(connection, instance, changes, self._hosts.profile, self._segments, remotes)
            attached = [change.nic.name for change in changes if isinstance(change, AttachNIC)]
            if attached:
                self._plugs.put_back(subject(connection, instance), attached)
            self._guard(connection, instance, attached)
            if any(isinstance(change, AttachNIC | DetachNIC) for change in changes):  # one that is put back leaves a segment too
                self._segments.release(connection)

        self._change("change", instance, make, [attachment.volume for attachment in coming])
        return Done()

    def apply_mode(self, change: Change, observed: ObservedVM) -> ApplyMode:
        """See `drivers.kvm.machine.changes.mode`."""
        return rules.mode(change, observed, self._hosts.profile.domain_type)

    def delete(self, host: HostID, instance: InstanceID, pools: Sequence[PoolSpec] = ()) -> Done:
        """Power first, without waiting for a call that a QEMU that hangs keeps: it ends with its QEMU. Then domain and volumes."""
        self._hosts.require(host)
        action = f"delete the VM {instance}"
        self._session.run(Role.POWER, action, lambda connection: deletion.cut_power(connection, instance), mutating=True)

        def remove(connection: Any) -> None:
            deletion.delete(connection, instance, pools)
            self._segments.release(connection)

        self._change("delete", instance, remove)
        return Done()

    def _guard(self, connection: Any, instance: InstanceID, attached: Sequence[str]) -> None:
        """Ports of these NICs on Open vSwitch exist from now on; one that cannot be guarded goes again."""
        if not attached:
            return
        try:
            self._switches.guard(subject(connection, instance))
        except DriverError:
            rules.apply(connection, instance, [DetachNIC(name) for name in attached], self._hosts.profile, self._segments, {})
            raise

    def _change(
        self,
        verb: str,
        instance: InstanceID,
        function: Callable[[Any], None],
        volumes: Sequence[VolumeID] = (),
        extra: float = 0.0,
    ) -> None:
        """Changes to one VM, and to volumes that come to it, follow each other; `extra` as of `Session.run`.

        The turn is held by the call itself, which may outlast who waits for it.
        """

        def run(connection: Any) -> None:
            with ExitStack() as turns:
                for key in (instance, *sorted(map(volume_key, set(volumes)))):
                    turns.enter_context(self._locks.hold(key, self._session.timeouts.turn))
                function(connection)

        self._session.run(Role.WORK, f"{verb} the VM {instance}", run, mutating=True, extra=extra)
