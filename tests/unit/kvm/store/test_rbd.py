"""How libvirt is asked for a pool of a Ceph cluster: what is said to it, what its answers mean, and that only the key stays."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import libvirt
import pytest

from drivers.errors import DriverError, InvalidSpec, NoRoom, NotFound, StorageUnavailable, Unsupported
from drivers.kvm import names
from drivers.kvm.domain.volumes import RBDImage
from drivers.kvm.link.session import Role, Timeouts
from drivers.kvm.store.rbd import MONITORS, PATIENCE, Clusters
from drivers.kvm.store.targets import Targets
from drivers.types import (
    DesiredVolume,
    ObservedPool,
    ObservedVolume,
    Owner,
    PoolSpec,
    RBDPool,
    SnapshotID,
    StoredFile,
    StoredKind,
    VolumeAttachment,
    VolumeID,
)
from tests.unit.kvm.fakes import HOST, libvirt_error

KEY = base64.b64encode(b"a secret of sixteen").decode()
VMS = RBDPool(("mon1.example.org", "192.0.2.9:6790"), "vms", "vireo")
CEPH = PoolSpec("ceph", "", shared=True, rbd=VMS)
KEYED = replace(CEPH, rbd=replace(VMS, key=KEY))
ONE = VolumeID("11111111-1111-4111-8111-111111111111")
TWO = VolumeID("22222222-2222-4222-8222-222222222222")
MIB = 1 << 20
SPACE = "{http://libvirt.org/schemas/storagepool/rbd/1.0}"


@dataclass
class FakeImage:
    owner: FakeHost
    title: str
    size: int

    def name(self) -> str:
        return self.title

    def path(self) -> str:
        return f"vms/{self.title}"

    def info(self) -> tuple[int, int, int]:
        return 2, self.size, self.size

    def resize(self, size: int, _flags: int) -> None:
        self.size = size

    def delete(self, _flags: int) -> None:
        del self.owner.images[self.title]


@dataclass
class FakeOpened:
    """libvirt's view of the images."""

    owner: FakeHost
    document: str
    persistent: bool = False

    def name(self) -> str:
        return ET.fromstring(self.document).findtext("name", "")

    def XMLDesc(self, _flags: int) -> str:
        return self.document

    def isPersistent(self) -> int:
        return int(self.persistent)

    def info(self) -> tuple[int, int, int, int]:
        return 2, 1 << 30, 0, 1 << 29

    def destroy(self) -> None:
        self.owner.opened.remove(self)

    def listAllVolumes(self, _flags: int) -> list[FakeImage]:
        return list(self.owner.images.values())

    def storageVolLookupByName(self, title: str) -> FakeImage:
        if title not in self.owner.images:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL)
        return self.owner.images[title]

    def createXML(self, document: str, _flags: int) -> FakeImage:
        root = ET.fromstring(document)
        assert [each.get("type") for each in root.iterfind("target/format")] == ["raw"]
        return self.owner.put(root.findtext("name", ""), int(root.findtext("capacity", "0")))


@dataclass
class FakeSecret:
    owner: FakeHost
    document: str

    def setValue(self, value: bytes, _flags: int) -> None:
        self.owner.values[ET.fromstring(self.document).findtext("uuid", "")] = value


@dataclass
class FakeHost:
    """A host of a Ceph cluster that answers after `seconds`, or with `trouble`."""

    images: dict[str, FakeImage] = field(default_factory=dict)
    opened: list[FakeOpened] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    values: dict[str, bytes] = field(default_factory=dict)
    trouble: Exception | None = None
    alive: bool = True
    seconds: float = 0.0
    now: float = 0.0

    def clock(self) -> float:
        return self.now

    def put(self, title: str, size: int = MIB) -> FakeImage:
        self.images[title] = FakeImage(self, title, size)
        return self.images[title]

    def isAlive(self) -> int:
        return int(self.alive)

    def storagePoolLookupByName(self, name: str) -> FakeOpened:
        for each in self.opened:
            if each.name() == name:
                return each
        raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_POOL)

    def storagePoolCreateXML(self, document: str, _flags: int) -> FakeOpened:
        self.asked.append(document)
        self.now += self.seconds
        if self.trouble is not None:
            raise self.trouble
        assert not self.opened, "libvirt refuses a second one"
        self.opened.append(FakeOpened(self, document))
        return self.opened[-1]

    def secretDefineXML(self, document: str, _flags: int) -> FakeSecret:
        self.secrets.append(document)
        return FakeSecret(self, document)


