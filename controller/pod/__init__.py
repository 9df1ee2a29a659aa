"""Pod: a rack of a zone."""

from controller.pod.reconciler import PodReconciler

__all__ = ["PodReconciler"]
