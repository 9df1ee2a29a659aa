"""Without libvirt-python the KVM driver cannot be imported: then its tests are skipped, and listed as NOT RUN."""

import importlib.util
from pathlib import Path

import pytest


class Absent(pytest.Module):
    """A file that cannot be imported here."""

    def collect(self) -> list[pytest.Item]:
        pytest.skip("libvirt-python is not installed; it needs libvirt's headers", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Stand in for each file of this directory where libvirt is missing."""
    if importlib.util.find_spec("libvirt") is None:
        return Absent.from_parent(parent, path=module_path)
    return None
