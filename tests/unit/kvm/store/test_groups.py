"""Volume groups as pools: used as they are, and what is wrong with one is said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Conflict, DriverError, InvalidSpec, StorageUnavailable, Unsupported
from drivers.kvm import mark, names
from drivers.kvm.domain import volumes
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.machine.changes import mode
from drivers.kvm.mark import MarkedVolume
from drivers.kvm.snapshots import _is_block
from drivers.kvm.store import groups, pools, release
from drivers.kvm.xmltext import render
from drivers.types import (
    ApplyMode,
    DesiredDisk,
    DesiredVM,
    GrowDisk,
    InstanceID,
    Owner,
    PoolSpec,
    VolumeAttachment,
    VolumeID,
)
from tests.unit.kvm.fakes import HOST, libvirt_error
from tests.unit.kvm.store.test_release import Domain, vm

SPEC = PoolSpec("fast", "/srv/fast", volume_group="vg-1")
CLOUD, OTHER = "5b7f1f0e-cloud", "5b7f1f0e-other"
LISTED = PoolSpec("lvm_vg-1", "", volume_group="vg-1")
"""As a host tells of the group by itself."""
INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
VOLUME = VolumeID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12")
OWNER = Owner("uid", "shop", "web")
GROUPS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9+_.-]{0,62}", fullmatch=True)
COMMAND = "internal error: Child process (/sbin/vgchange -aly vg-1) unexpected exit status 5:   "
GONE = 'Volume group "vg-1" not found\n  Cannot process volume group vg-1'


def make(host: LVMHost, pool: PoolSpec) -> LogicalPool:
    made: LogicalPool = groups.ensure(host, pool, CLOUD)
    return made


@dataclass
class LogicalPool:
    """A logical pool: libvirt runs LVM when it starts or reads it, and stops one that cannot be read."""

    host: LVMHost
    title: str
    group: str
    active: bool = False
    autostart: int = 0
    uuid: str = "6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11"
    known: int = 0

    def UUIDString(self) -> str:
        return self.uuid

    def info(self) -> tuple[int, int, int, int]:
        """As of the last look of libvirt at the group."""
        return (libvirt.VIR_STORAGE_POOL_RUNNING, 1 << 30, self.known, (1 << 30) - self.known)

    def destroy(self) -> None:
        """As `vgchange -aln`."""
        assert self.active
        assert not self.host.allocated, "volumes were switched off"
        self.active = False

    def name(self) -> str:
        return self.title

    def XMLDesc(self, _flags: int) -> str:
        return f"<pool type='logical'><name>{self.title}</name><source><name>{self.group}</name></source></pool>"

    def isActive(self) -> bool:
        return self.active

    def create(self, _flags: int) -> None:
        self.host.run(self.group)
        self.active = True

    def refresh(self, _flags: int) -> None:
        if self.host.busy:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "pool has asynchronous jobs running.")
        try:
            self.host.run(self.group)
        except libvirt.libvirtError:
            self.active = False
            raise
        self.known = self.host.allocated

    def setAutostart(self, value: int) -> None:
        self.autostart = value

    def undefine(self) -> None:
        assert not self.active, "libvirt refuses"
        self.host.pools.remove(self)

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} would change a volume group that others have")


@dataclass
class LVMHost:
    """What LVM finds, and libvirt's pools of it."""

    groups: set[str] = field(default_factory=lambda: {"vg-1"})
    pools: list[LogicalPool] = field(default_factory=list)
    complaint: str = COMMAND + GONE
    alive: bool = True
    busy: bool = False
    allocated: int = 0
    domains: list[Domain] = field(default_factory=list)

    def isAlive(self) -> bool:
        return self.alive

    def run(self, group: str) -> None:
        if group not in self.groups:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, self.complaint)

    def listAllStoragePools(self, kinds: int) -> list[LogicalPool]:
        assert kinds & libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL
        return list(self.pools)

    def listAllDomains(self, _flags: int) -> list[Domain]:
        return self.domains

    def storagePoolDefineXML(self, document: str, _flags: int) -> LogicalPool:
        root = ET.fromstring(document)
        assert root.get("type") == "logical"
        assert root.find("source/device") is None, "no disk is ever named, so none can be formatted"
        made = LogicalPool(self, root.findtext("name", ""), root.findtext("source/name", ""), uuid=root.findtext("uuid", ""))
        self.pools.append(made)
        return made


