"""Pools of the KVM driver as administrators have them: full, read-only, foreign, shared between hosts."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NoRoom, NotFound, StorageUnavailable, Unsupported
from drivers.kvm.connection import KVMDriver
from drivers.types import (
    DesiredDisk,
    DesiredVM,
    DesiredVolume,
    Endpoint,
    HostID,
    ImageFile,
    InstanceID,
    NFSExport,
    Owner,
    PoolSpec,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, PATIENT, empty_image
from tests.lab import Lab
from tests.lab.host import run_in

pytestmark = pytest.mark.lab

INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
H1 = HostID("h1")


@pytest.fixture(scope="module")
def connections(lab: Lab) -> Iterator[list[Connection]]:
    """One to each host."""
    driver = KVMDriver(PATIENT)
    opened = [driver.connect(Endpoint(host.uri)) for host in lab.hosts()]
    yield opened
    for connection in opened:
        connection.close()


@pytest.fixture
def first(connections: list[Connection]) -> Connection:
    return connections[0]


@pytest.fixture
def admin(lab: Lab) -> Iterator[libvirt.virConnect]:
    """Somebody else's connection to h1."""
    connection = libvirt.open(lab.host("h1").uri)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> ImageFile:
    return empty_image(tmp_path_factory.mktemp("image"))


def vm(pool: PoolSpec, image: ImageFile) -> DesiredVM:
    disk = DesiredDisk("root", pool, 8 * MIB, image.name)
    return DesiredVM(INSTANCE, "web", Owner("uid", "shop", "web"), 1, 16 * MIB, (disk,))


def mounted(lab: Lab, name: str, options: str) -> str:
    """A directory of h1 with a small file system of its own; it goes with the lab."""
    path = str(lab.host("h1").local / name)
    run_in(lab.host("h1"), "mkdir", "-p", path)
    run_in(lab.host("h1"), "mount", "-t", "tmpfs", "-o", options, "tmpfs", path)
    return path


def pool_names(admin: libvirt.virConnect) -> set[str]:
    return {pool.name() for pool in admin.listAllStoragePools()}


def test_a_read_only_directory_cannot_be_a_pool(lab: Lab, first: Connection, admin: libvirt.virConnect) -> None:
    with pytest.raises(InvalidSpec, match="Read-only file system"):
        first.storage.ensure_pool(H1, PoolSpec("stuck", mounted(lab, "stuck", "ro,size=1m")))
    assert "vireo-stuck" not in pool_names(admin)


def test_an_image_that_does_not_fit_is_refused_before_it_is_sent(
    lab: Lab, first: Connection, image: ImageFile, tmp_path: Path
) -> None:
    pool = PoolSpec("small", mounted(lab, "small", "size=1m"))
    first.storage.ensure_pool(H1, pool)
    big = tmp_path / "big.qcow2"
    big.write_bytes(Path(image.path).read_bytes() + os.urandom(2 * MIB))
    with pytest.raises(NoRoom, match=r"the pool small has .* free of the .* needed"):
        first.storage.put_image(H1, pool, replace(image, path=str(big), physical_size=big.stat().st_size))
    assert os.listdir(f"/proc/{_pid(lab)}/root{pool.path}") == []


def test_in_a_full_directory_nothing_is_made_and_there_is_room_again_later(lab: Lab, first: Connection, image: ImageFile) -> None:
    """Neither a VM, of which nothing stays, nor a volume; both can be made as soon as somebody made room."""
    pool = PoolSpec("full", mounted(lab, "full", "size=4m"))
    first.storage.ensure_pool(H1, pool)
    first.storage.put_image(H1, pool, image)
    root = f"/proc/{_pid(lab)}/root{pool.path}"
    before = set(os.listdir(root))
    run_in(lab.host("h1"), "sh", "-c", f"head -c 8M /dev/zero > {pool.path}/big 2>/dev/null || true")
    volume = DesiredVolume(VolumeID(INSTANCE), "data", Owner("uid", "shop", "data"), pool, MIB)
    for call in (lambda: first.compute.create(H1, vm(pool, image)), lambda: first.volumes.create_volume(H1, volume)):
        with pytest.raises(NoRoom, match="No space left on device"):
            call()
        assert set(os.listdir(root)) == {*before, "big"}
    assert INSTANCE not in first.compute.observe_all()
    run_in(lab.host("h1"), "rm", f"{pool.path}/big")
    first.compute.create(H1, vm(pool, image))
    first.volumes.create_volume(H1, volume)
    first.compute.delete(H1, INSTANCE, [pool])
    first.volumes.delete_volume(H1, pool, volume.volume)


def _pid(lab: Lab) -> str:
    """A process of h1: through its root the host's own mounts are seen."""
    return lab.host("h1").command("true")[2]


def test_an_upload_that_was_cut_short_does_not_count_and_is_done_again(lab: Lab, first: Connection, image: ImageFile) -> None:
    pool = PoolSpec("crashed", str(lab.host("h1").local / "crashed"))
    first.storage.ensure_pool(H1, pool)
    Path(pool.path, f"vireo-image-{image.name}.qcow2").write_bytes(b"QFI\xfb")
    assert not first.storage.has_image(H1, pool, image.name)
    first.storage.put_image(H1, pool, image)
    assert first.storage.has_image(H1, pool, image.name)
    assert Path(pool.path, f"vireo-image-{image.name}.qcow2").read_bytes()[: image.physical_size] == Path(image.path).read_bytes()


