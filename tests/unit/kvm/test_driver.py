"""The package as the controller finds it."""

import subprocess
import sys

import pytest

from drivers import loader
from drivers.base import Driver
from drivers.errors import NotFound
from drivers.kvm.connection import KVMDriver, NoTasks
from drivers.types import OpRef


def test_the_entry_point_gives_the_driver() -> None:
    found: Driver = loader.load("KVM")
    assert isinstance(found, KVMDriver)


def test_the_package_is_imported_without_libvirt() -> None:
    """A controller without KVM hosts does not need libvirt's library."""
    code = "import drivers.kvm, sys; sys.exit(any(name.startswith('libvirt') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("present", "expected"), [({}, "4:file:/dev/null"), ({"LIBVIRT_LOG_OUTPUTS": "1:stderr"}, "1:stderr")])
def test_libvirt_s_own_log_goes_nowhere_unless_the_operator_says(present: dict[str, str], expected: str) -> None:
    code = "import os, drivers.kvm; drivers.kvm.driver(); print(os.environ['LIBVIRT_LOG_OUTPUTS'])"
    done = subprocess.run([sys.executable, "-c", code], env=present, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_there_are_no_tasks() -> None:
    with pytest.raises(NotFound):
        NoTasks().poll(OpRef("1"))
