"""Cluster: hosts of one hypervisor kind."""

from controller.cluster.reconciler import ClusterReconciler

__all__ = ["ClusterReconciler"]
