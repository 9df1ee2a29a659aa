"""Network: a guest segment and the addresses on it."""

from controller.network.reconciler import NetworkReconciler

__all__ = ["NetworkReconciler"]
