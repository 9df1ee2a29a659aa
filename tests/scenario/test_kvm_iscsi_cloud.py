"""A pool of LUNs with a controller and a real host: what one guest writes to a LUN the next one finds, and it outlives both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.live import manifests as make

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab import iscsi  # noqa: E402
from tests.lab.guest import image  # noqa: E402
from tests.scenario.kvmguests import PATIENCE, Guests, guests  # noqa: E402

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(iscsi.missing() is not None, reason=iscsi.missing() or ""),
]

MIB = 1 << 20
LUN, SIZE = 1, 16 * MIB
WORD = "first"
MOUNT = [{"name": "data", "volume": "archive"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """The VM `web` runs, without a volume."""
    with guests(tmp_path_factory.mktemp("san"), "root") as world:
        world.template("guest", image())
        world.cloud.api.apply(make.offering("one", 1, "112Mi"), vm(world, "web"))
        world.current("web")
        yield world


@pytest.fixture(scope="module")
def server(world: Guests) -> iscsi.Server:
    """It has one LUN, of the pool `san`."""
    made = iscsi.Server(world.site.lab.layout)
    made.start()
    made.add(LUN, SIZE)
    target = {"server": iscsi.ADDRESS, "port": iscsi.PORT, "target": iscsi.TARGET}
    world.cloud.api.apply(make.manifest("StoragePool", "san", zone="z", scope="Zone", type="ISCSI", iscsi=target))
    world.current("san", kind="StoragePool")
    return made


def vm(world: Guests, name: str, **spec: Any) -> make.Manifest:
    return make.vm(name, offering="one", template={"name": "guest"}, sshKeys=[world.public_key], **spec)


def get(world: Guests, kind: str, name: str) -> Any:
    found = world.cloud.api.get(kind, name)
    assert found, f"there is no {kind} {name}"
    return found


def volumes(world: Guests, name: str) -> set[str]:
    """Identities of the volumes that the domain of a VM has, by its host."""
    machines = dict(world.site.machines())
    return set(machines[world.status(name)["instanceID"]].volumes)


def gone(world: Guests, kind: str, name: str) -> None:
    world.cloud.until(lambda: world.cloud.api.get(kind, name) is None, f"{kind} {name} is gone", PATIENCE)


def test_the_pool_has_the_target_s_luns_and_no_room(world: Guests, server: iscsi.Server) -> None:
    status = get(world, "StoragePool", "san")["status"]
    assert (status["state"], status["hostsMounted"]) == ("Up", 1)
    assert (status["capacity"]["total"], status["capacity"]["available"]) == ("16Mi", "0")


def test_a_lun_comes_to_a_guest_that_runs_and_has_what_it_writes(world: Guests, server: iscsi.Server) -> None:
    boot = world.boot("web")
    world.cloud.api.apply(make.manifest("Volume", "archive", zone="z", pool="san", lun=LUN, size="16Mi"))
    world.change("web", volumes=MOUNT)
    device = world.disk("web", "archive")
    assert world.run("web", f"cat /sys/block/{device}/size") == str(SIZE // 512)
    world.run("web", f"printf {WORD} | dd of=/dev/{device} conv=notrunc 2>/dev/null; sync")
    assert server.file(LUN).read_bytes()[: len(WORD)] == WORD.encode(), "raw, as the guest wrote it"
    volume = get(world, "Volume", "archive")["status"]
    assert (volume["size"], volume["pool"], volume["attachedTo"]["virtualMachine"]) == ("16Mi", "san", "web")
    assert (volumes(world, "web"), world.boot("web")) == ({volume["volumeID"]}, boot)


def test_the_next_vm_has_it_from_its_first_start(world: Guests, server: iscsi.Server) -> None:
    device = world.disk("web", "archive")
    world.change("web", volumes=[])
    world.cloud.until(lambda: world.run("web", f"test -e /dev/{device} || echo gone"), "the guest has let go of it", PATIENCE)
    assert volumes(world, "web") == set()
    world.cloud.api.apply(vm(world, "db", volumes=MOUNT))
    world.current("db")
    assert world.run("db", f"head -c {len(WORD)} /dev/{world.disk('db', 'archive')}") == WORD
    assert volumes(world, "db") == {get(world, "Volume", "archive")["status"]["volumeID"]}


def test_the_pool_goes_when_nobody_has_a_lun_of_it_and_all_is_kept(world: Guests, server: iscsi.Server) -> None:
    """First the VM, then the Volume, which are asked to go in the other order."""
    for kind, name in (("StoragePool", "san"), ("Volume", "archive")):
        world.cloud.api.delete(kind, name)
    blocked = world.cloud.await_reason("StoragePool", "san", "InUse", "archive", type="InUse")
    assert blocked["metadata"]["deletionTimestamp"]
    world.cloud.await_reason("Volume", "archive", "InUse", "db", type="DeletionBlocked")
    assert world.run("db", f"head -c {len(WORD)} /dev/{world.disk('db', 'archive')}") == WORD
    world.cloud.api.delete("VirtualMachine", "db")
    for kind, name in (("VirtualMachine", "db"), ("Volume", "archive"), ("StoragePool", "san")):
        gone(world, kind, name)
    assert server.file(LUN).read_bytes()[: len(WORD)] == WORD.encode()
    with closing(libvirt.open(world.site.hosts[0].uri)) as admin:
        assert [pool.name() for pool in admin.listAllStoragePools() if "san" in pool.name()] == []
        assert iscsi.TARGET not in "".join(each.XMLDesc() for each in admin.listAllDomains())
