"""The machine itself: CPUs, memory, firmware, and the devices that every VM has.

https://libvirt.org/formatdomain.html names every element used here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from drivers.errors import InvalidSpec, Unsupported
from drivers.kvm.domain import memory
from drivers.kvm.domain.volumes import controller
from drivers.kvm.host.profile import ACCELERATED, ARCHITECTURE, CPUModel, HostProfile
from drivers.kvm.xmltext import add
from drivers.types import DesiredVM, Firmware

CPU_STEP = 8
"""Room for CPUs that are added later comes in these steps: each possible CPU costs a guest some memory."""

CPU_LIMIT = 240
"""Most CPUs of a VM: beyond 255 a guest needs an IOMMU with extended interrupts."""

TRANSLATION_CACHE = 32
"""MiB of translated code that an emulated guest may keep; QEMU's default is far larger for each guest."""

SPARE_PORTS = 8
"""Empty PCI Express ports for NICs that come later: q35 has no other slot to plug them into."""

_FIXED_PORTS = 5
"""Ports for the seed, virtio-serial, the controller of volumes, balloon and entropy."""


def ceiling(cpus: int, domain_type: str) -> int:
    """Most CPUs that a VM started with `cpus` can have without a restart.

    An emulated one has no room: QEMU gives each CPU a region of the translation cache, and aborts when one comes while all are in
    use (tcg_region_initial_alloc__locked in its tcg/region.c).
    """
    return min(-(-cpus // CPU_STEP) * CPU_STEP, CPU_LIMIT) if domain_type == ACCELERATED else cpus


def add_processors(root: ET.Element, vm: DesiredVM, host: HostProfile) -> None:
    """CPUs: `vm.cpus` of the ceiling are present, in one socket because guests may be licensed by sockets."""
    check_cpus(vm.cpus, host.max_cpus)
    add(root, "vcpu", {"placement": "static"})
    cpu = _cpu(root, _model(vm, host), host.cpu_mode)
    add(cpu, "topology", {"sockets": "1", "dies": "1", "threads": "1"})
    set_processors(root, vm.cpus)


def _model(vm: DesiredVM, host: HostProfile) -> CPUModel | None:
    if not vm.cpu_model:
        return host.cpu
    if vm.cpu_model not in host.guests.cpu_models:
        raise InvalidSpec(f"the host can't give a VM the CPU model {vm.cpu_model[:64]!r}")
    return CPUModel(vm.cpu_model)


def _cpu(root: ET.Element, model: CPUModel | None, mode: str) -> ET.Element:
    if model is None:
        return add(root, "cpu", {"mode": mode} if mode else {})
    cpu = add(root, "cpu", {"mode": "custom", "match": "exact", "check": "partial"})
    add(cpu, "model", {"fallback": "forbid"}, model.name)
    if model.vendor:
        add(cpu, "vendor", text=model.vendor)
    for name, policy in model.features:
        add(cpu, "feature", {"policy": policy, "name": name})
    return cpu


def set_processors(root: ET.Element, cpus: int) -> None:
    """Give a definition `cpus` CPUs, and room up to their ceiling."""
    most = str(ceiling(cpus, root.get("type", "")))
    for vcpu in root.iterfind("vcpu"):
        vcpu.text = most
        vcpu.set("current", str(cpus))
    memory.cover_cpus(root)
    for topology in root.iterfind("cpu/topology"):
        topology.attrib.update(dict.fromkeys(topology.attrib, "1"), cores=most)
    for each in root.findall("vcpus"):
        root.remove(each)


def check_cpus(cpus: int, most: int = CPU_LIMIT) -> None:
    """Raises InvalidSpec for a number of CPUs that the host cannot give to one VM."""
    if not 1 <= cpus <= min(most, CPU_LIMIT):
        raise InvalidSpec(f"a VM on this host has 1 to {min(most, CPU_LIMIT)} CPUs, not {cpus}")


def add_firmware(root: ET.Element, vm: DesiredVM, host: HostProfile) -> None:
    """Machine type and firmware; libvirt picks the UEFI image and makes the variable store on first start."""
    os = add(root, "os")
    add(os, "type", {"arch": ARCHITECTURE, "machine": host.machine}, "hvm")
    if vm.firmware is Firmware.UEFI:
        if not host.uefi:
            raise Unsupported("the host has no UEFI firmware without Secure Boot for guests: install OVMF or use firmware BIOS")
        add_uefi(os)
    add(os, "boot", {"dev": "hd"})


def add_uefi(os: ET.Element) -> None:
    """UEFI, by a firmware that boots what nobody has signed."""
    os.set("firmware", "efi")
    add(add(os, "firmware"), "feature", {"enabled": "no", "name": "secure-boot"})


def add_behaviour(root: ET.Element, host: HostProfile) -> None:
    """Features, clock, and what happens when the guest ends: it stays off, or crashed, for the controller to see.

    A guest that has crashed keeps its memory, so that it can be looked into (`virsh dump`) before it is started again.
    """
    features = add(root, "features")
    add(features, "acpi")
    add(features, "apic")
    if host.domain_type == "qemu":
        add(add(features, "tcg"), "tb-cache", {"unit": "MiB"}, str(TRANSLATION_CACHE))
    add(root, "clock", {"offset": "utc"})
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "preserve")):
        add(root, event, text=action)


def add_fixtures(devices: ET.Element, plugged: int, log: str) -> None:
    """Console, guest agent channel, display on a Unix socket of the host, entropy, balloon; room for `plugged` devices and more.

    What the guest writes on its console is appended to the file `log`.
    """
    add(devices, "controller", {"type": "usb", "model": "none"})
    add(devices, "controller", {"type": "pci", "index": "0", "model": "pcie-root"})
    for _ in range(_FIXED_PORTS + plugged + SPARE_PORTS):
        add(devices, "controller", {"type": "pci", "model": "pcie-root-port"})
    devices.append(controller())
    add(add(devices, "serial", {"type": "pty"}), "log", {"file": log, "append": "on"})
    add(add(devices, "console", {"type": "pty"}), "target", {"type": "serial"})
    channel = add(devices, "channel", {"type": "unix"})
    add(channel, "target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})
    add(add(devices, "graphics", {"type": "vnc"}), "listen", {"type": "socket"})
    add(add(devices, "video"), "model", {"type": "vga", "vram": "16384", "heads": "1"})
    add(add(devices, "rng", {"model": "virtio"}), "backend", {"model": "random"}, "/dev/urandom")
    add(devices, "memballoon", {"model": "virtio"})


def add_panic(devices: ET.Element) -> None:
    """The device by which a guest's kernel tells that it has panicked: pvpanic of the ISA bus, which q35 has too.

    There is one for PCI as well, and libvirt knows it since 9.1 only.
    """
    add(devices, "panic", {"model": "isa"})
