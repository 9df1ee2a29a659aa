"""The KVM driver's counterpart: a libvirt host of the lab, and what an administrator does on it behind Vireo's back."""

from __future__ import annotations

import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt

from drivers.base import Connection, Driver
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link.session import Timeouts
from drivers.types import Attachment, Endpoint, HostID, ImageFile, InstanceID, NetworkBackend, PoolSpec, SnapshotID, VolumeID
from tests.contract.kvm_proxy import LossyProxy
from tests.contract.suite import Alteration
from tests.contract.suite.base import CleaningMaker
from tests.contract.suite.tools import Maker
from tests.lab import disposable
from tests.lab.guest.images import image
from tests.lab.host import Host
from tests.lab.shell import run

CONFIG, LIVE = libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE
MIB = 1 << 20
MARKER = 512
"""Bytes of a disk that hold what a test writes to it."""
PATIENT = Timeouts(connect=60.0, keepalive=5, keepalive_count=5, agent=30)
"""Two cores carry the hosts, their guests and whatever else is tested: a pause of seconds is no loss."""

FOREIGN = """
<domain type='qemu'><name>foreign-{instance}</name><uuid>{instance}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>"""


UNMANAGED = """
<domain type='qemu'><name>old-{instance}</name><uuid>{instance}</uuid><title>Old web server</title>
<metadata><shop:note xmlns:shop="https://example.org/shop">do not touch</shop:note></metadata>
<memory unit='KiB'>{kib}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><on_reboot>destroy</on_reboot>
<devices>
<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/><target dev='sda' bus='scsi'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{other}'/><target dev='sdb' bus='scsi'/></disk>
<interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/><virtualport type='openvswitch'/>
<vlan><tag id='10'/></vlan><model type='e1000'/></interface>
<interface type='bridge'><mac address='{other_mac}'/><source bridge='{bridge}'/><virtualport type='openvswitch'/></interface>
</devices></domain>"""
SHARING = """
<domain type='qemu'><name>sharing-{instance}</name><uuid>{instance}</uuid><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><source file='{disk}'/><target dev='hda' bus='ide'/></disk></devices></domain>"""
STRANGER = """
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{file}'/><target dev='sdq' bus='scsi'/></disk>"""
MARK = re.compile(r"\s*<vireo:vm\b[^>]*(?:/>|>.*?</vireo:vm>)", re.DOTALL)


def empty_image(directory: Path, size: int = 4 * MIB) -> ImageFile:
    """A template image without an operating system."""
    path = directory / "template.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", str(path), str(size))
    return ImageFile("template-sha256-0123.qcow2", str(path), size, path.stat().st_size)


def bootable_image() -> ImageFile:
    """The small guest that boots and has an agent, as a template image."""
    built = image()
    return ImageFile(f"guest-sha256-{built.sha256}.qcow2", str(built.path), built.virtual_size, built.path.stat().st_size)


def move(domain: Any, mac: str, change: Callable[[ET.Element], None]) -> None:
    """As `virsh update-device --config`, and `--live` if it runs: change the interface with that MAC address."""
    documents = [(libvirt.VIR_DOMAIN_XML_INACTIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG)]
    documents += [(0, libvirt.VIR_DOMAIN_AFFECT_LIVE)] if domain.isActive() else []
    for which, flag in documents:
        root = ET.fromstring(domain.XMLDesc(which))
        [item] = [each for each in root.iterfind("devices/interface") if each.find(f"mac[@address='{mac}']") is not None]
        change(item)
        domain.updateDeviceFlags(ET.tostring(item, encoding="unicode"), flag)


def _tag(item: ET.Element, vlan: int) -> None:
    tag = item.find("vlan/tag")
    assert tag is not None
    tag.set("id", str(vlan))


def _remove_nic(domain: Any, flags: int) -> None:
    item = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("devices/interface")
    assert item is not None
    domain.detachDeviceFlags(ET.tostring(item, encoding="unicode"), flags)


@contextmanager
def one_host() -> Iterator[Host]:
    """A lab of one host, gone afterwards."""
    with disposable() as lab:
        lab.up()
        yield lab.host("h1")


