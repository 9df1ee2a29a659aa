"""ServiceOffering: CPU and memory that VMs can have."""

from controller.offering.reconciler import ServiceOfferingReconciler

__all__ = ["ServiceOfferingReconciler"]
