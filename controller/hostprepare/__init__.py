"""`vireo host prepare`: certificates, a script and manifests that make a Linux machine a KVM host of the cloud."""

from controller.hostprepare.command import main

__all__ = ["main"]
