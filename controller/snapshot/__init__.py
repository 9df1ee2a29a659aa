"""Snapshot: the content of a VM or of a Volume at one moment."""

from controller.snapshot.reconciler import SnapshotReconciler

__all__ = ["SnapshotReconciler"]
