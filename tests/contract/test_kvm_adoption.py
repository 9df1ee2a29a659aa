"""Taking over domains that somebody else defined with virsh, on a real libvirt host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from drivers.adoption import Adoption
from drivers.base import Connection
from drivers.errors import Conflict
from drivers.kvm.mark import NAMESPACE
from drivers.types import InstanceID, Owner
from tests.contract.kvm_binding import KVMBinding, empty_image, one_host
from tests.contract.suite import Adopting
from tests.contract.suite.adopting import MAC, OTHER_MAC, SIZE
from tests.lab.shell import run

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, empty_image(tmp_path_factory.mktemp("image")))


class TestKVM(Adopting):
    """The part of the contract, and what only libvirt has."""

    @pytest.fixture
    def old(self, binding: KVMBinding) -> Iterator[InstanceID]:
        instance = InstanceID(str(uuid.uuid4()))
        binding.make_unmanaged_vm(instance, MAC, OTHER_MAC, SIZE)
        yield instance
        binding.remove_unmanaged_vm(instance)

    def test_the_process_lives_on_and_others_metadata_stays(
        self, binding: KVMBinding, connection: Connection, old: InstanceID
    ) -> None:
        before = self._process(binding, old)
        found = self.look(connection, old)
        self.adopt(binding, connection, found)
        assert self._process(binding, old) == before
        with binding.admin() as admin:
            domain = admin.lookupByUUIDString(old)
            for flags in (libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG):
                assert "uid-1" in domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, flags)
                note = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "https://example.org/shop", flags)
                assert "do not touch" in note
        self.disown(binding, connection, found)
        assert self._process(binding, old) == before

    def test_the_empty_drive_is_noted_and_no_device_of_a_stranger(
        self, binding: KVMBinding, connection: Connection, old: InstanceID
    ) -> None:
        found = self.look(connection, old)
        assert [(disk.device, disk.exclusive) for disk in found.disks] == [("sda", True), ("sdb", True), ("hdc", False)]
        self.adopt(binding, connection, found)
        seen = connection.compute.observe(binding.host, old)
        assert sorted(disk.name for disk in seen.disks) == ["hdc", "root", "sdb"]
        assert seen.foreign_devices == (OTHER_MAC,)

    def test_a_transient_domain_is_refused(self, binding: KVMBinding, connection: Connection) -> None:
        instance = InstanceID(str(uuid.uuid4()))
        with binding.admin() as admin:
            admin.createXML(
                f"<domain type='qemu'><name>transient</name><uuid>{instance}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
                "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
            )
            try:
                with pytest.raises(Conflict, match="transient"):
                    connection.adoption.adopt(binding.host, instance, Adoption(Owner("uid-1", "shop", "web")))
                assert self.look(connection, instance).owner is None
            finally:
                admin.lookupByUUIDString(instance).destroy()

    def test_a_disk_that_another_is_layered_on_keeps_the_vm(
        self, binding: KVMBinding, connection: Connection, old: InstanceID
    ) -> None:
        found = self.look(connection, old)
        self.adopt(binding, connection, found)
        before = binding.essence(old)
        overlay = Path(binding.pool.path) / "overlay.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", found.disks[0].path, "-F", "raw", str(overlay))
        try:
            with pytest.raises(Conflict, match=overlay.name):
                connection.compute.delete(binding.host, old, [binding.pool])
            assert binding.essence(old) == before
        finally:
            overlay.unlink()

    def _process(self, binding: KVMBinding, instance: InstanceID) -> tuple[int, str]:
        """Number and start time of its QEMU."""
        [number] = [
            int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if f"uuid\0{instance}".encode() in _content(path)
        ]
        return number, Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
