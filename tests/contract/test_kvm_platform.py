"""The machine around a guest: its CPU and firmware over restarts, its log's size, its display, and another host for it to go to."""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest

from drivers.errors import InvalidSpec, Unsupported
from drivers.kvm.connection import KVMConnection, KVMDriver
from drivers.kvm.host.profile import CPUModel
from drivers.types import (
    Attachment,
    AttachNIC,
    Capability,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    Devices,
    Endpoint,
    Firmware,
    HostID,
    ImageFile,
    InstanceID,
    NetworkBackend,
    Owner,
    PoolSpec,
    Seed,
    Segment,
    SetSeed,
    StopMode,
)
from tests.contract.kvm_binding import MIB, PATIENT
from tests.lab import Lab
from tests.lab.guest.images import image
from tests.lab.guests import eventually, execute, wait_for_agent
from tests.lab.host import Host, run_in

pytestmark = pytest.mark.lab

INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
BOTH = InstanceID("7a1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b22")
SEED = Seed("instance-id: i-1\nlocal-hostname: guest\n", "", b"#cloud-config\n{}\n")
OF_LIBVIRTD = {16509}
"""Ports that the lab's libvirtd listens on."""
GREETING = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(12).decode())"
"""Prints what whoever listens on a socket says first."""


@pytest.fixture(scope="module")
def pool(lab: Lab) -> PoolSpec:
    return PoolSpec("both", str(lab.shared / "pool"), shared=True)


@contextmanager
def connected(host: Host) -> Iterator[KVMConnection]:
    connection = KVMDriver(PATIENT).connect(Endpoint(host.uri))
    yield connection
    connection.close()


@pytest.fixture
def first(lab: Lab, pool: PoolSpec) -> Iterator[KVMConnection]:
    """The first host, with the image in the pool that both share."""
    built = image()
    file = ImageFile(f"guest-sha256-{built.sha256}.qcow2", str(built.path), built.virtual_size, built.path.stat().st_size)
    with connected(lab.host("h1")) as connection:
        connection.storage.ensure_pool(HostID("h1"), pool)
        connection.storage.put_image(HostID("h1"), pool, file)
        yield connection
        connection.compute.delete(HostID("h1"), INSTANCE, [pool])


def described(pool: PoolSpec) -> DesiredVM:
    name = f"guest-sha256-{image().sha256}.qcow2"
    disk = DesiredDisk("root", pool, 128 * MIB, name)
    return DesiredVM(INSTANCE, "web", Owner("uid", "shop", "web"), 1, 112 * MIB, (disk,), seed=SEED)


def make(connection: KVMConnection, vm: DesiredVM) -> None:
    connection.compute.create(HostID("h1"), vm)
    connection.power.start(HostID("h1"), INSTANCE)


@contextmanager
def domain_on(host: Host) -> Iterator[libvirt.virDomain]:
    admin = libvirt.open(host.uri)
    yield admin.lookupByUUIDString(INSTANCE)
    admin.close()


def restart(connection: KVMConnection) -> None:
    for mode in (StopMode.SOFT, StopMode.SOFT):
        connection.power.stop(HostID("h1"), INSTANCE, mode)
    eventually(lambda: connection.compute.observe(HostID("h1"), INSTANCE).power == "Off", "the guest to stop")
    connection.power.start(HostID("h1"), INSTANCE)


def written_out(connection: KVMConnection, host: Host) -> CPUModel:
    """The host's CPU, as libvirt names it for an emulated guest too."""
    profile = connection.hosts.profile
    admin = libvirt.open(host.uri)
    document = ET.fromstring(admin.getDomainCapabilities(profile.emulator, "x86_64", profile.machine, profile.domain_type))
    admin.close()
    mode = document.find("cpu/mode[@name='host-model']")
    assert mode is not None
    features = ((str(item.get("name")), str(item.get("policy"))) for item in mode.iterfind("feature"))
    return CPUModel(mode.findtext("model", ""), mode.findtext("vendor", ""), tuple(features))


def cpu_of(domain: libvirt.virDomain) -> bytes:
    """The CPU that a domain is defined with."""
    found = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("cpu")
    assert found is not None
    return ET.tostring(found)


