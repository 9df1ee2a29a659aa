"""VirtualMachine: from spec to a VM that runs, and back to nothing."""

from controller.vm.reconciler import VirtualMachineReconciler

__all__ = ["VirtualMachineReconciler"]
