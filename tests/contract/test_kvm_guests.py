"""The KVM driver with a guest that boots: what needs an operating system."""

from collections.abc import Iterator

import pytest

from drivers.types import ImageFile
from tests.contract.kvm_binding import MIB, KVMBinding, one_host
from tests.contract.suite import Consoles, Guests, SnapshotQuiesce
from tests.lab.guest.images import image

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    """A host, with the small image that boots and has a guest agent."""
    built = image()
    name = f"guest-sha256-{built.sha256}.qcow2"
    with one_host() as host:
        yield KVMBinding(host, ImageFile(name, str(built.path), built.virtual_size, built.path.stat().st_size), memory=96 * MIB)


class TestGuests(Guests, SnapshotQuiesce, Consoles):
    """The contract's part for guests."""
