"""Disposable libvirt hosts for tests and the demo."""

from tests.lab.disposable import disposable
from tests.lab.lab import Lab
from tests.lab.shell import LabError

__all__ = ["Lab", "LabError", "disposable"]
