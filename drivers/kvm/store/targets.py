"""iSCSI targets and Ceph pools of a host: asked on a connection of their own, so that one that is silent holds up nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drivers.errors import InvalidSpec, NotFound, StorageUnavailable, Unanswered, Unsupported
from drivers.kvm import names
from drivers.kvm.domain.volumes import LUN, Remote
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.keylock import KeyedLocks
from drivers.kvm.link.session import Role, Session
from drivers.kvm.store import luns
from drivers.kvm.store.rbd import Clusters
from drivers.types import ObservedLUN, PoolSpec, VolumeAttachment, VolumeID

PATIENCE = 15.0
"""Seconds for a server to answer. libvirt itself waits as long as TCP does, and one look goes on until it has given up."""

Found = dict[VolumeID, tuple[Remote, int]]
"""The LUN or the image that each volume is, with its size in bytes."""


class Targets:
    """Looks at LUNs and images; at a target once at a time, so that a silent server has one call of ours waiting in libvirtd."""

    def __init__(self, session: Session, host: HostProfile, clusters: Clusters) -> None:
        self._session = session
        self._host = host
        self._clusters = clusters
        self._locks = KeyedLocks()

    def read(self, pool: PoolSpec) -> tuple[ObservedLUN, ...]:
        """The LUNs of the pool. Raises InvalidSpec, Unsupported, and StorageUnavailable while the target is not there or silent."""
        target = pool.iscsi
        if target is None:
            raise InvalidSpec(f"the pool {pool.name} has no iSCSI target")
        if not self._host.iscsi:
            raise Unsupported(f"the host's libvirt has no storage backend {luns.KIND}")

        def run(connection: Any) -> tuple[ObservedLUN, ...]:
            with self._locks.hold(str(target), self._session.timeouts.turn):
                return luns.read(connection, pool, target, names.initiator(self._host.uuid))

        try:
            return self._session.run(Role.STORAGE, f"look at the iSCSI target {target}", run, limit=PATIENCE)
        except Unanswered:
            self._session.run(Role.STATE, "see whether the host answers", lambda connection: connection.getLibVersion())
            raise StorageUnavailable(f"the iSCSI target {target} did not answer the host within {PATIENCE:g} seconds") from None

    def find(self, attachments: Iterable[VolumeAttachment]) -> Found:
        """Those that are LUNs or in Ceph, looked at now. Raises NotFound for one that is not there, StorageUnavailable."""
        found: Found = {}
        for each in attachments:
            if each.pool.rbd is not None:
                found[each.volume] = self._image(each)
                continue
            if each.pool.iscsi is None and each.lun is None:
                continue
            if each.pool.iscsi is None or each.lun is None:
                raise InvalidSpec(f"the volume {each.volume} is a LUN without a target, or has a target and is none of its LUNs")
            size = next((seen.size for seen in self.read(each.pool) if seen.lun == each.lun), None)
            if size is None:
                raise NotFound(f"the iSCSI target {each.pool.iscsi} has no LUN {each.lun}")
            found[each.volume] = LUN(each.pool.iscsi, each.lun, names.initiator(self._host.uuid)), size
        return found

    def _image(self, attachment: VolumeAttachment) -> tuple[Remote, int]:
        if attachment.lun is not None:
            raise InvalidSpec(f"the volume {attachment.volume} is a LUN of a pool that has none")
        action = f"look for the volume {attachment.volume}"
        return self._session.run(Role.STORAGE, action, lambda connection: self._clusters.find(connection, attachment))