# Finding it ------------------------------------------------------------------------------------------------------------


def test_a_group_is_told_to_libvirt_once_and_started_with_the_host() -> None:
    host = LVMHost()
    assert groups.find(host, SPEC) is None
    made = groups.ensure(host, SPEC, CLOUD)
    assert (made.title, made.group, made.active, made.autostart) == ("vireo-lvm_vg-1", "vg-1", True, 1)
    assert groups.find(host, SPEC, refresh=True) is made


def test_somebody_s_pool_of_the_group_is_used_as_it_is() -> None:
    host = LVMHost()
    host.pools = [LogicalPool(host, "other", "vg-2", active=True), LogicalPool(host, "theirs", "vg-1")]
    found = groups.find(host, SPEC)
    assert found is host.pools[1]
    assert (found.active, found.autostart, host.pools[0].active) == (True, 0, True)


def test_another_group_under_the_pool_s_name_is_no_matter() -> None:
    """A StoragePool may be made again with another group; what libvirt has of the first one stays."""
    host = LVMHost({"vg-0", "vg-1"})
    first = groups.ensure(host, replace(SPEC, volume_group="vg-0"), CLOUD)
    assert groups.find(host, SPEC) is None
    assert groups.ensure(host, SPEC, CLOUD) is not first
    assert [pool.title for pool in host.pools] == ["vireo-lvm_vg-0", "vireo-lvm_vg-1"]


@given(GROUPS)
def test_its_name_is_no_other_pool_s(name: str) -> None:
    with pytest.raises(InvalidSpec):
        names.pool(names.group_pool(name).removeprefix("vireo-"))


@pytest.mark.parametrize("name", ["-a", ".", "..", "a/b", "../a", "a b", "a\n", "", "$(id)", "a'/><x", "v" * 64, "ä", "a,b"])
def test_hostile_names_are_refused(name: str) -> None:
    host = LVMHost()
    for call in (groups.find, make):
        with pytest.raises(InvalidSpec):
            call(host, replace(SPEC, volume_group=name))
    with pytest.raises(InvalidSpec):
        names.device(name, "root")
    assert host.pools == []


@given(GROUPS)
def test_other_names_are_fine(name: str) -> None:
    assert names.device(name, "a.raw") == f"/dev/{name}/a.raw"


# What is wrong with it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("complaint", "kind", "said"),
    [
        (COMMAND + GONE, StorageUnavailable, "the host has no volume group vg-1"),
        (COMMAND + "Multiple VGs found with the same name: skipping vg-1", StorageUnavailable, "Multiple VGs found"),
        ("Cannot find '/sbin/vgchange' in path: No such file or directory", Unsupported, "install lvm2"),
        ("cannot execute binary /sbin/vgchange: No such file or directory", Unsupported, "install lvm2"),
        ("internal error: missing backend for pool type 4 (logical)", Unsupported, "no storage driver for LVM"),
    ],
)
@pytest.mark.parametrize("look", [groups.find, make])
def test_what_is_wrong_is_said(complaint: str, kind: type[DriverError], said: str, look: Callable[..., object]) -> None:
    host = LVMHost(set(), complaint=complaint)
    if look is groups.find:
        host.pools = [LogicalPool(host, "vireo-lvm_vg-1", "vg-1")]
    with pytest.raises(kind, match=said) as caught:
        look(host, SPEC)
    assert "/sbin" not in caught.value.message
    assert len(host.pools) == (look is groups.find), "nothing is left of what was not there"


