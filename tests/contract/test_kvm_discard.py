"""A real guest gives blocks back: what it discards leaves the files on its host."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from drivers.base import Connection
from drivers.types import (
    DesiredDisk,
    DesiredVM,
    DesiredVolume,
    InstanceID,
    Owner,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host
from tests.lab.guests import eventually, execute, wait_for_agent

pytestmark = pytest.mark.lab

WRITTEN = 50 * MIB
NOISE = 8 * MIB
"""What else may be written meanwhile: logs, the file system's own blocks."""


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, bootable_image())


@dataclass(frozen=True)
class Guest:
    """A running guest, and the files of its disks on the host."""

    domain: libvirt.virDomain
    root: Path
    volume: Path

    def inside(self, script: str) -> str:
        return execute(self.domain, script).strip()

    def has_grown(self) -> bool:
        """Whether there is room for what is going to be written: the root grows while the agent answers already."""
        return int(self.inside("df -k / | awk 'END {print $4}'")) << 10 > WRITTEN + NOISE


def allocated(path: Path) -> int:
    """Bytes that the file takes on the host, past libvirt's and QEMU's idea of it."""
    return path.stat().st_blocks * 512


@pytest.fixture
def guest(binding: KVMBinding, connection: Connection) -> Iterator[Guest]:
    instance, identity = InstanceID(str(uuid4())), VolumeID(str(uuid4()))
    owner = Owner("uid", "shop", "web")
    connection.volumes.create_volume(binding.host, DesiredVolume(identity, "data", owner, binding.pool, 64 * MIB))
    disk = DesiredDisk("root", binding.pool, binding.image.virtual_size + 100 * MIB, binding.image.name)
    volume = VolumeAttachment("data", identity, binding.pool)
    vm = DesiredVM(instance, "web", owner, 1, 112 * MIB, (disk,), volumes=(volume,))
    try:
        connection.compute.create(binding.host, vm)
        connection.power.start(binding.host, instance)
        [seen] = connection.compute.observe(binding.host, instance).disks
        held = connection.volumes.contents(binding.host, binding.pool).volumes
        [path] = [each.volume_id for each in held if each.volume == identity]
        with binding.admin() as admin:
            domain = admin.lookupByUUIDString(instance)
            wait_for_agent(domain)
            running = Guest(domain, Path(seen.volume_id), Path(path))
            eventually(running.has_grown, "the root to grow to its disk")
            yield running
    finally:
        connection.compute.delete(binding.host, instance, [binding.pool])
        connection.volumes.delete_volume(binding.host, binding.pool, identity)


def test_what_a_guest_trims_leaves_the_file_of_its_disk(guest: Guest) -> None:
    before = allocated(guest.root)
    guest.inside(f"dd if=/dev/urandom of=/root/filler bs=1M count={WRITTEN // MIB} && sync")
    full = allocated(guest.root)
    assert full > before + WRITTEN - NOISE
    guest.inside("rm /root/filler && sync && fstrim /")
    eventually(lambda: allocated(guest.root) < full - WRITTEN + NOISE, "the blocks to be given back")


def test_what_a_guest_discards_leaves_the_file_of_a_volume(guest: Guest) -> None:
    guest.inside("modprobe virtio_scsi; modprobe sd_mod")
    eventually(lambda: guest.inside("test -b /dev/sda && echo yes || true"), "the volume")
    empty = allocated(guest.volume)
    guest.inside(f"dd if=/dev/urandom of=/dev/sda bs=1M count={WRITTEN // MIB} && sync")
    full = allocated(guest.volume)
    assert full > empty + WRITTEN - NOISE
    guest.inside("blkdiscard /dev/sda")
    eventually(lambda: allocated(guest.volume) < full - WRITTEN + NOISE, "the blocks to be given back")
