"""StoragePool: primary storage."""

from controller.pool.reconciler import StoragePoolReconciler

__all__ = ["StoragePoolReconciler"]
