"""How libvirt is asked for LUNs: what is said to it, what its answers mean, and that nothing stays."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec, NotFound, StorageUnavailable, Unanswered, Unsupported
from drivers.kvm.domain.volumes import LUN
from drivers.kvm.link.session import Role, Timeouts
from drivers.kvm.names import initiator
from drivers.kvm.store import luns
from drivers.kvm.store.rbd import Clusters
from drivers.kvm.store.targets import PATIENCE, Targets
from drivers.types import ISCSITarget, ObservedLUN, PoolSpec, VolumeAttachment, VolumeID
from tests.unit.kvm.fakes import HOST, libvirt_error

TARGET = ISCSITarget("san.example.org", "iqn.2026-01.org.example:data", 3261)
SAN = PoolSpec("san", "", shared=True, iscsi=TARGET)
ME = initiator(HOST.uuid)
ONE = VolumeID("11111111-1111-4111-8111-111111111111")


@dataclass
class FakeVolume:
    title: str
    capacity: int

    def name(self) -> str:
        return self.title

    def info(self) -> tuple[int, int, int]:
        return 2, self.capacity, self.capacity


@dataclass
class FakeListing:
    """A pool of LUNs. `calls` is what was done to it."""

    owner: FakeLibvirt
    document: str
    persistent: bool = False
    active: bool = True
    calls: list[str] = field(default_factory=list)

    def XMLDesc(self, _flags: int) -> str:
        return self.document

    def name(self) -> str:
        return ET.fromstring(self.document).findtext("name", "")

    def isPersistent(self) -> int:
        return int(self.persistent)

    def isActive(self) -> int:
        return int(self.active)

    def refresh(self, _flags: int) -> None:
        self.calls.append("refresh")

    def destroy(self) -> None:
        self.calls.append("destroy")
        self.owner.pools.remove(self)

    def listAllVolumes(self, _flags: int) -> list[FakeVolume]:
        return self.owner.volumes


@dataclass
class FakeLibvirt:
    """A host with a way to a server that offers `offered`."""

    volumes: list[FakeVolume] = field(default_factory=list)
    offered: tuple[str, ...] = (TARGET.name,)
    pools: list[FakeListing] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    trouble: Exception | None = None

    def findStoragePoolSources(self, kind: str, source: str, _flags: int) -> str:
        assert kind == "iscsi-direct"
        self.asked.append(source)
        if self.trouble is not None:
            raise self.trouble
        found = "".join(f"<source><host name='x'/><device path='{name}'/></source>" for name in self.offered)
        return f"<sources>{found}</sources>"

    def listAllStoragePools(self, flags: int) -> list[FakeListing]:
        assert flags == libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT
        return self.pools

    def storagePoolCreateXML(self, document: str, _flags: int) -> FakeListing:
        self.asked.append(document)
        self.pools.append(FakeListing(self, document))
        return self.pools[-1]

    def getLibVersion(self) -> int:
        return 9_000_000


def theirs(host: FakeLibvirt, port: str = "port='3261'", **state: bool) -> FakeListing:
    text = f"""<pool type='iscsi-direct'><name>theirs</name><source><host name='{TARGET.server}' {port}/>
        <device path='{TARGET.name}'/></source></pool>"""
    host.pools.append(FakeListing(host, text, **state))
    return host.pools[-1]


def test_what_is_asked_and_what_is_left() -> None:
    host = FakeLibvirt([FakeVolume("unit:0:0:2", (2 << 20) - 512), FakeVolume("unit:0:0:1", (1 << 20) - 512), FakeVolume("x", 1)])
    assert luns.read(host, SAN, TARGET, ME) == (ObservedLUN(1, 1 << 20), ObservedLUN(2, 2 << 20))
    found, pool = (ET.fromstring(text) for text in host.asked)
    for source in (found, pool.find("source")):
        assert source is not None
        [server] = source.iterfind("host")
        assert server.attrib == {"name": "san.example.org", "port": "3261"}
        assert [device.get("path") for device in source.iterfind("device")] == [TARGET.name]
        assert [name.get("name") for name in source.iterfind("initiator/iqn")] == [ME]
    assert (pool.get("type"), pool.findtext("name")) == ("iscsi-direct", "vireo-san")
    assert host.pools == []


@pytest.mark.parametrize("port", ["port='3261'", ""])
def test_somebody_s_pool_is_used_and_left(port: str) -> None:
    """libvirt refuses a second one of the same target. One on another port is of another."""
    host = FakeLibvirt([FakeVolume("unit:0:0:1", 4096)])
    pool = theirs(host, port, persistent=True)
    assert len(luns.read(host, SAN, TARGET, ME)) == 1
    assert (pool.calls, pool in host.pools) == (["refresh"] if port else [], True)


def test_a_pool_that_was_left_is_used_once_more() -> None:
    host = FakeLibvirt()
    pool = theirs(host)
    luns.read(host, SAN, TARGET, ME)
    assert (pool.calls, host.pools) == (["refresh", "destroy"], [])


def test_a_stopped_pool_of_somebody_is_named() -> None:
    host = FakeLibvirt()
    theirs(host, persistent=True, active=False)
    with pytest.raises(StorageUnavailable, match="theirs"):
        luns.read(host, SAN, TARGET, ME)


def test_a_listing_that_fails_is_taken_away() -> None:
    host = FakeLibvirt([FakeVolume("unit:0:0:1", 1)])
    host.volumes[0].info = lambda: (_ for _ in ()).throw(libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "lost"))  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable, match="lost"):
        luns.read(host, SAN, TARGET, ME)
    assert host.pools == []


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (
            libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "missing backend for pool type 12 (iscsi-direct)"),
            Unsupported,
            "iscsi-direct",
        ),
        (libvirt_error(libvirt.VIR_ERR_NO_SUPPORT, "not supported"), Unsupported, "iscsi-direct"),
        (libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "Failed to connect: refused"), StorageUnavailable, "refused"),
    ],
)
def test_what_libvirt_says_and_what_it_means(trouble: Exception, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        luns.read(FakeLibvirt(trouble=trouble), SAN, TARGET, ME)


def test_a_target_that_is_not_offered_is_not_asked_for() -> None:
    host = FakeLibvirt(offered=("iqn.2026-01.org.example:other",))
    with pytest.raises(StorageUnavailable, match=r"no target iqn\.2026-01\.org\.example:data"):
        luns.read(host, SAN, TARGET, ME)
    assert len(host.asked) == 1, "no pool was made"


@pytest.mark.parametrize("bad", [{"server": "a b"}, {"server": "x'/>"}, {"name": "iqn"}, {"name": f"{TARGET.name}/1"}, {"port": 0}])
def test_hostile_text_goes_nowhere(bad: dict[str, Any]) -> None:
    host = FakeLibvirt()
    with pytest.raises(InvalidSpec):
        luns.read(host, SAN, replace(TARGET, **bad), ME)
    assert host.asked == []


@given(st.integers(1, 1 << 24), st.sampled_from([(512, 4096), (4096, 1 << 20)]))
def test_the_block_that_libvirt_leaves_out_counts(pieces: int, unit: tuple[int, int]) -> None:
    block, piece = unit
    assert luns.whole(pieces * piece - block) == pieces * piece


@given(st.integers(1, 1 << 30))
def test_a_size_that_is_whole_stays(pieces: int) -> None:
    """A libvirt that counts all blocks."""
    size = pieces * 4096
    assert luns.whole(size) == size or (size + 4096) % (1 << 20) == 0


class FakeSession:
    """Runs at once; `silent` roles get no answer."""

    def __init__(self, host: FakeLibvirt, *silent: Role) -> None:
        self.timeouts = Timeouts()
        self.calls: list[tuple[Role, float | None]] = []
        self._host = host
        self._silent = silent

    def run(self, role: Role, _action: str, function: Callable[[Any], Any], *, limit: float | None = None) -> Any:
        self.calls.append((role, limit))
        if role in self._silent:
            raise Unanswered("nothing was heard")
        return function(self._host)


def targets(session: FakeSession, *, iscsi: bool = True) -> Targets:
    return Targets(session, replace(HOST, iscsi=iscsi), Clusters(1.0))  # type: ignore[arg-type]


def test_a_silent_server_is_not_a_silent_host() -> None:
    session = FakeSession(FakeLibvirt(), Role.STORAGE)
    with pytest.raises(StorageUnavailable, match="did not answer the host"):
        targets(session).read(SAN)
    assert session.calls == [(Role.STORAGE, PATIENCE), (Role.STATE, None)]
    with pytest.raises(Unanswered):
        targets(FakeSession(FakeLibvirt(), Role.STORAGE, Role.STATE)).read(SAN)


def test_a_host_without_the_backend_is_not_asked() -> None:
    session = FakeSession(FakeLibvirt())
    with pytest.raises(Unsupported):
        targets(session, iscsi=False).read(SAN)
    assert session.calls == []


def test_volumes_that_are_luns_are_found_and_others_left_out() -> None:
    host = FakeLibvirt([FakeVolume("unit:0:0:1", (1 << 20) - 512)])
    local = VolumeAttachment("other", VolumeID("22222222-2222-4222-8222-222222222222"), PoolSpec("local", "/srv"))
    has = VolumeAttachment("data", ONE, SAN, lun=1)
    assert targets(FakeSession(host)).find([local, has]) == {ONE: (LUN(TARGET, 1, ME), 1 << 20)}
    assert targets(FakeSession(host)).find([local]) == {}
    with pytest.raises(NotFound, match="no LUN 2"):
        targets(FakeSession(host)).find([replace(has, lun=2)])
    for broken in (replace(has, lun=None), replace(local, lun=1)):
        with pytest.raises(InvalidSpec):
            targets(FakeSession(host)).find([broken])