def clusters(host: FakeHost) -> Clusters:
    return Clusters(1.0, host.clock)


def desired(volume: VolumeID = ONE, size: int = 3 * MIB, **values: Any) -> DesiredVolume:
    return replace(DesiredVolume(volume, "data", Owner("u", "shop", "data"), CEPH, size), **values)


CALLS: list[Callable[[Clusters, FakeHost, PoolSpec], object]] = [
    lambda made, host, pool: made.ensure(host, pool),
    lambda made, host, pool: made.contents(host, pool),
    lambda made, host, pool: made.files(host, pool),
    lambda made, host, pool: made.create(host, desired(pool=pool)),
    lambda made, host, pool: made.grow(host, pool, ONE, MIB),
    lambda made, host, pool: made.size(host, pool, ONE, MIB),
    lambda made, host, pool: made.delete(host, pool, ONE),
    lambda made, host, pool: made.find(host, VolumeAttachment("data", ONE, pool)),
]


def test_what_is_asked_and_that_only_the_key_stays() -> None:
    host = FakeHost()
    assert clusters(host).ensure(host, KEYED) == ObservedPool("ceph", 1 << 30, 1 << 29)
    [document] = host.asked
    pool = ET.fromstring(document)
    assert (pool.get("type"), pool.findtext("name"), pool.findtext("source/name")) == ("rbd", "vireo-ceph", "vms")
    assert [each.attrib for each in pool.iterfind("source/host")] == [
        {"name": "mon1.example.org"},
        {"name": "192.0.2.9", "port": "6790"},
    ]
    [auth] = pool.iterfind("source/auth")
    assert auth.attrib == {"type": "ceph", "username": "vireo"}
    assert [each.attrib for each in auth.iterfind("secret")] == [{"uuid": names.secret("ceph")}]
    options = {each.get("name"): int(each.get("value", "")) for each in pool.iter(f"{SPACE}option")}
    assert set(options) == {"client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"}
    assert max(options.values()) <= PATIENCE, "else nobody would know that an image was left out"
    [secret] = (ET.fromstring(text) for text in host.secrets)
    assert secret.attrib == {"ephemeral": "yes", "private": "yes"}
    assert (secret.findtext("uuid"), secret.findtext("usage/name")) == (names.secret("ceph"), "vireo-ceph")
    assert host.values == {names.secret("ceph"): b"a secret of sixteen"}
    assert host.opened == []
    assert KEY not in document + host.secrets[0]


def test_without_a_key_the_host_keeps_the_one_that_it_has() -> None:
    host = FakeHost()
    clusters(host).ensure(host, CEPH)
    assert (host.secrets, host.values) == ([], {})


def test_keys_of_pools_are_apart() -> None:
    assert names.secret("ceph") != names.secret("ceph2")


@pytest.mark.parametrize("key", ["x", "käse", "a b=="])
def test_what_is_no_key_is_refused_and_not_shown(key: str) -> None:
    host = FakeHost()
    with pytest.raises(InvalidSpec) as refused:
        clusters(host).ensure(host, replace(CEPH, rbd=replace(VMS, key=key)))
    assert (key not in refused.value.message.replace("base64", ""), host.secrets) == (True, [])


