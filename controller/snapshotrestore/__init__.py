"""SnapshotRestore: brings a VM or a Volume back to a Snapshot, once."""

from controller.snapshotrestore.reconciler import SnapshotRestoreReconciler

__all__ = ["SnapshotRestoreReconciler"]
