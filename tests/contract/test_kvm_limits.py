"""Limits of disks on a real libvirt host: what QEMU itself says of them, and what somebody set by hand."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import DriverError
from drivers.types import (
    AttachVolume,
    Change,
    DesiredVM,
    DesiredVolume,
    DiskLimits,
    Owner,
    SetDiskLimits,
    VolumeAttachment,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, KVMBinding, empty_image, one_host
from tests.contract.suite.tools import Maker

pytestmark = pytest.mark.lab

LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
NONE = DiskLimits()
SLOW = DiskLimits(read_bytes=4 * MIB, write_bytes=2 * MIB, read_iops=400, write_iops=200)


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, empty_image(tmp_path_factory.mktemp("image")))


@dataclass(frozen=True)
class Limited:
    """A running VM whose disk `root` is limited, with a volume `data` that is not; past the driver as an administrator sees it."""

    make: Maker
    vm: DesiredVM
    volume: DesiredVolume

    def apply(self, *changes: Change) -> None:
        self.make.connection.compute.apply(self.make.binding.host, self.vm.instance, changes)

    def limits(self, name: str = "root") -> DiskLimits | None:
        seen = self.make.observe(self.vm)
        return next(each.limits for each in (*seen.disks, *seen.volumes) if each.name == name)

    @contextmanager
    def domain(self) -> Iterator[Any]:
        assert isinstance(self.make.binding, KVMBinding)
        with self.make.binding.admin() as admin:
            yield admin.lookupByUUIDString(self.vm.instance)

    def qemu(self, target: str, flags: int = LIVE) -> dict[str, int]:
        """What QEMU (LIVE) or the next start (CONFIG) limits, without what it doesn't."""
        with self.domain() as domain:
            said = domain.blockIoTune(target, flags)
        return {name: value for name, value in said.items() if isinstance(value, int) and value and not name.endswith("length")}

    def by_hand(self, flags: int, **parameters: int) -> None:
        with self.domain() as domain:
            domain.setBlockIoTune("vda", parameters, flags)


@pytest.fixture
def limited(binding: KVMBinding, connection: Connection) -> Iterator[Limited]:
    identity = VolumeID(str(uuid4()))
    volume = DesiredVolume(identity, "data", Owner(f"uid-{identity}", "shop", "data"), binding.pool, 8 * MIB)
    connection.volumes.create_volume(binding.host, volume)
    make = Maker(binding, connection)
    vm = make.vm()
    vm = replace(
        vm,
        disks=tuple(replace(disk, limits=SLOW) for disk in vm.disks),
        volumes=(VolumeAttachment("data", identity, binding.pool),),
    )
    try:
        make.create(vm)
        make.start(vm)
        yield Limited(make, vm, volume)
    finally:
        with suppress(DriverError):
            make.delete(vm)
        connection.volumes.delete_volume(binding.host, binding.pool, identity)


EXPECTED = {"read_bytes_sec": 4 * MIB, "write_bytes_sec": 2 * MIB, "read_iops_sec": 400, "write_iops_sec": 200}


def test_qemu_limits_what_was_declared_and_nothing_else(limited: Limited) -> None:
    for flags in (LIVE, CONFIG):
        assert limited.qemu("vda", flags) == EXPECTED
        assert limited.qemu("sda", flags) == {}


def test_qemu_follows_at_once(limited: Limited) -> None:
    limited.apply(SetDiskLimits("root", DiskLimits(write_iops=50)), SetDiskLimits("data", SLOW))
    for flags in (LIVE, CONFIG):
        assert limited.qemu("vda", flags) == {"write_iops_sec": 50}
        assert limited.qemu("sda", flags) == EXPECTED
    limited.apply(SetDiskLimits("root", NONE))
    assert limited.qemu("vda") == limited.qemu("vda", CONFIG) == {}


def test_qemu_limits_a_volume_from_the_moment_when_it_comes(limited: Limited) -> None:
    identity = VolumeID(str(uuid4()))
    late = replace(limited.volume, volume=identity, owner=Owner(f"uid-{identity}", "shop", "late"))
    volumes, host = limited.make.connection.volumes, limited.make.binding.host
    volumes.create_volume(host, late)
    try:
        limited.apply(AttachVolume(VolumeAttachment("late", identity, late.pool, SLOW)))
        assert (limited.qemu("sdb"), limited.qemu("sdb", CONFIG)) == (EXPECTED, EXPECTED)
        assert limited.limits("late") == SLOW
    finally:
        limited.make.delete(limited.vm)
        volumes.delete_volume(host, late.pool, identity)


BY_HAND: dict[str, tuple[int, dict[str, int], DiskLimits | None]] = {
    "another": (LIVE | CONFIG, {"read_iops_sec": 77, "write_iops_sec": 200}, replace(SLOW, read_iops=77)),
    "for reading and writing together": (LIVE | CONFIG, {"total_bytes_sec": MIB}, None),
    "with bursts": (LIVE | CONFIG, {"write_bytes_sec": 2 * MIB, "write_bytes_sec_max": 9 * MIB}, None),
    "until it stops": (LIVE, {"read_iops_sec": 77}, None),
    "from its next start": (CONFIG, {"read_iops_sec": 77}, None),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_limits_set_by_hand_are_seen_and_go_when_the_declared_come_back(limited: Limited, what: str) -> None:
    flags, parameters, seen = BY_HAND[what]
    limited.by_hand(flags, **parameters)
    assert limited.limits() == seen
    assert limited.limits("data") == NONE
    limited.apply(SetDiskLimits("root", SLOW))
    assert limited.limits() == SLOW
    assert limited.qemu("vda") == limited.qemu("vda", CONFIG) == EXPECTED


def test_limits_set_by_hand_where_none_are_declared_go_too(limited: Limited) -> None:
    limited.apply(SetDiskLimits("root", NONE))
    limited.by_hand(LIVE | CONFIG, total_iops_sec=100, total_iops_sec_max=900, total_iops_sec_max_length=3)
    assert limited.limits() is None
    limited.apply(SetDiskLimits("root", NONE))
    assert limited.limits() == NONE
    assert limited.qemu("vda") == limited.qemu("vda", CONFIG) == {}