def test_volumes_are_made_found_grown_and_removed() -> None:
    host = FakeHost()
    made = clusters(host)
    for theirs in ("somebody-s", f"vireo-vol-{TWO}.0.qcow2", "vireo-vol-x"):
        host.put(theirs)
    for _ in range(2):
        made.create(host, desired(size=3 * MIB - 1))
    made.create(host, desired(TWO, 5 * MIB))
    made.create(host, desired(TWO, 50 * MIB))
    where = f"vms/vireo-vol-{ONE}"
    assert set(made.contents(host, CEPH)) == {
        ObservedVolume(ONE, where, 3 * MIB),
        ObservedVolume(TWO, f"vms/vireo-vol-{TWO}", 5 * MIB),
    }
    assert StoredFile(StoredKind.VOLUME, ONE, where, 3 * MIB) in made.files(host, CEPH)
    assert [made.grow(host, CEPH, ONE, size) for size in (4 * MIB, 4 * MIB - 1, MIB)] == [4 * MIB] * 3
    assert made.size(host, CEPH, ONE, 5 * MIB) == 4 * MIB
    seen = made.find(host, VolumeAttachment("data", ONE, CEPH))
    assert seen == (RBDImage(VMS, f"vireo-vol-{ONE}", names.secret("ceph")), 4 * MIB)
    for _ in range(2):
        made.delete(host, CEPH, ONE)
    assert set(host.images) == {"somebody-s", f"vireo-vol-{TWO}.0.qcow2", "vireo-vol-x", f"vireo-vol-{TWO}"}
    assert host.opened == []


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda made, host: made.create(host, desired(image="debian")), InvalidSpec),
        (lambda made, host: made.create(host, desired(snapshot=SnapshotID(TWO))), InvalidSpec),
        (lambda made, host: made.create(host, desired(size=0)), InvalidSpec),
        (lambda made, host: made.create(host, desired(size=2 << 30)), NoRoom),
        (lambda made, host: made.create(host, desired(VolumeID("../x"))), InvalidSpec),
        (lambda made, host: made.grow(host, CEPH, TWO, 2 << 30), NoRoom),
        (lambda made, host: made.size(host, CEPH, TWO, 2 << 30), NoRoom),
        (lambda made, host: made.grow(host, CEPH, ONE, MIB), NotFound),
        (lambda made, host: made.size(host, CEPH, ONE, MIB), NotFound),
        (lambda made, host: made.find(host, VolumeAttachment("data", ONE, CEPH)), NotFound),
        (lambda made, host: made.ensure(host, PoolSpec("local", "/srv")), InvalidSpec),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    wrong: Callable[[Clusters, FakeHost], object], kind: type[DriverError]
) -> None:
    host = FakeHost()
    host.put(f"vireo-vol-{TWO}")
    with pytest.raises(kind):
        wrong(clusters(host), host)
    assert {title: image.size for title, image in host.images.items()} == {f"vireo-vol-{TWO}": MIB}
    assert host.opened == []


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "missing backend for pool type 9 (rbd)"), Unsupported, "backend rbd"),
        (libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "no"), Unsupported, "backend rbd"),
        (libvirt_error(libvirt.VIR_ERR_NO_SECRET, "no secret with matching uuid"), StorageUnavailable, "key yet"),
        (
            libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "failed to create the RBD IoCTX. Does the pool 'vms' exist?"),
            StorageUnavailable,
            "no pool vms, or the user vireo",
        ),
        (
            libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "failed to connect to the RADOS monitor on: mon1: No such file"),
            StorageUnavailable,
            "does not let the user vireo in",
        ),
        (libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "failed to stat the RADOS pool"), StorageUnavailable, "failed to stat"),
    ],
)
def test_what_is_wrong_is_said(
    call: Callable[[Clusters, FakeHost, PoolSpec], object], trouble: Exception, kind: type[DriverError], words: str
) -> None:
    host = FakeHost(trouble=trouble)
    with pytest.raises(kind, match=words):
        call(clusters(host), host, CEPH)
    assert host.opened == []


