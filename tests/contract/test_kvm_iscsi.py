"""LUNs on real libvirt hosts: tgtd serves them, QEMU logs in by itself."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Busy, Conflict, StorageUnavailable, Transient, Unsupported
from drivers.kvm.connection import KVMDriver
from drivers.kvm.host import profile
from drivers.kvm.store import targets
from drivers.types import (
    AttachVolume,
    DesiredVM,
    DetachVolume,
    Endpoint,
    HostID,
    ImageFile,
    ISCSITarget,
    ObservedLUN,
    PoolSpec,
    VolumeID,
)
from tests.contract.kvm_binding import MIB, PATIENT, KVMBinding, bootable_image, empty_image, making, stocked
from tests.contract.suite import LUNs
from tests.contract.suite.luns import FIRST, SECOND, SIZE, attachment
from tests.contract.suite.tools import Maker, eventually
from tests.lab import Lab, iscsi
from tests.lab.guests import execute, wait_for_agent
from tests.lab.host import Host

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(iscsi.missing() is not None, reason=iscsi.missing() or ""),
]

SAN = PoolSpec("san", "", shared=True, iscsi=ISCSITarget(iscsi.ADDRESS, iscsi.TARGET, iscsi.PORT))
FOREIGN = """
<domain type='qemu'><name>thief</name><uuid>{uuid}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='network' device='disk'><source protocol='iscsi' name='{target}/1'><host name='elsewhere.example.org'/></source>
<target dev='vda' bus='virtio'/></disk></devices></domain>"""


class SANBinding(KVMBinding):
    """A host beside an iSCSI server."""

    san = SAN

    def __init__(self, host: Host, server: iscsi.Server, image: ImageFile, memory: int = 16 * MIB) -> None:
        super().__init__(host, image, memory)
        self._server = server

    def have_lun(self, number: int, size: int) -> None:
        if number not in self._server.luns:
            self._server.add(number, size)


@pytest.fixture(autouse=True)
def _a_slow_answer_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores carry the hosts, their guests and the server."""
    monkeypatch.setattr(targets, "PATIENCE", 60.0)


@pytest.fixture(scope="module")
def server(lab: Lab) -> iscsi.Server:
    made = iscsi.Server(lab.layout)
    made.start()
    for number, size in ((FIRST, SIZE), (SECOND, 2 * SIZE)):
        made.add(number, size)
    return made


@pytest.fixture(scope="module")
def binding(lab: Lab, server: iscsi.Server, tmp_path_factory: pytest.TempPathFactory) -> SANBinding:
    return SANBinding(lab.host("h1"), server, empty_image(tmp_path_factory.mktemp("image")))


class TestLUNs(LUNs):
    """What every driver must do."""


def test_nothing_stays_on_the_host(binding: SANBinding, connection: Connection, make: Maker) -> None:
    """A pool that libvirt kept would be asked for by whoever lists pools, also while the server is silent."""
    connection.storage.ensure_pool(binding.host, SAN)
    with binding.admin() as admin:
        assert not [pool.name() for pool in admin.listAllStoragePools() if pool.name() in ("san", "vireo-san")]


def test_somebody_s_own_pool_of_the_target_is_read_and_left(binding: SANBinding, connection: Connection, make: Maker) -> None:
    text = f"""<pool type='iscsi-direct'><name>theirs</name><source><host name='{iscsi.ADDRESS}' port='{iscsi.PORT}'/>
        <device path='{iscsi.TARGET}'/><initiator><iqn name='iqn.2026-01.org.example:them'/></initiator></source></pool>"""
    with binding.admin() as admin:
        theirs = admin.storagePoolDefineXML(text)
        with pytest.raises(StorageUnavailable, match="theirs"):
            connection.volumes.contents(binding.host, SAN)
        theirs.create()
        assert len(connection.volumes.contents(binding.host, SAN).luns) == 2
        assert theirs.isActive()
        theirs.destroy()
        theirs.undefine()


def test_a_look_that_was_cut_short_leaves_nothing(binding: SANBinding, connection: Connection, make: Maker) -> None:
    """The pool of another controller's look, which died in it, is used once more and goes."""
    text = f"""<pool type='iscsi-direct'><name>vireo-san</name><source><host name='{iscsi.ADDRESS}' port='{iscsi.PORT}'/>
        <device path='{iscsi.TARGET}'/><initiator><iqn name='iqn.2026-01.org.example:them'/></initiator></source></pool>"""
    with binding.admin() as admin:
        admin.storagePoolCreateXML(text)
        assert len(connection.volumes.contents(binding.host, SAN).luns) == 2
        assert "vireo-san" not in {pool.name() for pool in admin.listAllStoragePools()}


def test_a_vm_of_somebody_else_keeps_its_lun(binding: SANBinding, make: Maker) -> None:
    """Whatever way it takes to the target, and without a mark or a serial number of ours."""
    vm = make.created()
    with binding.admin() as admin:
        thief = admin.defineXML(FOREIGN.format(uuid=uuid.uuid4(), target=iscsi.TARGET))
        with pytest.raises(Conflict):
            make.apply(vm, AttachVolume(attachment(SAN)))
        thief.undefine()
    make.apply(vm, AttachVolume(attachment(SAN)))


