"""What a host offers to its guests, read from libvirt's capabilities and domain capabilities (pure).

https://libvirt.org/formatcaps.html and https://libvirt.org/formatdomaincaps.html. Nothing is assumed: a host whose /dev/kvm is
missing says `qemu`, and then guests are emulated.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

from drivers.errors import Unsupported
from drivers.kvm.host.support import support
from drivers.kvm.xmltext import parse
from drivers.types import Capability, Firmware, GuestSupport, HostID

ARCHITECTURE = "x86_64"
ACCELERATED = "kvm"
"""libvirt's type of domains that the processor runs; others are emulated (`qemu`)."""

MACHINE = "q35"
MINIMUM_LIBVIRT = (8, 0, 0)
MINIMUM_QEMU = (6, 1, 0)
"""First with ACPI hot-plug on q35."""


@dataclass(frozen=True, slots=True)
class CPUModel:
    """A CPU by its model's name and what it has more or less than that: pairs of a feature and libvirt's policy for it."""

    name: str
    vendor: str = ""
    features: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HostProfile:
    """One host as the driver needs it. `machine` is the versioned machine type.

    `cpu` is the CPU that guests get, written out; where there is none to be written out, `cpu_mode` is a mode of libvirt's <cpu>.

    `filters`: whether it has network filters. `adds_memory`: whether its guests can be given memory while they run, `tells_panics`:
    whether their kernels can tell that they have panicked. `uefi`: whether there is UEFI that boots what nobody has signed.
    `iscsi`: whether its libvirt can look at iSCSI targets.
    """

    host: HostID
    uuid: str
    libvirt: tuple[int, int, int]
    qemu: tuple[int, int, int]
    domain_type: str
    emulator: str
    machine: str
    cpu_mode: str
    max_cpus: int
    uefi: bool
    filters: bool
    iscsi: bool
    cpu: CPUModel | None = None
    guests: GuestSupport = field(default_factory=GuestSupport)
    adds_memory: bool = False
    tells_panics: bool = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What a connection to this host declares."""
        lacking = {Capability.DEFINITION_EVENTS}  # see drivers.kvm.events
        if not self.adds_memory:
            lacking.add(Capability.MEMORY_ADD_LIVE)
        if not self.uefi:
            lacking.add(Capability.UEFI)
        if self.domain_type != ACCELERATED:
            lacking.add(Capability.CPU_ADD_LIVE)
        return frozenset(Capability) - lacking

    @property
    def version(self) -> str:
        """Versions for people."""
        return f"QEMU {_dotted(self.qemu)}, libvirt {_dotted(self.libvirt)}"


@dataclass(frozen=True, slots=True)
class Guest:
    """The kind of guest that a host runs: accelerated (`kvm`) or emulated (`qemu`)."""

    domain_type: str
    emulator: str
    machine: str


def version(number: int) -> tuple[int, int, int]:
    """A version as one number (1,000,000 × major + 1,000 × minor + release) taken apart."""
    return number // 1_000_000, number // 1_000 % 1_000, number % 1_000


def host_uuid(capabilities: str) -> str:
    """The host's UUID in its capabilities."""
    return parse(capabilities).findtext("host/uuid", "").strip().lower()


def pools(capabilities: str) -> frozenset[str]:
    """The kinds of storage pools that libvirt has a backend for (https://libvirt.org/formatstoragecaps.html)."""
    return frozenset(kind.get("type", "") for kind in parse(capabilities).iterfind("pool[@supported='yes']"))


def guest(capabilities: str) -> Guest:
    """The kind of guest to run. Raises Unsupported if the host has no x86_64 system emulator or no q35 machine."""
    return _guest(_arch(capabilities))


def _arch(capabilities: str) -> ET.Element:
    for arch in parse(capabilities).iterfind("guest[os_type='hvm']/arch"):
        if arch.get("name") == ARCHITECTURE:
            return arch
    raise Unsupported(f"the host cannot run {ARCHITECTURE} guests: its QEMU system emulator is not installed")


def _guest(arch: ET.Element) -> Guest:
    domains = {domain.get("type"): domain for domain in arch.iterfind("domain")}
    domain_type = ACCELERATED if ACCELERATED in domains else "qemu"
    domain = domains.get(domain_type, arch)
    for machine in (*domain.iterfind("machine"), *arch.iterfind("machine")):
        if machine.text == MACHINE:
            emulator = domain.findtext("emulator") or arch.findtext("emulator") or ""
            return Guest(domain_type, emulator, str(machine.get("canonical", MACHINE)))
    raise Unsupported(f"the host's QEMU has no {MACHINE} machine type")


def profile(
    host: str,
    capabilities: str,
    domain_capabilities: str,
    libvirt: int,
    qemu: int,
    *,
    filters: bool,
    adds_memory: bool,
    tells_panics: bool,
    unsigned_uefi: bool,
    iscsi: bool,
) -> HostProfile:
    """The profile of the host. Raises Unsupported if its libvirt or QEMU is older than the driver needs."""
    kind = guest(capabilities)
    _require("libvirt", version(libvirt), MINIMUM_LIBVIRT)
    _require("QEMU", version(qemu), MINIMUM_QEMU)
    tree = parse(domain_capabilities)
    tried = {"adds_memory": adds_memory, "tells_panics": tells_panics, "unsigned_uefi": unsigned_uefi, "iscsi": iscsi}
    guests = support(_arch(capabilities), tree, **tried)
    vcpu = tree.find("vcpu")
    return HostProfile(
        host=HostID(host),
        uuid=host_uuid(capabilities),
        libvirt=version(libvirt),
        qemu=version(qemu),
        domain_type=kind.domain_type,
        emulator=kind.emulator,
        machine=kind.machine,
        cpu_mode=_cpu_mode(tree, kind.domain_type),
        max_cpus=int(vcpu.get("max", "1")) if vcpu is not None else 1,
        uefi=Firmware.UEFI in guests.firmwares,
        filters=filters,
        iscsi=iscsi,
        cpu=_cpu(tree, kind.domain_type),
        guests=guests,
        adds_memory=adds_memory,
        tells_panics=tells_panics,
    )


def _cpu_mode(tree: ET.Element, domain_type: str) -> str:
    """Accelerated: the host's model, which libvirt can compare between hosts; emulated: all that QEMU can emulate."""
    supported = {mode.get("name") for mode in tree.iterfind("cpu/mode[@supported='yes']")}
    wanted = ("host-model", "host-passthrough") if domain_type == "kvm" else ("maximum",)
    return next((mode for mode in wanted if mode in supported), "")


def _cpu(tree: ET.Element, domain_type: str) -> CPUModel | None:
    """The host's own CPU as libvirt would write it out for `host-model` at each start anew.

    Written into the domain it stays the same when libvirt or microcode change, and another host can be asked whether it has it.
    """
    mode = tree.find("cpu/mode[@name='host-model'][@supported='yes']")
    name = "" if mode is None else mode.findtext("model", "")
    if domain_type != ACCELERATED or mode is None or not name:
        return None
    features = ((item.get("name", ""), item.get("policy", "require")) for item in mode.iterfind("feature"))
    return CPUModel(name, mode.findtext("vendor", ""), tuple(features))


def _require(what: str, found: tuple[int, int, int], minimum: tuple[int, int, int]) -> None:
    if found < minimum:
        raise Unsupported(f"the host has {what} {_dotted(found)}; {_dotted(minimum)} or later is needed")


def _dotted(numbers: tuple[int, int, int]) -> str:
    return ".".join(map(str, numbers))
