"""Pools that a KVM host lets go: ours, that nobody uses; what is in them and what others defined stays."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Conflict
from drivers.kvm.connection import KVMDriver
from drivers.types import Endpoint, HostID, PoolSpec
from tests.contract.kvm_binding import PATIENT, one_host
from tests.lab.host import Host

pytestmark = pytest.mark.lab

H1 = HostID("h1")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as host:
        yield host


@pytest.fixture(scope="module")
def first(host: Host) -> Iterator[Connection]:
    with closing(KVMDriver(PATIENT).connect(Endpoint(host.uri))) as connection:
        yield connection


@pytest.fixture
def admin(host: Host) -> Iterator[libvirt.virConnect]:
    """Somebody else's connection."""
    with closing(libvirt.open(host.uri)) as connection:
        yield connection


def pool_names(admin: libvirt.virConnect) -> set[str]:
    return {pool.name() for pool in admin.listAllStoragePools()}


def test_somebody_elses_pool_is_not_let_go(host: Host, first: Connection, admin: libvirt.virConnect) -> None:
    """Neither one that we only used, nor one that has a name like ours."""
    path = host.local / "lent"
    text = "<pool type='dir'><name>{}</name><target><path>{}</path></target></pool>"
    theirs = [admin.storagePoolDefineXML(text.format(name, path / name)) for name in ("lent", "vireo-lent")]
    for each in theirs:
        (path / each.name()).mkdir(parents=True)
        each.create()
        each.setAutostart(1)
        pool = PoolSpec("lent", str(path / each.name()))
        first.storage.ensure_pool(H1, replace(pool, name="ours"))
        assert str(path / each.name()) not in {known.path for known in first.storage.list_pools(H1)}
        for name in ("ours", "lent"):
            first.storage.release_pool(H1, replace(pool, name=name))
    assert [(each.isActive(), each.autostart()) for each in theirs] == [(1, 1), (1, 1)]
    for each in theirs:
        each.destroy()
        each.undefine()


def test_a_pool_that_is_let_go_is_not_there_after_a_restart_and_its_files_are(
    host: Host, first: Connection, admin: libvirt.virConnect
) -> None:
    path = host.local / "gone"
    pool = PoolSpec("gone", str(path))
    first.storage.ensure_pool(H1, pool)
    (path / "a-file").write_text("kept")
    admin.storagePoolLookupByName("vireo-gone").destroy()
    first.storage.release_pool(H1, replace(pool, name="another-name-for-it"))
    assert "vireo-gone" not in pool_names(admin)
    assert [(entry.name, entry.read_text()) for entry in path.iterdir()] == [("a-file", "kept")]


OF_SOMEBODY = """
<domain type='qemu'><name>theirs</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='{kind}' device='disk'>{source}
<target dev='hda' bus='ide'/></disk></devices></domain>"""


@pytest.mark.parametrize("kind", ["file", "volume"])
def test_a_vm_of_somebody_else_keeps_it_too(host: Host, first: Connection, admin: libvirt.virConnect, kind: str) -> None:
    pool = PoolSpec(f"used-{kind}", str(host.local / f"used-{kind}"))
    first.storage.ensure_pool(H1, pool)
    sources = {"file": f"<source file='{pool.path}/x.raw'/>", "volume": f"<source pool='vireo-{pool.name}' volume='x.raw'/>"}
    theirs = admin.defineXML(OF_SOMEBODY.format(kind=kind, source=sources[kind]))
    with pytest.raises(Conflict, match="theirs"):
        first.storage.release_pool(H1, pool)
    assert admin.storagePoolLookupByName(f"vireo-{pool.name}").isActive()
    theirs.undefine()
    first.storage.release_pool(H1, pool)
    assert f"vireo-{pool.name}" not in pool_names(admin)
