"""The KVM driver against a real libvirt host."""

from collections.abc import Iterator

import pytest

from tests.contract.kvm_binding import KVMBinding, empty_image
from tests.contract.suite import DriverContract
from tests.lab import Lab, disposable

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of one host."""
    with disposable() as lab:
        lab.up()
        yield lab


@pytest.fixture(scope="module")
def binding(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> KVMBinding:
    """The host, with an image that has no operating system: most of the contract does not need one."""
    return KVMBinding(lab.host("h1"), empty_image(tmp_path_factory.mktemp("image")))


class TestKVM(DriverContract):
    """The whole contract."""