@pytest.mark.parametrize(
    "said", ["failed to connect to the RADOS monitor on: mon1: No such file", "Unable to list RBD images: Success"]
)
def test_silence_is_told_by_the_time_that_it_took(said: str) -> None:
    """libvirt has no errno of librados."""
    host = FakeHost(trouble=libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, said), seconds=MONITORS)
    with pytest.raises(StorageUnavailable, match="does not answer the host") as refused:
        clusters(host).ensure(host, CEPH)
    assert "file" not in refused.value.message


@pytest.mark.parametrize("call", CALLS)
def test_a_lost_connection_is_no_sign_of_the_cluster(call: Callable[[Clusters, FakeHost, PoolSpec], object]) -> None:
    host = FakeHost(trouble=libvirt_error(libvirt.VIR_ERR_RPC, "end of file"), alive=False)
    with pytest.raises(libvirt.libvirtError):
        call(clusters(host), host, CEPH)


@pytest.mark.parametrize("call", CALLS)
def test_images_that_libvirt_may_have_left_out_are_not_taken_for_gone(
    call: Callable[[Clusters, FakeHost, PoolSpec], object],
) -> None:
    """It leaves out those whose OSD gave no answer in time."""
    host = FakeHost(seconds=PATIENCE)
    with pytest.raises(StorageUnavailable, match="all its images"):
        call(clusters(host), host, CEPH)
    assert (host.images, host.opened) == ({}, [])


def test_what_a_call_left_is_taken_away_and_what_is_somebody_s_is_not() -> None:
    host = FakeHost()
    host.opened.append(FakeOpened(host, "<pool type='rbd'><name>vireo-ceph</name></pool>"))
    clusters(host).contents(host, CEPH)
    assert host.opened == []
    for theirs in (
        FakeOpened(host, "<pool type='dir'><name>vireo-ceph</name></pool>"),
        FakeOpened(host, "<pool type='rbd'><name>vireo-ceph</name></pool>", persistent=True),
    ):
        host.opened = [theirs]
        with pytest.raises(InvalidSpec, match="something else"):
            clusters(host).contents(host, CEPH)
        assert host.opened == [theirs]


@pytest.mark.parametrize(
    "bad",
    [
        {"monitors": ()},
        {"monitors": ("a b",)},
        {"monitors": ("x'/>",)},
        {"monitors": ("m:",)},
        {"pool": "a/b"},
        {"user": "x:key=y"},
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_hostile_text_goes_nowhere(call: Callable[[Clusters, FakeHost, PoolSpec], object], bad: dict[str, Any]) -> None:
    host = FakeHost()
    with pytest.raises(InvalidSpec):
        call(clusters(host), host, replace(CEPH, rbd=replace(VMS, key=KEY, **bad)))
    assert (host.asked, host.secrets) == ([], [])


class FakeSession:
    """Runs at once."""

    def __init__(self, host: FakeHost) -> None:
        self.timeouts = Timeouts()
        self.roles: list[Role] = []
        self._host = host

    def run(self, role: Role, _action: str, function: Callable[[Any], Any]) -> Any:
        self.roles.append(role)
        return function(self._host)


def test_a_vm_s_volumes_are_looked_for_on_a_connection_of_their_own() -> None:
    host = FakeHost()
    host.put(f"vireo-vol-{ONE}")
    session = FakeSession(host)
    targets = Targets(session, HOST, clusters(host))  # type: ignore[arg-type]
    has = VolumeAttachment("data", ONE, CEPH)
    local = VolumeAttachment("other", TWO, PoolSpec("local", "/srv"))
    assert targets.find([local, has]) == {ONE: (RBDImage(VMS, f"vireo-vol-{ONE}", names.secret("ceph")), MIB)}
    assert session.roles == [Role.STORAGE]
    with pytest.raises(InvalidSpec):
        targets.find([replace(has, lun=1)])
