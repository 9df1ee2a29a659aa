"""Template: a bootable image, downloaded, checked and copied to pools on first use."""

from controller.template.reconciler import TemplateReconciler

__all__ = ["TemplateReconciler"]
