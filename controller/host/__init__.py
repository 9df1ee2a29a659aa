"""Host: one hypervisor."""

from controller.host.orphans import declared
from controller.host.reconciler import HostReconciler

__all__ = ["HostReconciler", "declared"]