def test_a_cpu_that_is_written_out_is_the_same_after_a_restart_and_on_another_host(
    lab: Lab, pool: PoolSpec, first: KVMConnection
) -> None:
    """The guest itself is moved by hand: to see that nothing of what Vireo wrote keeps it on its host."""
    model = written_out(first, lab.host("h1"))
    first.hosts.profile = replace(first.hosts.profile, cpu=model, cpu_mode="")
    make(first, described(pool))
    with domain_on(lab.host("h1")) as domain, connected(lab.host("h2")) as second:
        wait_for_agent(domain)
        flags = "grep -m1 ^flags /proc/cpuinfo; grep -m1 '^model name' /proc/cpuinfo"
        before, machine = execute(domain, flags), ET.fromstring(domain.XMLDesc()).find("os/type")
        written = cpu_of(domain)
        restart(first)
        wait_for_agent(domain)
        assert execute(domain, flags) == before
        assert machine is not None
        assert machine.get("machine", "").startswith("pc-q35-")
        second.storage.ensure_pool(HostID("h2"), pool)
        target = libvirt.open(lab.host("h2").uri)
        boot = execute(domain, "cat /proc/sys/kernel/random/boot_id")
        unsafe = (
            libvirt.VIR_MIGRATE_LIVE
            | libvirt.VIR_MIGRATE_PERSIST_DEST
            | libvirt.VIR_MIGRATE_UNSAFE
            | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        )
        domain.migrate3(target, {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://198.18.0.2"}, unsafe)
        moved = target.lookupByUUIDString(INSTANCE)
        wait_for_agent(moved)
        assert execute(moved, "cat /proc/sys/kernel/random/boot_id") == boot
        assert execute(moved, flags) == before
        assert cpu_of(moved) == written
        assert second.compute.observe(HostID("h2"), INSTANCE).owner == Owner("uid", "shop", "web")
        target.close()
        second.compute.delete(HostID("h2"), INSTANCE, [pool])


def test_a_cpu_that_the_cluster_asks_for_is_what_the_guest_sees(lab: Lab, pool: PoolSpec, first: KVMConnection) -> None:
    guests = first.hosts.list_hosts()[0].guests
    assert guests is not None
    assert {"Nehalem", "qemu64"} <= set(guests.cpu_models)
    with pytest.raises(InvalidSpec, match="CPU model"):
        first.compute.create(HostID("h1"), replace(described(pool), cpu_model="Haswell-of-tomorrow"))
    make(first, replace(described(pool), cpu_model="Nehalem"))
    with domain_on(lab.host("h1")) as domain:
        wait_for_agent(domain)
        assert "Nehalem" in execute(domain, "grep -m1 '^model name' /proc/cpuinfo")


def test_variables_of_uefi_stay_over_a_restart_and_go_with_the_vm(lab: Lab, pool: PoolSpec, first: KVMConnection) -> None:
    host = lab.host("h1")
    make(first, replace(described(pool), firmware=Firmware.UEFI, memory=256 * MIB))
    with domain_on(host) as domain:
        wait_for_agent(domain)
        nvram = ET.fromstring(domain.XMLDesc()).find("os/nvram")
        assert nvram is not None
        store = Store(host, nvram.text or "", nvram.get("template", ""))
        assert store.content != store.fresh, "firmware notes where it booted from"
        before = store.inode
        restart(first)
        wait_for_agent(domain)
        assert store.inode == before, "a store that was made anew would be another file"
        assert store.content != store.fresh
    first.compute.delete(HostID("h1"), INSTANCE, [pool])
    assert run_in(host, "ls", str(Path(store.path).parent)).split() == []


@contextmanager
def firmwares(host: Host, kept: str) -> Iterator[None]:
    """The host has only those firmwares whose descriptors are named so."""
    place, some = "/usr/share/qemu/firmware", "/run/firmware"
    run_in(host, "sh", "-c", f"mkdir {some}; cp {place}/{kept} {some}; mount --bind {some} {place}")
    try:
        host.daemon_stop()
        host.daemon_start()
        yield
    finally:
        run_in(host, "sh", "-c", f"umount {place}; rm -r {some}")
        host.daemon_stop()
        host.daemon_start()


@pytest.mark.parametrize(("kept", "uefi"), [("*secure*", False), ("60-edk2-x86_64.json", True)])
def test_uefi_counts_where_it_boots_what_nobody_has_signed(lab: Lab, kept: str, uefi: bool) -> None:
    """libvirt lists UEFI either way, and refuses a VM only when it starts."""
    host = lab.host("h2")
    with firmwares(host, kept), connected(host) as connection:
        [seen] = connection.hosts.list_hosts()
        assert seen.guests is not None
        assert (Firmware.UEFI in seen.guests.firmwares, Capability.UEFI in connection.capabilities) == (uefi, uefi)
        assert any("Secure Boot" in text for text in seen.guests.lacks) != uefi
        unsigned = DesiredVM(BOTH, "unsigned", Owner("uid", "shop", "unsigned"), 1, 64 * MIB, (), firmware=Firmware.UEFI)
        if uefi:
            connection.compute.create(HostID("h2"), unsigned)
            connection.power.start(HostID("h2"), BOTH)
            connection.compute.delete(HostID("h2"), BOTH)
        else:
            with pytest.raises(Unsupported, match="Secure Boot"):
                connection.compute.create(HostID("h2"), unsigned)


@dataclass(frozen=True)
class Store:
    """Variables of a VM's firmware, in a file of its host; `template` is what a new one is copied from."""

    host: Host
    path: str
    template: str

    @property
    def content(self) -> str:
        return run_in(self.host, "sha256sum", self.path).split()[0]

    @property
    def fresh(self) -> str:
        return run_in(self.host, "sha256sum", self.template).split()[0]

    @property
    def inode(self) -> str:
        return run_in(self.host, "stat", "-c", "%i", self.path).strip()


def test_a_vm_with_emulated_devices_boots_from_them_and_takes_changes(lab: Lab, pool: PoolSpec, first: KVMConnection) -> None:
    """The small guest's kernel has no driver for them, as is the way of clouds: it is started from such a disk, and then lost."""
    host = HostID("h1")
    attachment = Attachment(NetworkBackend.OVS, "ovsbr0")
    macs = {"a": "02:00:00:00:00:0a", "b": "02:00:00:00:00:0b"}
    nics = [DesiredNIC(name, mac, "shop/front", Segment(10), attachment) for name, mac in macs.items()]
    make(first, replace(described(pool), devices=Devices.EMULATED, nics=(nics[0],)))
    eventually(lambda: b"no disk has its root" in first.consoles.log(host, INSTANCE), "the kernel to start")
    other = replace(SEED, user_data=b"#cloud-config\nhostname: other\n")
    first.compute.apply(host, INSTANCE, [AttachNIC(nics[1]), SetSeed(other)])
    seen = first.compute.observe(host, INSTANCE)
    assert ([nic.name for nic in seen.nics], seen.seed_digest, seen.foreign_devices) == (["a", "b"], other.digest, ())
    with domain_on(lab.host("h1")) as domain:
        pci = libvirt_qemu.qemuMonitorCommand(domain, "info pci", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
        inactive = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert pci.count("8086:10d3") == 2, "the PCI identity of e1000e"
    assert "1af4:1042" not in pci, "the PCI identity of a virtio disk"
    cdrom = inactive.find("devices/disk[@device='cdrom']/source")
    assert cdrom is not None
    assert other.digest[:16] in cdrom.get("file", "")


def test_nothing_of_a_running_vm_listens_on_an_address(lab: Lab, pool: PoolSpec, first: KVMConnection) -> None:
    host = lab.host("h1")
    before = listening(host)
    make(first, described(pool))
    with domain_on(host) as domain:
        wait_for_agent(domain)
        assert listening(host) == before == OF_LIBVIRTD
        display = ET.fromstring(domain.XMLDesc()).find("devices/graphics/listen[@type='socket']")
        assert display is not None
        path = display.get("socket", "")
    mode = run_in(host, "stat", "-c", "%F %A", path).strip()
    assert mode.startswith("socket "), "a console service on the host finds it there"
    greeting = run_in(host, sys.executable, "-c", GREETING, path)
    assert greeting.startswith("RFB 003."), "a VNC server speaks there (RFC 6143, 7.1.1)"


def test_the_log_of_a_console_stays_small_however_much_a_guest_writes(lab: Lab, pool: PoolSpec) -> None:
    """With virtlogd, as packages set libvirt up; a small limit stands for its 2 MiB."""
    host = lab.host("h2")
    etc = lab.layout.host_dir("h2") / "etc"
    limit, parts, lines = 16 * 1024, 2, 700
    (etc / "virtlogd.conf").write_text(f"max_size = {limit}\nmax_backups = {parts}\n")
    (etc / "qemu.conf").write_text((etc / "qemu.conf").read_text().replace('stdio_handler = "file"', 'stdio_handler = "logd"'))
    run_in(host, "virtlogd", "--daemon", "--config", "/etc/libvirt/virtlogd.conf")
    host.daemon_stop()
    host.daemon_start()
    built = image()
    file = ImageFile(f"guest-sha256-{built.sha256}.qcow2", str(built.path), built.virtual_size, built.path.stat().st_size)
    with connected(host) as connection:
        here = HostID("h2")
        connection.storage.ensure_pool(here, pool)
        connection.storage.put_image(here, pool, file)
        vm = replace(described(pool), instance=BOTH, seed=None)
        connection.compute.create(here, vm)
        connection.power.start(here, BOTH)
        admin = libvirt.open(host.uri)
        domain = admin.lookupByUUIDString(BOTH)
        wait_for_agent(domain)
        execute(domain, f"pad=$(printf '%0100d' 0); for i in $(seq 0 {lines - 1}); do echo line-$i-$pad; done > /dev/ttyS0")
        last = re.compile(rb"^line-%d-0{100}\r?$" % (lines - 1), re.MULTILINE)
        eventually(lambda: last.search(connection.consoles.log(here, BOTH)), "the last line")
        log = connection.consoles.log(here, BOTH)
        admin.close()
        sizes = {path.name: path.stat().st_size for path in host.logs.glob(f"vireo-{BOTH}.log*")}
        assert len(sizes) == parts + 1, sizes
        assert max(sizes.values()) <= limit + 4096 < lines * 100 / parts
        assert limit < len(log) <= (parts + 1) * (limit + 4096)
        numbers = [int(number) for number in re.findall(rb"^line-(\d+)-0{100}\r?$", log, re.MULTILINE)]
        assert numbers[-1] == lines - 1
        assert numbers == sorted(numbers), "older parts come first"
        connection.compute.delete(here, BOTH, [pool])
    assert list(host.logs.glob(f"vireo-{BOTH}*")) == []


def listening(host: Host) -> set[int]:
    """TCP ports that anything on the host listens on, whatever the address."""
    return {int(line.split()[3].rpartition(":")[2]) for line in run_in(host, "ss", "-tlnH").splitlines()}
