"""Zone: a datacentre."""

from controller.zone.reconciler import ZoneReconciler

__all__ = ["ZoneReconciler"]
