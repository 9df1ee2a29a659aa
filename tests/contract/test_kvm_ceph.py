"""Volumes in a real Ceph cluster on real libvirt hosts: QEMU reaches the images by itself."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Busy, Conflict, DriverError, StorageUnavailable, Transient
from drivers.kvm.connection import KVMDriver
from drivers.kvm.names import secret
from drivers.types import AttachVolume, DesiredVM, DetachVolume, Endpoint, HostID, ImageFile, PoolSpec, RBDPool, VolumeID
from tests.contract.kvm_binding import MIB, PATIENT, KVMBinding, bootable_image, empty_image, making, stocked
from tests.contract.suite import CephVolumes
from tests.contract.suite.ceph import SIZE, Pool
from tests.contract.suite.tools import Maker, eventually
from tests.lab import Lab, ceph
from tests.lab.guests import execute, wait_for_agent
from tests.lab.host import Host

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(ceph.missing() is not None, reason=ceph.missing() or ""),
]


class CephHost(KVMBinding):
    """A host beside a Ceph cluster."""

    def __init__(self, host: Host, cluster: ceph.Cluster, image: ImageFile, memory: int = 16 * MIB) -> None:
        super().__init__(host, image, memory)
        self.ceph = spec(cluster)


def spec(cluster: ceph.Cluster, key: str | None = None, **rbd: str) -> PoolSpec:
    made = RBDPool((ceph.ADDRESS,), ceph.POOL, ceph.USER, cluster.key() if key is None else key)
    return PoolSpec("ceph", "", shared=True, rbd=replace(made, **rbd))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> ceph.Cluster:
    made = ceph.Cluster(lab.layout)
    made.start()
    return made


@pytest.fixture(scope="module")
def binding(lab: Lab, cluster: ceph.Cluster, tmp_path_factory: pytest.TempPathFactory) -> CephHost:
    return CephHost(lab.host("h1"), cluster, empty_image(tmp_path_factory.mktemp("image")))


class TestCephVolumes(CephVolumes):
    """What every driver must do."""


def test_nothing_stays_on_the_host_but_the_key_which_nobody_can_read(
    binding: CephHost, connection: Connection, cluster: ceph.Cluster, make: Maker
) -> None:
    """Other images of the pool are neither listed nor touched."""
    cluster.rbd("create", "theirs", "--size", "1M")
    pool = Pool(make, binding.ceph, [])
    connection.storage.ensure_pool(binding.host, binding.ceph)
    volume = pool.created()
    vm = make.created()
    make.apply(vm, AttachVolume(pool.attachment(volume)))
    with binding.admin() as admin:
        assert [each.name() for each in admin.listAllStoragePools() if "ceph" in each.name()] == []
        kept = admin.secretLookupByUUIDString(secret("ceph"))
        with pytest.raises(libvirt.libvirtError) as refused:
            kept.value(0)
        assert refused.value.get_error_code() == libvirt.VIR_ERR_INVALID_SECRET
        assert cluster.key() not in admin.lookupByUUIDString(vm.instance).XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE)
    assert cluster.rbd("ls").split() == ["theirs", f"vireo-vol-{volume}"]
    make.delete(vm)
    pool.delete(volume)
    assert cluster.rbd("ls").split() == ["theirs"]
    cluster.rbd("rm", "theirs", "--no-progress")


def test_an_image_that_somebody_has_open_stays(binding: CephHost, lab: Lab, connection: Connection, make: Maker) -> None:
    """Whatever Vireo knows: a QEMU on another host has it."""
    pool = Pool(make, binding.ceph, [])
    connection.storage.ensure_pool(binding.host, binding.ceph)
    volume = pool.created()
    other = CephHost.__new__(CephHost)
    other.__dict__.update(binding.__dict__)
    KVMBinding.__init__(other, lab.host("h2"), binding.image)
    with stocked(other) as there, making(other, there) as far:
        there.storage.ensure_pool(other.host, binding.ceph)
        vm = far.running()
        far.apply(vm, AttachVolume(pool.attachment(volume)))
        with pytest.raises((Transient, Conflict, Busy)):
            connection.volumes.delete_volume(binding.host, binding.ceph, volume)
        assert [each.volume for each in connection.volumes.contents(binding.host, binding.ceph).volumes] == [volume]
        far.delete(vm)
    eventually(lambda: _gone(pool, volume))


def _gone(pool: Pool, volume: VolumeID) -> bool:
    try:
        pool.delete(volume)
    except DriverError:
        return False
    return True


@dataclass(frozen=True)
class Guest:
    """A guest that runs."""

    vm: DesiredVM
    binding: CephHost

    def run(self, script: str) -> str:
        with self.binding.admin() as admin:
            domain = admin.lookupByUUIDString(self.vm.instance)
            wait_for_agent(domain)
            return execute(domain, script).strip()

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
def booted(host: Host, cluster: ceph.Cluster) -> Iterator[tuple[Maker, Guest]]:
    """A real guest on a host, without a volume yet."""
    binding = CephHost(host, cluster, bootable_image(), memory=96 * MIB)
    binding.pool = PoolSpec("guests", str(host.local / "pools" / "guests"))
    with stocked(binding) as connection, making(binding, connection) as make:
        connection.storage.ensure_pool(binding.host, binding.ceph)
        yield make, Guest(make.running(), binding)


def test_data_goes_with_the_volume_from_host_to_host(lab: Lab, cluster: ceph.Cluster) -> None:
    """It comes while the guest runs, grows under it, and goes on when the cluster is silent and libvirtd is killed meanwhile."""
    ceph_spec = spec(cluster)
    with booted(lab.host("h1"), cluster) as (make, guest):
        pool = Pool(make, ceph_spec, [])
        volume = pool.created()
        has = pool.attachment(volume)
        make.apply(guest.vm, AttachVolume(has))
        assert guest.run(f"head -c {SIZE} {guest.device(volume)} | tr -d '\\0' | wc -c") == "0", "empty"
        guest.write(volume, "first")
        pool.grow(volume, 2 * SIZE)
        eventually(lambda: guest.sectors(volume), lambda seen: seen == 2 * SIZE // 512)
        assert make.observe(guest.vm).volumes[0].size == 2 * SIZE
        device = guest.device(volume)
        cluster.hang("ceph-osd")
        guest.run(f"(printf later | dd of={device} conv=notrunc,fsync && touch /tmp/written) >/dev/null 2>&1 & true")
        lab.host("h1").daemon_kill()
        lab.host("h1").daemon_start()
        assert guest.run("test -e /tmp/written && echo yes || echo no") == "no"
        cluster.unhang("ceph-osd")
        eventually(lambda: guest.run("test -e /tmp/written && echo yes || echo no"), lambda seen: seen == "yes")
        make.connection.storage.ensure_pool(make.binding.host, ceph_spec)
        make.apply(guest.vm, DetachVolume(volume))
        eventually(lambda: guest.run(f"test -e {device} && echo there || echo gone"), lambda seen: seen == "gone")
    with booted(lab.host("h2"), cluster) as (make, guest):
        make.apply(guest.vm, AttachVolume(has))
        assert guest.read(volume) == "later"
        make.apply(guest.vm, DetachVolume(volume))
        Pool(make, ceph_spec, []).delete(volume)


@pytest.mark.parametrize("fault", ["cut", "monitor", "osd"])
def test_a_cluster_that_gives_no_answer_is_said_and_holds_up_nothing_else(
    binding: CephHost, connection: Connection, cluster: ceph.Cluster, make: Maker, fault: str
) -> None:
    """And its volumes are not taken for gone: libvirt leaves out those that it could not ask for."""
    pool = Pool(make, binding.ceph, [])
    connection.storage.ensure_pool(binding.host, binding.ceph)
    volume, vm = pool.created(), make.created()
    begin = {"cut": cluster.cut, "monitor": lambda: cluster.hang("ceph-mon"), "osd": lambda: cluster.hang("ceph-osd")}
    end = {"cut": cluster.mend, "monitor": lambda: cluster.unhang("ceph-mon"), "osd": lambda: cluster.unhang("ceph-osd")}
    begin[fault]()
    try:
        with pytest.raises(StorageUnavailable, match="not answer the host"):
            connection.volumes.contents(binding.host, binding.ceph)
        with pytest.raises(StorageUnavailable):
            make.apply(vm, AttachVolume(pool.attachment(volume)))
        assert connection.storage.ensure_pool(binding.host, binding.pool).capacity, "other pools go on"
        make.start(vm)
        assert make.observe(vm).volumes == ()
    finally:
        end[fault]()
    eventually(lambda: _there(connection, binding, volume))
    pool.delete(volume)


def _there(connection: Connection, binding: CephHost, volume: VolumeID) -> bool:
    try:
        return volume in {each.volume for each in connection.volumes.contents(binding.host, binding.ceph).volumes}
    except DriverError:
        return False


def test_what_ceph_refuses_is_said_without_the_key(lab: Lab, cluster: ceph.Cluster) -> None:
    """A wrong key, a user and a pool that are not there; then the right key again, as after a change of the Secret."""
    with closing(KVMDriver(PATIENT).connect(Endpoint(lab.host("h2").uri))) as connection:
        host = HostID("h2")
        for wrong, words in (
            (spec(cluster, key=ceph.other_key()), "the user vireo in, or not with that key"),
            (spec(cluster, user="nobody"), "the user nobody in"),
            (spec(cluster, pool="none"), "no pool none"),
        ):
            with pytest.raises(StorageUnavailable, match=words) as refused:
                connection.storage.ensure_pool(host, wrong)
            assert wrong.rbd is not None
            assert wrong.rbd.key not in refused.value.message
        assert connection.storage.ensure_pool(host, spec(cluster)).capacity > 0
        assert connection.storage.ensure_pool(host, spec(cluster, key="")).capacity > 0


def test_a_libvirtd_that_was_restarted_needs_the_key_again(lab: Lab, cluster: ceph.Cluster) -> None:
    """It was nowhere but in its memory."""
    host = lab.host("h2")
    with closing(KVMDriver(PATIENT).connect(Endpoint(host.uri))) as connection:
        connection.storage.ensure_pool(HostID("h2"), spec(cluster))
    host.daemon_kill()
    host.daemon_start()
    with closing(KVMDriver(PATIENT).connect(Endpoint(host.uri))) as connection:
        with pytest.raises(StorageUnavailable, match="key yet"):
            connection.storage.ensure_pool(HostID("h2"), spec(cluster, key=""))
        assert connection.storage.ensure_pool(HostID("h2"), spec(cluster)).capacity > 0
