"""The KVM driver with a guest that boots: what needs an operating system."""

from collections.abc import Iterator

import pytest

from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host
from tests.contract.suite import Consoles, Guests, SnapshotQuiesce

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    """A host, with the small image that boots and has a guest agent."""
    with one_host() as host:
        yield KVMBinding(host, bootable_image(), memory=96 * MIB)


class TestGuests(Guests, SnapshotQuiesce, Consoles):
    """The contract's part for guests."""