@dataclass(frozen=True)
class Guest:
    """A guest that runs."""

    vm: DesiredVM
    domain: libvirt.virDomain

    def run(self, script: str) -> str:
        return execute(self.domain, script).strip()

    def device(self, volume: VolumeID) -> str:
        """Found as users find it: by its serial number."""
        script = f"""for disk in /sys/block/sd*; do
            grep -qa {volume} $disk/device/vpd_pg80 2>/dev/null && echo /dev/${{disk##*/}}; done; true"""
        return eventually(lambda: self.run(script))

    def write(self, volume: VolumeID, text: str) -> None:
        self.run(f"printf {text} | dd of={self.device(volume)} conv=notrunc 2>/dev/null; sync")

    def read(self, volume: VolumeID) -> str:
        return self.run(f"echo 3 > /proc/sys/vm/drop_caches; head -c 5 {self.device(volume)}")

    def sectors(self, volume: VolumeID) -> int:
        return int(self.run(f"cat /sys/block/{self.device(volume)[5:]}/size"))


@contextmanager
def booted(host: Host, server: iscsi.Server) -> Iterator[tuple[Maker, Guest]]:
    """A real guest on a host, without a volume yet."""
    binding = SANBinding(host, server, bootable_image(), memory=96 * MIB)
    binding.pool = PoolSpec("guests", str(host.local / "pools" / "guests"))
    with stocked(binding) as connection, making(binding, connection) as make, binding.admin() as admin:
        vm = make.running()
        domain = admin.lookupByUUIDString(vm.instance)
        wait_for_agent(domain)
        yield make, Guest(vm, domain)


def test_data_goes_with_the_lun_from_host_to_host(lab: Lab, server: iscsi.Server) -> None:
    """It comes while the guest runs; its server is lost and back, and it has grown, while the guest writes."""
    has = attachment(SAN)
    with booted(lab.host("h1"), server) as (make, guest):
        make.apply(guest.vm, AttachVolume(has))
        guest.write(has.volume, "first")
        assert server.file(FIRST).read_bytes()[:5] == b"first", "raw, as the guest wrote it"
        server.stop()
        with pytest.raises(StorageUnavailable):
            make.connection.storage.ensure_pool(make.binding.host, SAN)
        assert make.connection.storage.ensure_pool(make.binding.host, make.binding.pool).capacity, "other pools go on"
        server.grow(FIRST, 2 * SIZE)
        server.start()
        guest.write(has.volume, "later")
        make.connection.volumes.grow_volume(make.binding.host, SAN, has.volume, 2 * SIZE)
        eventually(lambda: guest.sectors(has.volume), lambda seen: seen == 2 * SIZE // 512)
        assert make.observe(guest.vm).volumes[0].size == 2 * SIZE
        device = guest.device(has.volume)
        make.apply(guest.vm, DetachVolume(has.volume))
        eventually(lambda: guest.run(f"test -e {device} && echo there || echo gone"), lambda seen: seen == "gone")
    with booted(lab.host("h2"), server) as (make, guest):
        make.apply(guest.vm, AttachVolume(has))
        assert guest.read(has.volume) == "later"


def test_a_server_that_gives_no_answer_holds_up_nothing_else(
    binding: SANBinding, connection: Connection, server: iscsi.Server, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets to it vanish: one call waits in libvirtd, and all else goes on."""
    monkeypatch.setattr(targets, "PATIENCE", 15.0)
    vm = make.created()
    server.cut()
    try:
        for _ in range(2):
            with pytest.raises((StorageUnavailable, Busy)):
                connection.storage.ensure_pool(binding.host, SAN)
        with pytest.raises((StorageUnavailable, Busy)):
            make.apply(vm, AttachVolume(attachment(SAN)))
        assert connection.storage.ensure_pool(binding.host, binding.pool).capacity
        make.start(vm)
        assert make.observe(vm).volumes == ()
        with binding.admin() as admin:
            assert [pool.name() for pool in admin.listAllStoragePools()] != []
    finally:
        server.mend()
    eventually(lambda: _luns(connection, binding.host), lambda seen: len(seen) == 2)


def _luns(connection: Connection, host: HostID) -> tuple[ObservedLUN, ...]:
    with suppress(Transient, Busy):
        return connection.volumes.contents(host, SAN).luns
    return ()


def test_a_host_that_lacks_the_backend_says_so(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> None:
    """As libvirt's own list of storage backends has it."""
    monkeypatch.setattr(profile, "pools", lambda _: frozenset({"dir"}))
    with closing(KVMDriver(PATIENT).connect(Endpoint(lab.host("h2").uri))) as connection:
        [host] = connection.hosts.list_hosts()
        assert host.guests is not None
        assert any("iscsi-direct" in lack for lack in host.guests.lacks)
        with pytest.raises(Unsupported, match="iscsi-direct"):
            connection.storage.ensure_pool(HostID("h2"), SAN)