def test_a_marker_without_its_image_does_not_count(lab: Lab, first: Connection, image: ImageFile) -> None:
    pool = PoolSpec("cleared", str(lab.host("h1").local / "cleared"))
    first.storage.ensure_pool(H1, pool)
    first.storage.put_image(H1, pool, image)
    Path(pool.path, f"vireo-image-{image.name}.qcow2").unlink()
    first.storage.ensure_pool(H1, pool)
    assert not first.storage.has_image(H1, pool, image.name)


@pytest.mark.parametrize("harm", ["backing", "data"])
def test_an_image_that_names_other_files_is_refused(
    first: Connection, lab: Lab, image: ImageFile, tmp_path: Path, harm: str
) -> None:
    """QEMU would open them on the host for the guest."""
    pool = PoolSpec("safe", str(lab.host("h1").local / "safe"))
    first.storage.ensure_pool(H1, pool)
    evil = tmp_path / "evil.qcow2"
    content = bytearray(Path(image.path).read_bytes())
    if harm == "backing":
        content[8:20] = (112).to_bytes(8, "big") + len("/etc/shadow").to_bytes(4, "big")
    else:
        content[79] |= 1 << 2
    evil.write_bytes(content)
    with pytest.raises(InvalidSpec, match="stand alone"):
        first.storage.put_image(H1, pool, replace(image, path=str(evil)))
    assert os.listdir(pool.path) == []


def test_somebody_elses_pool_in_the_same_directory_is_used_as_it_is(
    lab: Lab, first: Connection, admin: libvirt.virConnect, image: ImageFile
) -> None:
    path = lab.host("h1").local / "theirs"
    path.mkdir()
    (path / "their-disk.raw").write_bytes(b"theirs")
    theirs = admin.storagePoolDefineXML(f"<pool type='dir'><name>theirs</name><target><path>{path}</path></target></pool>")
    pool = PoolSpec("ours", str(path))
    first.storage.ensure_pool(H1, pool)
    first.storage.put_image(H1, pool, image)
    first.compute.create(H1, vm(pool, image))
    first.compute.delete(H1, INSTANCE, [pool])
    first.storage.delete_image(H1, pool, image.name)
    assert "vireo-ours" not in pool_names(admin)
    assert [entry.name for entry in path.iterdir()] == ["their-disk.raw"]
    theirs.destroy()
    theirs.undefine()


def test_a_host_that_cannot_mount_nfs_says_so(lab: Lab, first: Connection, admin: libvirt.virConnect) -> None:
    """One that can, on a machine whose kernel has a client, finds no server there."""
    path = lab.host("h1").local / "mnt"
    pool = PoolSpec("nfs", str(path), nfs=NFSExport("198.18.0.253", "/vms"))
    with pytest.raises((Unsupported, StorageUnavailable)) as caught:
        first.storage.ensure_pool(H1, pool)
    [host] = first.hosts.list_hosts()
    assert host.guests is not None
    told = [text for text in host.guests.lacks if "NFS" in text]
    assert told == ([f"NFS pools: {caught.value.message}"] if caught.type is Unsupported else [])
    assert "vireo-nfs" not in pool_names(admin)
    assert list(path.iterdir()) == [], "nothing is written where nothing is mounted"


def test_a_directory_is_no_nfs_export(lab: Lab, first: Connection) -> None:
    pool = PoolSpec("kind", str(lab.host("h1").local / "kind"))
    first.storage.ensure_pool(H1, pool)
    with pytest.raises(InvalidSpec, match="another export"):
        first.storage.ensure_pool(H1, replace(pool, nfs=NFSExport("198.18.0.253", "/vms")))


def test_a_pool_cannot_move(lab: Lab, first: Connection) -> None:
    pool = PoolSpec("moved", str(lab.host("h1").local / "here"))
    first.storage.ensure_pool(H1, pool)
    with pytest.raises(InvalidSpec, match="another directory"):
        first.storage.ensure_pool(H1, replace(pool, path=str(lab.host("h1").local / "there")))


def test_a_stopped_pool_is_started(lab: Lab, first: Connection, admin: libvirt.virConnect, image: ImageFile) -> None:
    pool = PoolSpec("stopped", str(lab.host("h1").local / "stopped"))
    first.storage.ensure_pool(H1, pool)
    admin.storagePoolLookupByName("vireo-stopped").destroy()
    assert not first.storage.has_image(H1, pool, image.name)
    assert admin.storagePoolLookupByName("vireo-stopped").isActive()


def test_a_shared_pool_is_one_pool_for_two_hosts(lab: Lab, connections: list[Connection], image: ImageFile) -> None:
    pool = PoolSpec("both", str(lab.shared / "both"), shared=True)
    here, there = connections
    for connection, host in zip(connections, ("h1", "h2"), strict=True):
        connection.storage.ensure_pool(HostID(host), pool)
    here.storage.put_image(H1, pool, image)
    assert there.storage.has_image(HostID("h2"), pool, image.name)
    here.compute.create(H1, vm(pool, image))
    inode = _disk(pool).stat().st_ino
    with pytest.raises(Conflict):
        there.storage.delete_image(HostID("h2"), pool, image.name)
    _forget(lab)
    there.compute.create(HostID("h2"), vm(pool, image))
    assert _disk(pool).stat().st_ino == inode, "the disk that h1 made is used"
    there.compute.delete(HostID("h2"), INSTANCE)
    assert not _disk(pool).exists()
    with pytest.raises(NotFound):
        here.compute.observe(H1, INSTANCE)


def _disk(pool: PoolSpec) -> Path:
    return Path(pool.path, f"{INSTANCE}-root.qcow2")


def _forget(lab: Lab) -> None:
    """Remove the definition on h1 and leave the disk, as a crash in a move would."""
    admin = libvirt.open(lab.host("h1").uri)
    admin.lookupByUUIDString(INSTANCE).undefine()
    admin.close()
