"""NFS exports as pools: nothing is written below them, and what is wrong is said."""

from __future__ import annotations

import errno
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import DriverError, InvalidSpec, StorageUnavailable, Unsupported
from drivers.kvm import names
from drivers.kvm.domain.build import build
from drivers.kvm.mark import MarkedVolume
from drivers.kvm.store import nfs
from drivers.kvm.xmltext import render
from drivers.types import DesiredDisk, DesiredVM, InstanceID, NFSExport, Owner, PoolSpec, VolumeAttachment, VolumeID
from tests.unit.kvm.fakes import HOST, libvirt_error
from tests.unit.kvm.store.nfsworld import COMMAND, NetPool, NFSWorld
from tests.unit.kvm.vms import EXPORTS, LABELS

EXPORT = NFSExport("nfs1", "/vms")
SPEC = PoolSpec("shared", "/mnt/vms", shared=True, nfs=EXPORT)
FS = {"fs": "http://libvirt.org/schemas/storagepool/fs/1.0"}
INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
VOLUME = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12")


# What libvirt is asked for ---------------------------------------------------------------------------------------------


@given(LABELS, EXPORTS)
def test_the_document_says_where_from_and_where_to(name: str, export: NFSExport) -> None:
    root = ET.fromstring(render(nfs.describe(PoolSpec(name, "/mnt/vms", nfs=export), export, "")))
    assert (root.get("type"), root.findtext("name")) == ("netfs", f"vireo-{name}")
    found = [root.find(path) for path in ("source/host", "source/dir", "source/format")]
    assert [each.attrib for each in found if each is not None] == [
        {"name": export.server},
        {"path": export.export},
        {"type": "nfs"},
    ]
    assert root.findtext("target/path") == "/mnt/vms"


def test_a_server_that_is_away_is_given_up() -> None:
    """With `hard`, which is the default of nfs(5), libvirt would wait for ever, with every pool of the host."""
    options = {each.get("name") for each in nfs.describe(SPEC, EXPORT, "").iterfind("fs:mount_opts/fs:option", FS)}
    assert {"soft", "retry=0"} <= options
    assert "hard" not in options


@pytest.mark.parametrize(
    ("server", "export"),
    [
        *((server, "/vms") for server in ("", "-o", "a b", "a:b", "a,b", "a/b", "$(reboot)", "a.", "a\n", "a" * 254, "ä")),
        *(
            ("a", export)
            for export in ("", "vms", "/vms/", "/a b", "/a,b", "//a", "/../a", "/a/.", "/'$(x)'", "/a\n", "/" + "e" * 512)
        ),
    ],
)
def test_hostile_names_are_refused(server: str, export: str) -> None:
    with pytest.raises(InvalidSpec):
        names.export(NFSExport(server, export))


@pytest.mark.parametrize("export", ["/", "/vms", "/a/b_c/d.e-f", "/..a/.b"])
def test_other_names_are_fine(export: str) -> None:
    assert names.export(NFSExport("192.0.2.7", export)).export == export


# Mounting --------------------------------------------------------------------------------------------------------------


def test_a_fresh_export_is_mounted_and_marked() -> None:
    world = NFSWorld()
    pool = NetPool(world)
    nfs.settle(pool, EXPORT)
    assert (world.mounted, pool.active, world.export, world.below) == (True, True, {nfs.MARKER}, set())


@pytest.mark.parametrize("in_use", [False, True])
def test_a_server_that_goes_and_comes_back(in_use: bool) -> None:
    world = NFSWorld(in_use=in_use)
    pool = NetPool(world)
    nfs.settle(pool, EXPORT)
    world.serving = False
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="nfs1"):
            nfs.settle(pool, EXPORT)
        assert not pool.active, "nothing can be made in it now"
    world.serving = True
    nfs.settle(pool, EXPORT)
    assert (pool.active, world.mounted, world.below) == (True, True, set())


def test_a_lost_mount_is_seen_before_anything_is_written_below() -> None:
    """libvirt goes on to call the pool active, and lists the files of the host's own disk."""
    world = NFSWorld(below={"somebody's"})
    pool = NetPool(world)
    nfs.settle(pool, EXPORT)
    world.mounted = False
    pool.refresh(0)
    assert (pool.active, pool.listed) == (True, {"somebody's"})
    nfs.settle(pool, EXPORT)
    assert (world.mounted, world.below, pool.listed) == (True, {"somebody's"}, {nfs.MARKER})


def test_a_marker_that_somebody_removed_is_made_again() -> None:
    world = NFSWorld(in_use=True)
    pool = NetPool(world)
    nfs.settle(pool, EXPORT)
    world.export.clear()
    nfs.settle(pool, EXPORT)
    assert (world.export, world.below) == ({nfs.MARKER}, set())


def test_another_host_may_be_quicker_to_mark() -> None:
    class Slow(NetPool):
        def createXML(self, document: str, flags: int) -> None:
            self.world.export.add(nfs.MARKER)
            super().createXML(document, flags)

    world = NFSWorld()
    nfs.settle(Slow(world), EXPORT)
    assert world.export == {nfs.MARKER}


def test_two_threads_may_start_it() -> None:
    class Started(NetPool):
        def create(self, flags: int) -> None:
            super().create(flags)
            super().create(flags)

    nfs.settle(Started(NFSWorld()), EXPORT)


def _unmount(world: NFSWorld, _pool: NetPool) -> None:
    world.mounted = False


