"""Volume: data disks that VMs come and go on."""

from controller.volume.reconciler import VolumeReconciler

__all__ = ["VolumeReconciler"]
