"""Which libvirt pools are let go: ours, in that place, that nobody uses; and what is done to them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Conflict, DriverError, StorageUnavailable
from drivers.kvm import names
from drivers.kvm.store import nfs, pools, release
from drivers.kvm.xmltext import render
from drivers.types import NFSExport, PoolSpec
from tests.unit.kvm.fakes import libvirt_error
from tests.unit.kvm.store.nfsworld import NetPool, NFSWorld
from tests.unit.kvm.vms import LABELS

DIR = PoolSpec("local", "/srv/local")
EXPORT = NFSExport("nfs1", "/vms")
NET = PoolSpec("filer", "/mnt/vms", nfs=EXPORT)
CLOUD, OTHER = "5b7f1f0e-cloud", "5b7f1f0e-other"
CLOUDS = st.sampled_from([CLOUD, OTHER]) | st.uuids().map(str)


@dataclass
class LibvirtPool:
    """A pool as libvirt has it. `acts` are what was done to it."""

    native: str
    document: str
    uuid: str = ""
    active: bool = True
    vanished: bool = False
    acts: list[str] = field(default_factory=list)

    def name(self) -> str:
        return self.native

    def UUIDString(self) -> str:
        return self.uuid

    def XMLDesc(self, _flags: int) -> str:
        if self.vanished:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_POOL)
        return self.document

    def isActive(self) -> bool:
        return self.active

    def destroy(self) -> None:
        self.acts.append("stop")
        self.active = False

    def undefine(self) -> None:
        if self.active:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "storage pool is still active")
        self.acts.append("undefine")


@dataclass
class Domain:
    """A VM of somebody; `live` is its document while it runs."""

    inactive: str
    live: str = ""
    vanished: bool = False

    def name(self) -> str:
        return "web"

    def XMLDesc(self, flags: int) -> str:
        if self.vanished:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN)
        return self.inactive if flags == libvirt.VIR_DOMAIN_XML_INACTIVE or not self.live else self.live


@dataclass
class Host:
    """What a connection lists."""

    pools: list[LibvirtPool] = field(default_factory=list)
    domains: list[Domain] = field(default_factory=list)

    def listAllStoragePools(self, flags: int) -> list[LibvirtPool]:
        assert flags == pools._WITH_GROUPS
        return [pool for pool in self.pools if "undefine" not in pool.acts]

    def listAllDomains(self, _flags: int) -> list[Domain]:
        return self.domains


def in_directory(path: str) -> str:
    return f"<pool type='dir'><name>x</name><target><path>{path}</path></target></pool>"


def ours(spec: PoolSpec = DIR, cloud: str = CLOUD, **values: bool) -> LibvirtPool:
    native = names.pool(spec.name)
    return LibvirtPool(native, in_directory(spec.path), names.pool_uuid(native, cloud), **values)


def vm(source: str) -> str:
    return f"<domain><devices><disk>{source}</disk></devices></domain>"


# Whose it is -----------------------------------------------------------------------------------------------------------


@given(LABELS, LABELS, CLOUDS, CLOUDS)
def test_the_uuid_says_that_our_cloud_defined_it(name: str, other: str, cloud: str, another: str) -> None:
    native = names.pool(name)
    identity = names.pool_uuid(native, cloud)
    assert names.is_uuid(identity)
    assert names.pool_of(native, identity, cloud) == name
    assert names.pool_of(name, identity, cloud) is None
    assert names.pool_of(native, "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11", cloud) is None
    assert (names.pool_of(names.pool(other), identity, cloud) == other) == (name == other)
    assert (names.pool_of(native, identity, another) == name) == (cloud == another)


@given(LABELS, CLOUDS)
def test_the_uuid_from_before_clouds_were_told_apart_is_each_cloud_s(name: str, cloud: str) -> None:
    """It is that of hosts that an earlier version prepared: it must never change."""
    native = names.pool(name)
    before = str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://vireo.dev/libvirt/1/pool/vireo-{name}"))
    assert names.pool_of(native, before, cloud) == name
    assert names.pool_uuid(native, cloud) != before


@given(st.text(max_size=40), st.text(max_size=40), CLOUDS)
def test_any_name_and_uuid_can_be_asked_about(name: str, identity: str, cloud: str) -> None:
    assert names.pool_of(name, identity, cloud) is None
    assert names.pool_of(f"vireo-{name}", identity, cloud) is None
    assert names.pool_of(f"vireo-lvm_{name}", identity, cloud) is None


def test_a_volume_group_has_such_a_uuid_too() -> None:
    native = names.group_pool("vg-1")
    assert names.pool_of(native, names.pool_uuid(native, CLOUD), CLOUD) == "lvm_vg-1"
    assert names.pool_of(native, names.pool_uuid(native, CLOUD), OTHER) is None
    assert (names.volume_group_of(native), names.volume_group_of("vireo-vg-1")) == ("vg-1", None)


def test_both_kinds_are_defined_with_it() -> None:
    @dataclass
    class Defining:
        text: str = ""

        def storagePoolDefineXML(self, text: str, _flags: int) -> None:
            self.text = text
            raise libvirt_error(libvirt.VIR_ERR_NO_SUPPORT)

    connection = Defining()
    with suppress(libvirt.libvirtError):
        pools.define(connection, DIR, CLOUD)
    for spec, text in ((DIR, connection.text), (NET, render(nfs.describe(NET, EXPORT, CLOUD)))):
        assert f"<uuid>{names.pool_uuid(names.pool(spec.name), CLOUD)}</uuid>" in text


def test_those_of_others_are_not_listed() -> None:
    mine, gone = ours(), ours(replace(DIR, name="gone"), vanished=True)
    theirs = [
        LibvirtPool("default", in_directory("/srv/local"), "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"),
        LibvirtPool("vireo-local", in_directory("/srv/local"), "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"),
        LibvirtPool("vireo-other", in_directory("/srv/local"), names.pool_uuid("vireo-local", CLOUD)),
        ours(replace(DIR, name="another-cloud"), OTHER),
        LibvirtPool("vireo-console-logs", in_directory(names.CONSOLE_LOGS), "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12"),
    ]
    assert pools.ours(Host([*theirs, gone, mine]), CLOUD) == [(mine, DIR)]
    release.release(Host(theirs), DIR, CLOUD)
    assert not any(each.acts for each in theirs)


# What is done ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
def test_it_is_stopped_and_undefined_under_whatever_name_we_have_it(active: bool) -> None:
    pool, other = ours(active=active), ours(PoolSpec("other", "/srv/other"))
    host = Host([other, pool])
    release.release(host, PoolSpec("another-name", DIR.path, shared=True), CLOUD)
    assert pool.acts == (["stop", "undefine"] if active else ["undefine"])
    release.release(host, DIR, CLOUD)
    assert not other.acts


@pytest.mark.parametrize(("maker", "goes"), [(CLOUD, True), ("", True), (OTHER, False)])
def test_a_cloud_lets_go_of_its_own_and_of_those_from_before(maker: str, goes: bool) -> None:
    pool = ours(cloud=maker)
    release.release(Host([pool]), DIR, CLOUD)
    assert pool.acts == (["stop", "undefine"] if goes else [])


@pytest.mark.parametrize(
    "pool",
    [
        PoolSpec("local", "/srv/elsewhere"),
        replace(DIR, nfs=EXPORT),
        PoolSpec("local", ""),
        PoolSpec("local", "/srv/local/../local"),
    ],
)
def test_another_place_is_another_pool(pool: PoolSpec) -> None:
    mine = ours()
    release.release(Host([mine]), pool, CLOUD)
    assert not mine.acts


USES = {
    "its file": "<source file='/srv/local/a.qcow2'/>",
    "a file deep in it": "<source file='/srv/local/a/b.raw'/>",
    "a directory": "<source dir='/srv/local'/>",
    "its volume": "<source pool='vireo-local' volume='a'/>",
    "a file below another": "<source file='/x'/><backingStore><source file='/srv/local/base.qcow2'/></backingStore>",
}


@pytest.mark.parametrize("source", USES.values(), ids=USES)
@pytest.mark.parametrize("running", [True, False])
def test_whoever_has_a_disk_there_keeps_it(source: str, running: bool) -> None:
    pool = ours()
    domain = Domain(vm(""), vm(source)) if running else Domain(vm(source), "")
    with pytest.raises(Conflict, match="VM web has a disk in the pool local"):
        release.release(Host([pool], [Domain("", vanished=True), domain]), DIR, CLOUD)
    assert not pool.acts


@pytest.mark.parametrize(
    "source",
    ["", "<source/>", "<source file='/srv/local2/a.qcow2'/>", "<source dir='/srv'/>", "<source pool='local' volume='a'/>"],
)
def test_what_lies_elsewhere_does_not(source: str) -> None:
    pool = ours()
    release.release(Host([pool], [Domain(vm(source), vm(source))]), DIR, CLOUD)
    assert pool.acts == ["stop", "undefine"]


def test_one_that_goes_meanwhile_is_gone() -> None:
    class Racing(LibvirtPool):
        def destroy(self) -> None:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_POOL)

    racing = Racing("vireo-local", in_directory(DIR.path), names.pool_uuid("vireo-local", CLOUD))
    release.release(Host([racing]), DIR, CLOUD)


# Exports ---------------------------------------------------------------------------------------------------------------


def mounted(world: NFSWorld) -> NetPool:
    pool = NetPool(world)
    nfs.settle(pool, EXPORT)
    return pool


def test_an_export_is_unmounted_and_what_is_on_it_stays() -> None:
    world = NFSWorld(export={"disk"})
    pool = mounted(world)
    for _ in range(2):
        nfs.let_go(pool, EXPORT)
        assert (world.mounted, pool.active, world.export, world.below) == (False, False, {"disk", nfs.MARKER}, set())


def test_a_mount_in_use_stays() -> None:
    world = NFSWorld()
    pool = mounted(world)
    world.in_use = True
    with pytest.raises(Conflict, match="still uses the mount of nfs1:/vms"):
        nfs.let_go(pool, EXPORT)
    assert (world.mounted, pool.active) == (True, True)


def test_a_mount_that_libvirt_has_lost_sight_of_is_found() -> None:
    world = NFSWorld()
    pool = mounted(world)
    pool.active = False
    nfs.let_go(pool, EXPORT)
    assert (world.mounted, pool.active) == (False, False)


def test_a_server_that_is_away_keeps_nothing() -> None:
    world = NFSWorld()
    pool = mounted(world)
    world.serving = False
    nfs.let_go(pool, EXPORT)
    assert (world.mounted, pool.active) == (False, False)
    nfs.let_go(pool, EXPORT)


@pytest.mark.parametrize(("alive", "kind"), [(True, StorageUnavailable), (False, libvirt.libvirtError)])
def test_what_else_goes_wrong_is_told(alive: bool, kind: type[Exception]) -> None:
    class Stuck(NetPool):
        def destroy(self) -> None:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "umount: unexpected exit status 32: /mnt/vms: cannot be read")

    world = NFSWorld()
    pool = Stuck(world)
    nfs.settle(pool, EXPORT)
    world.alive = alive
    with pytest.raises(kind):
        nfs.let_go(pool, EXPORT)


ACTS: list[Callable[[NFSWorld], None]] = [
    lambda world: setattr(world, "serving", not world.serving),
    lambda world: setattr(world, "in_use", world.mounted and not world.in_use),
    lambda world: setattr(world, "mounted", False),
]


@given(st.lists(st.tuples(st.sampled_from(ACTS), st.booleans()), max_size=12))
def test_whatever_happens_the_files_stay(acts: list[tuple[Callable[[NFSWorld], None], bool]]) -> None:
    world = NFSWorld(export={"disk"}, below={"somebody's"})
    pool = NetPool(world)
    for act, wanted in acts:
        act(world)
        world.in_use = world.in_use and world.mounted
        with suppress(DriverError):
            nfs.settle(pool, EXPORT) if wanted else nfs.let_go(pool, EXPORT)
        assert "disk" in world.export
        assert world.below == {"somebody's"}
    world.serving, world.in_use = True, False
    nfs.let_go(pool, EXPORT)
    assert (world.mounted, pool.active) == (False, False)