def test_a_group_that_goes_is_told_and_found_when_it_is_back() -> None:
    host = LVMHost()
    made = groups.ensure(host, SPEC, CLOUD)
    host.groups.clear()
    with pytest.raises(StorageUnavailable, match="no volume group"):
        groups.find(host, SPEC, refresh=True)
    with pytest.raises(StorageUnavailable, match="no volume group"):
        groups.find(host, SPEC)
    host.groups.add("vg-1")
    assert groups.find(host, SPEC) is made
    assert made.active


def test_a_group_that_is_written_to_is_not_taken_for_a_bad_one() -> None:
    host = LVMHost()
    made = groups.ensure(host, SPEC, CLOUD)
    host.busy = True
    assert groups.find(host, SPEC, refresh=True) is made


def test_a_lost_connection_is_no_matter_of_the_group() -> None:
    host = LVMHost(set(), alive=False)
    with pytest.raises(libvirt.libvirtError):
        groups.ensure(host, SPEC, CLOUD)


def test_without_the_group_no_directory_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_define", lambda *_: pytest.fail("a directory was made"))
    with pytest.raises(StorageUnavailable):
        pools.define(LVMHost(set()), SPEC, CLOUD)
    with pytest.raises(InvalidSpec):
        pools.define(LVMHost(), replace(SPEC, path="/etc/fast"), CLOUD)


# Letting it go ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [SPEC, LISTED, replace(SPEC, path="/srv/elsewhere")])
def test_a_group_without_volumes_is_let_go(pool: PoolSpec) -> None:
    host = LVMHost()
    make(host, SPEC)
    assert [known for _, known in pools.ours(host, CLOUD)] == [LISTED]
    for _ in range(2):
        release.release(host, pool, CLOUD)
        assert (host.pools, pools.ours(host, CLOUD)) == ([], [])


def test_volumes_keep_it_until_the_host_starts_anew() -> None:
    host = LVMHost()
    made = make(host, SPEC)
    host.allocated = 8 << 20
    for _ in range(2):
        with pytest.raises(Conflict, match="vg-1 has volumes"):
            release.release(host, SPEC, CLOUD)
        assert (made.active, made.autostart, host.pools) == (True, 0, [made])
    made.active = bool(made.autostart)
    release.release(host, LISTED, CLOUD)
    assert host.pools == []


def test_one_that_was_kept_is_used_again() -> None:
    host = LVMHost(allocated=8 << 20)
    made = make(host, SPEC)
    with pytest.raises(Conflict):
        release.release(host, SPEC, CLOUD)
    assert make(host, SPEC) is made
    assert (made.active, made.autostart) == (True, 1)


@pytest.mark.parametrize("active", [True, False])
def test_a_group_that_is_gone_is_let_go(active: bool) -> None:
    host = LVMHost()
    made = make(host, SPEC)
    host.groups.clear()
    made.active = active
    release.release(host, SPEC, CLOUD)
    assert host.pools == []


def test_a_group_that_libvirt_has_not_looked_at_is_looked_at_first() -> None:
    """Volumes that came past libvirt count."""
    host = LVMHost()
    made = make(host, SPEC)
    assert made.info()[2] == 0
    host.allocated = 4 << 20
    with pytest.raises(Conflict):
        release.release(host, SPEC, CLOUD)


@pytest.mark.parametrize(
    "source",
    [
        "<source dev='/dev/vg-1/x.raw'/>",
        "<source file='/x'/><backingStore><source dev='/dev/vg-1/x.raw'/></backingStore>",
        "<source pool='vireo-lvm_vg-1' volume='x'/>",
    ],
)
def test_a_vm_with_a_volume_of_it_keeps_it(source: str) -> None:
    host = LVMHost(domains=[Domain(vm(source))])
    made = make(host, SPEC)
    with pytest.raises(Conflict, match="VM web"):
        release.release(host, SPEC, CLOUD)
    assert (made.active, made.autostart) == (True, 1), "nothing was done"
    host.domains = [Domain(vm("<source dev='/dev/vg-10/x.raw'/>"))]
    release.release(host, SPEC, CLOUD)


