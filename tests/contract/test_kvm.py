"""The KVM driver against a real libvirt host."""

from collections.abc import Iterator

import pytest

from tests.contract.kvm_binding import KVMBinding, empty_image, one_host
from tests.contract.suite import (
    Altering,
    Attaching,
    DriverContract,
    Limiting,
    Listing,
    Moving,
    SnapshotMemory,
    Snapshots,
    Volumes,
    VolumeSnapshots,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
    """A host, with an image that has no operating system: most of the contract does not need one."""
    with one_host() as host:
        yield KVMBinding(host, empty_image(tmp_path_factory.mktemp("image")))


class TestKVM(DriverContract, Moving, Altering, Volumes, Attaching, Limiting, Listing, VolumeSnapshots, Snapshots, SnapshotMemory):
    """The whole contract."""
