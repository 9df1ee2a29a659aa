"""API objects as drivers know them, where several kinds need the same."""

from __future__ import annotations

from crds.v1alpha1.storagepool import PoolScope, StoragePool
from drivers.types import NFSExport, PoolSpec


def pool_spec(pool: StoragePool) -> PoolSpec:
    """A storage pool as a driver knows it."""
    nfs = NFSExport(pool.spec.nfs.server, pool.spec.nfs.export) if pool.spec.nfs else None
    return PoolSpec(pool.metadata.name, pool.spec.path, shared=pool.spec.scope is not PoolScope.HOST, nfs=nfs)