class KVMBinding:
    """One host of the lab; its own pool in a directory that is not there yet."""

    def __init__(self, host: Host, image: ImageFile, memory: int = 16 * MIB) -> None:
        self.driver: Driver = KVMDriver(PATIENT)
        self.lab_host = host
        self.url = host.uri
        self.endpoint = Endpoint(host.uri)
        self.host = HostID(host.name)
        self.pool = PoolSpec("contract", str(host.local / "pools" / "contract"))
        self.image = image
        self.attachment = Attachment(NetworkBackend.OVS, "ovsbr0")
        self.memory = memory
        self.told_of_running = (Alteration.ADDED_DEVICE,)
        self.bad_urls: Sequence[str] = (
            "qemu:///system",
            "qemu+tcp://127.0.0.1/system",
            "xen+tls://host/system",
            "qemu+tls://host/session",
        )
        self.dead = Endpoint(f"qemu+unix:///system?socket={host.local}/nobody")
        self.bad_pools: Sequence[str] = (str(host.local / "file"), "/proc/pool", "relative/pool", "/var/../etc/pool", "/dev/null")
        (host.local / "file").write_text("no directory")

    def connect(self, cloud: str = "") -> Connection:
        return self.driver.connect(replace(self.endpoint, cloud=cloud))

    def make_foreign_vm(self, instance: InstanceID) -> None:
        with self.admin() as admin:
            admin.defineXML(FOREIGN.format(instance=instance))

    def remove_foreign_vm(self, instance: InstanceID) -> None:
        with self.admin() as admin:
            admin.lookupByUUIDString(instance).undefine()

    def fingerprint(self, instance: InstanceID) -> object:
        """Both documents of the domain, its state, and every file of its disks."""
        with self.admin() as admin:
            try:
                domain = admin.lookupByUUIDString(instance)
            except libvirt.libvirtError:
                return None
            inactive = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
            files = [Path(item.get("file", "")) for item in ET.fromstring(inactive).iterfind("devices/disk/source")]
            sizes = [(file.name, file.stat().st_ino) for file in files]
            return inactive, domain.XMLDesc(0), domain.state(), sorted(sizes)

    def drop_definition(self, instance: InstanceID) -> None:
        with self.admin() as admin:
            domain = admin.lookupByUUIDString(instance)
            with suppress(libvirt.libvirtError):
                domain.destroy()
            domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)

    def _disks(self, instance: InstanceID) -> tuple[Path, Path]:
        """Of a VM that somebody else made: in the pool's directory, and elsewhere."""
        return Path(self.pool.path) / f"old-{instance}.img", self.lab_host.local / f"old-{instance}.img"

    def make_unmanaged_vm(self, instance: InstanceID, mac: str, other_mac: str, size: int) -> None:
        disk, other = self._disks(instance)
        for path in (disk, other):
            run("truncate", "-s", str(size), str(path))
        text = UNMANAGED.format(
            instance=instance,
            kib=self.memory >> 10,
            disk=disk,
            other=other,
            bridge=self.attachment.bridge,
            mac=mac,
            other_mac=other_mac,
        )
        with self.admin() as admin:
            admin.defineXML(text).create()

    def remove_unmanaged_vm(self, instance: InstanceID) -> None:
        with suppress(libvirt.libvirtError):
            self.drop_definition(instance)
        for path in self._disks(instance):
            path.unlink(missing_ok=True)

    def share_disk(self, path: str, instance: InstanceID) -> None:
        with self.admin() as admin:
            admin.defineXML(SHARING.format(instance=instance, disk=path))

    def essence(self, instance: InstanceID) -> object:
        """Both documents without our mark, and the number that libvirt gives to each start."""
        with self.admin() as admin:
            domain = admin.lookupByUUIDString(instance)
            texts = [domain.XMLDesc(flags) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE)]
            return domain.ID(), [MARK.sub("", text) for text in texts]

    def unmanaged_disks(self, instance: InstanceID) -> set[str]:
        return {str(path) for path in self._disks(instance) if path.exists()}

    def move_nic(self, instance: InstanceID, mac: str, vlan: int) -> None:
        with self.admin() as admin:
            move(admin.lookupByUUIDString(instance), mac, lambda item: _tag(item, vlan))

    def alter(self, instance: InstanceID, what: Alteration) -> None:
        """As `virsh setvcpus --config`, `setmem --config`, `attach-disk`, `detach-interface` and `update-device` do."""
        with self.admin() as admin:
            domain = admin.lookupByUUIDString(instance)
            both = CONFIG | (LIVE if domain.isActive() else 0)
            match what:
                case Alteration.CPUS:
                    domain.setVcpusFlags(1, CONFIG)
                case Alteration.MEMORY:
                    domain.setMemoryFlags(self.memory >> 10, CONFIG)
                case Alteration.ADDED_DEVICE:
                    file = self.lab_host.local / "stranger.img"
                    file.write_bytes(bytes(MIB))
                    domain.attachDeviceFlags(STRANGER.format(file=file), both)
                case Alteration.REMOVED_NIC:
                    _remove_nic(domain, both)
                case Alteration.MOVED_NIC:
                    item = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("devices/interface/mac")
                    assert item is not None
                    move(domain, item.get("address", ""), lambda nic: _tag(nic, 11))

    def cut_power(self, instance: InstanceID) -> None:
        with self.admin() as admin:
            admin.lookupByUUIDString(instance).destroy()

    def leftovers(self, identity: InstanceID | VolumeID | SnapshotID) -> set[str]:
        """Files of the pool's directory, snapshots in them, and definitions with that name, past libvirt's own idea of them."""
        directory = Path(self.pool.path)
        files = sorted(directory.iterdir()) if directory.is_dir() else []
        found = {path.name for path in files}
        for disk in (path for path in files if path.suffix == ".qcow2"):
            found |= {f"in {disk.name}: {line}" for line in run("qemu-img", "snapshot", "-U", "-l", str(disk)).splitlines()}
        found |= {path.name for path in self.lab_host.logs.iterdir() if path.name.startswith("vireo-")}
        with self.admin() as admin:
            for domain in admin.listAllDomains():
                found |= {f"domain {domain.UUIDString()}", *(f"snapshot {name}" for name in domain.snapshotListNames())}
        return {name for name in found if identity in name.partition(": ")[2 if name.startswith("in ") else 0]}

    def write(self, path: str, marker: str) -> None:
        with tempfile.NamedTemporaryFile(dir=self.lab_host.local) as content:
            content.write(marker.encode("ascii").ljust(MARKER, b"\0"))
            content.flush()
            run("qemu-io", "-f", "qcow2", "-c", f"write -s {content.name} 0 {MARKER}", path)

    def read(self, path: str) -> str:
        with tempfile.NamedTemporaryFile(dir=self.lab_host.local) as content:
            run("qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", f"bs={MARKER}", "count=1", f"if={path}", f"of={content.name}")
            return content.read(MARKER).rstrip(b"\0").decode("ascii", "replace")

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A libvirt connection that is not the driver's."""
        connection = libvirt.open(self.url)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def stocked(binding: KVMBinding) -> Iterator[Connection]:
    """A connection to the host, whose pool has the template image."""
    with closing(binding.connect()) as connection:
        connection.storage.ensure_pool(binding.host, binding.pool)
        connection.storage.put_image(binding.host, binding.pool, binding.image)
        yield connection


@contextmanager
def making(binding: KVMBinding, connection: Connection) -> Iterator[Maker]:
    """A maker whose VMs are gone afterwards."""
    make = CleaningMaker(binding, connection)
    yield make
    for vm in make.described:
        make.delete(vm)


class LossyBinding(KVMBinding):
    """The same host through a relay that loses replies."""

    def __init__(self, host: Host, image: ImageFile) -> None:
        super().__init__(host, image)
        self.proxy = LossyProxy(host.local / "relay", Path(host.uri.partition("socket=")[2]))
        self.endpoint = Endpoint(f"qemu+unix:///system?socket={self.proxy.path}")

    def lose_reply(self, call: str) -> None:
        self.proxy.lose(call)