def _away(world: NFSWorld, _pool: NetPool) -> None:
    world.serving = False


def _back(world: NFSWorld, _pool: NetPool) -> None:
    world.serving = True


def _use(world: NFSWorld, _pool: NetPool) -> None:
    world.in_use = world.mounted and not world.in_use


def _unmark(world: NFSWorld, _pool: NetPool) -> None:
    world.export.discard(nfs.MARKER)


def _stop(_world: NFSWorld, pool: NetPool) -> None:
    with suppress(libvirt.libvirtError):
        pool.destroy()


def _restart(world: NFSWorld, pool: NetPool) -> None:
    """libvirtd itself: it takes those for active whose mount it finds."""
    pool.active = world.mounted and world.serving


ACTS: list[Callable[[NFSWorld, NetPool], None]] = [_unmount, _away, _back, _use, _unmark, _stop, _restart]


@given(st.lists(st.sampled_from(ACTS), max_size=12))
def test_whatever_happens_it_is_the_export_or_an_error(acts: list[Callable[[NFSWorld, NetPool], None]]) -> None:
    world = NFSWorld()
    pool = NetPool(world)
    for act in acts:
        act(world, pool)
        world.in_use = world.in_use and world.mounted
        try:
            nfs.settle(pool, EXPORT)
        except StorageUnavailable:
            assert not world.serving
        else:
            pool.createXML("<volume><name>disk</name></volume>", 0)
            world.export.discard("disk")
            assert world.serving
        assert world.below == set()
    world.serving = True
    nfs.settle(pool, EXPORT)


# What is said ----------------------------------------------------------------------------------------------------------

MOUNT, SYSTEM = libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR


@pytest.mark.parametrize(
    ("code", "text", "number", "kind", "said"),
    [
        (
            MOUNT,
            "mount: /mnt/vms: bad option; for several filesystems (e.g. nfs, cifs) you might need",
            0,
            Unsupported,
            "nfs-common",
        ),
        (MOUNT, COMMAND + "mount: /mnt: unknown filesystem type 'nfs'.", 0, Unsupported, "kernel has no NFS client"),
        (MOUNT, COMMAND + "mount.nfs: No such device", 0, Unsupported, "kernel has no NFS client"),
        (MOUNT, "internal error: missing backend for pool type 5 (netfs)", 0, Unsupported, "libvirt has no storage driver"),
        (
            MOUNT,
            COMMAND + "mount.nfs: Connection timed out",
            0,
            StorageUnavailable,
            "nfs1:/vms cannot be used: mount.nfs: Connection timed",
        ),
        (
            MOUNT,
            COMMAND + "mount.nfs: access denied by server while mounting nfs1:/vms",
            0,
            StorageUnavailable,
            "access denied by server",
        ),
        (SYSTEM, "cannot open path '/mnt/vms': Input/output error", errno.EIO, StorageUnavailable, "server nfs1 does not answer"),
        (SYSTEM, "cannot open path", errno.ETIMEDOUT, StorageUnavailable, "server nfs1 does not answer"),
        (SYSTEM, "Failed to create file '/mnt/vms/x'", errno.EROFS, StorageUnavailable, "no_root_squash"),
        (SYSTEM, "Failed to create file '/mnt/vms/x'", errno.EACCES, StorageUnavailable, "no_root_squash"),
        (
            SYSTEM,
            "cannot open path: Stale file handle",
            errno.ESTALE,
            StorageUnavailable,
            "nfs1 does not answer, or has",
        ),
        (MOUNT, "", 0, StorageUnavailable, "gave no reason"),
    ],
)
def test_what_is_wrong_is_said(code: int, text: str, number: int, kind: type[DriverError], said: str) -> None:
    error = nfs.explain(libvirt_error(code, text, number), EXPORT)
    assert type(error) is kind
    assert said in error.message
    assert "nosuid" not in error.message, "the command line says nothing to anybody"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_an_export_that_can_only_be_read_is_no_pool(number: int) -> None:
    with pytest.raises(StorageUnavailable, match="rw and no_root_squash"):
        nfs.settle(NetPool(NFSWorld(refusal=number)), EXPORT)


def test_a_lost_connection_is_no_matter_of_the_server() -> None:
    world = NFSWorld(serving=False, alive=False)
    with pytest.raises(libvirt.libvirtError):
        nfs.settle(NetPool(world), EXPORT)


# Guests ----------------------------------------------------------------------------------------------------------------


def wanted(pool: PoolSpec) -> ET.Element:
    disk, volume = DesiredDisk("root", pool, 1 << 30), VolumeAttachment("data", VOLUME, pool)
    vm = DesiredVM(INSTANCE, "web", Owner("uid", "shop", "web"), 1, 1 << 28, (disk,), volumes=(volume,))
    return build(vm, HOST, attached=[(MarkedVolume("data", VOLUME, pool.name, "sda", 1 << 20), f"{pool.path}/x.qcow2")])


def test_a_guest_waits_for_the_server_and_loses_no_write() -> None:
    drivers = [each.attrib for each in wanted(SPEC).iterfind("devices/disk/driver")]
    assert [(each.get("cache"), each.get("error_policy")) for each in drivers] == [("none", "stop")] * 2
    local = [each.attrib for each in wanted(replace(SPEC, nfs=None)).iterfind("devices/disk/driver")]
    assert all(each.keys().isdisjoint({"cache", "error_policy"}) for each in local)
