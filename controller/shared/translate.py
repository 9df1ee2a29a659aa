"""API objects as drivers know them, where several kinds need the same."""

from __future__ import annotations

from crds.v1alpha1.storagepool import PoolScope, PoolType, StoragePool
from drivers.types import ISCSITarget, NFSExport, PoolSpec, RBDPool


def pool_spec(pool: StoragePool) -> PoolSpec:
    """A storage pool as a driver knows it; of a Ceph pool without its key."""
    shared, target, ceph = pool.spec.scope is not PoolScope.HOST, pool.spec.iscsi, pool.spec.rbd
    nfs = NFSExport(pool.spec.nfs.server, pool.spec.nfs.export) if pool.spec.nfs else None
    iscsi = ISCSITarget(target.server, target.target, target.port) if target else None
    group = pool.spec.lvm.volume_group if pool.spec.lvm else ""
    rbd = RBDPool(tuple(ceph.monitors), ceph.pool, ceph.user) if ceph else None
    return PoolSpec(pool.metadata.name, pool.spec.path or "", shared=shared, nfs=nfs, iscsi=iscsi, volume_group=group, rbd=rbd)


def keeps_snapshots(pool: StoragePool) -> bool:
    """Whether there can be snapshots of what is in the pool."""
    return pool.spec.type not in (PoolType.ISCSI, PoolType.LVM, PoolType.RBD)


def has_files(pool: StoragePool) -> bool:
    """Whether disks, images, and volumes with a content can be made in the pool."""
    return pool.spec.type not in (PoolType.ISCSI, PoolType.RBD)


def has_volumes(pool: StoragePool) -> bool:
    """Whether volumes can be made in the pool; LUNs are there or not."""
    return pool.spec.type is not PoolType.ISCSI


def same_place(one: PoolSpec, other: PoolSpec) -> bool:
    """Whether two pools, by whatever names, are the same directory, mount or volume group on a host."""
    if one.path and other.path:
        return (one.path, one.nfs) == (other.path, other.nfs)
    return one.volume_group == other.volume_group and (one.volume_group != "" or one.path == other.path)
