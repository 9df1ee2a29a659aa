"""Host: one hypervisor."""

from controller.host.reconciler import HostReconciler

__all__ = ["HostReconciler"]