@pytest.mark.parametrize("title", ["vireo-lvm_vg-1", "theirs"])
def test_somebody_s_pool_of_the_group_is_not_let_go(title: str) -> None:
    host = LVMHost()
    host.pools = [theirs := LogicalPool(host, title, "vg-1", active=True, autostart=1)]
    assert make(host, SPEC) is theirs
    release.release(host, SPEC, CLOUD)
    assert (host.pools, theirs.active, theirs.autostart) == ([theirs], True, 1)


def test_another_cloud_s_is_used_and_not_let_go() -> None:
    host = LVMHost()
    theirs = groups.ensure(host, SPEC, OTHER)
    theirs.autostart = 0
    assert make(host, SPEC) is theirs
    release.release(host, SPEC, CLOUD)
    assert (host.pools, theirs.active, theirs.autostart) == ([theirs], True, 0)


# In a domain -----------------------------------------------------------------------------------------------------------


def domain() -> ET.Element:
    disk, attachment = DesiredDisk("root", SPEC, 1 << 30), VolumeAttachment("data", VOLUME, SPEC)
    vm = DesiredVM(INSTANCE, "web", OWNER, 1, 1 << 28, (disk,), volumes=(attachment,))
    marked = MarkedVolume("data", VOLUME, "fast", "sda", 1 << 30)
    return build(vm, HOST, attached=[(marked, f"/dev/vg-1/vireo-vol-{VOLUME}.0.raw")])


def test_disks_and_volumes_are_block_devices_past_the_page_cache() -> None:
    items = ET.fromstring(render(domain())).findall("devices/disk")
    assert [item.get("type") for item in items] == ["block", "block"]
    sources = [source.attrib for item in items for source in item.iterfind("source")]
    assert sources == [{"dev": f"/dev/vg-1/{INSTANCE}-root.raw"}, {"dev": f"/dev/vg-1/vireo-vol-{VOLUME}.0.raw"}]
    drivers = [driver.attrib for item in items for driver in item.iterfind("driver")]
    assert all((each["type"], each["cache"], each["discard"]) == ("raw", "none", "unmap") for each in drivers)


def test_they_are_found_again_and_told_from_those_of_others() -> None:
    document = domain()
    foreign = ET.fromstring("<disk type='block'><source dev='/dev/vg-1/others'/><target dev='vdb' bus='virtio'/></disk>")
    devices = document.find("devices")
    assert devices is not None
    devices.append(foreign)
    seen = observe(Documents(document, None, libvirt.VIR_DOMAIN_SHUTOFF, 0), HOST.host)
    assert seen is not None
    assert [(each.name, each.pool, each.volume_id) for each in seen.disks] == [("root", "fast", f"/dev/vg-1/{INSTANCE}-root.raw")]
    assert [(each.name, each.volume) for each in seen.volumes] == [("data", VOLUME)]
    assert seen.foreign_devices == ("vdb",)
    found = volumes.find(document, VOLUME)
    assert found is not None
    assert [_is_block(item) for item in document.iterfind("devices/disk")] == [True, True, False]
    assert mode(GrowDisk("root", 2 << 30), seen, "kvm") is ApplyMode.RECREATE
    assert mark.read(document) is not None


def test_a_file_is_none() -> None:
    plain = replace(SPEC, volume_group="")
    vm = DesiredVM(INSTANCE, "web", OWNER, 1, 1 << 28, (DesiredDisk("root", plain, 1 << 30),))
    document = build(vm, HOST)
    seen = observe(Documents(document, None, libvirt.VIR_DOMAIN_SHUTOFF, 0), HOST.host)
    assert seen is not None
    assert not any(map(_is_block, document.iterfind("devices/disk")))
    assert mode(GrowDisk("root", 2 << 30), seen, "kvm") is ApplyMode.LIVE
