"""API objects as drivers know them, where several kinds need the same."""

from __future__ import annotations

from crds.v1alpha1.storagepool import PoolScope, StoragePool
from drivers.types import PoolSpec


def pool_spec(pool: StoragePool) -> PoolSpec:
    """A storage pool as a driver knows it."""
    return PoolSpec(pool.metadata.name, pool.spec.path, shared=pool.spec.scope is not PoolScope.HOST)
