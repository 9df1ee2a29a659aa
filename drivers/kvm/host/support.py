"""What guests may have on a host, for people to see, and what a host lacks beside others (pure)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

from drivers.types import Firmware, GuestSupport

_NO_UEFI = "UEFI for guests: OVMF is not installed"
_MACHINE = re.compile(r"pc-q35-[a-z0-9.+-]+")


def support(
    arch: ET.Element, tree: ET.Element, *, adds_memory: bool, tells_panics: bool, unsigned_uefi: bool, iscsi: bool
) -> GuestSupport:
    """From libvirt's element of the architecture in its capabilities, from its domain capabilities, and from what was tried.

    `unsigned_uefi`: whether its UEFI, if it has any, can do without Secure Boot. `iscsi`: whether libvirt can look at iSCSI
    targets.
    """
    types = sorted({domain.get("type", "") for domain in arch.iterfind("domain")} - {""})
    names = {name for machine in arch.iter("machine") for name in (machine.text or "", machine.get("canonical", ""))}
    machines = sorted((name for name in names if _MACHINE.fullmatch(name)), key=_by_version, reverse=True)
    has_uefi = "efi" in {value.text for value in tree.iterfind("os/enum[@name='firmware']/value")}
    firmwares = (Firmware.BIOS, Firmware.UEFI) if has_uefi and unsigned_uefi else (Firmware.BIOS,)
    model = tree.findtext("cpu/mode[@name='host-model'][@supported='yes']/model", "")
    usable = (item.text or "" for item in tree.iterfind("cpu/mode[@name='custom']/model") if item.get("usable") == "yes")
    found = GuestSupport(tuple(types), tuple(machines), firmwares, model, tuple(sorted(set(usable) - {""})))
    uefi = "UEFI for guests: its only firmware has Secure Boot, which boots what is signed alone" if has_uefi else _NO_UEFI
    return replace(found, lacks=tuple(_lacks(found, uefi, adds_memory=adds_memory, tells_panics=tells_panics, iscsi=iscsi)))


def _lacks(found: GuestSupport, uefi: str, *, adds_memory: bool, tells_panics: bool, iscsi: bool) -> list[str]:
    return [
        text
        for text, there in (
            ("hardware acceleration: guests are emulated, because libvirt finds no usable /dev/kvm", "kvm" in found.domain_types),
            (uefi, Firmware.UEFI in found.firmwares),
            ("a name for its CPU: guests get it as it is, and may differ after an upgrade", bool(found.cpu_model)),
            ("memory for guests that run: its QEMU or libvirt has no virtio-mem", adds_memory),
            ("word of guests whose kernel panics: its QEMU has no pvpanic device", tells_panics),
            ("storage pools of type ISCSI: libvirt's storage backend iscsi-direct is not installed", iscsi),
        )
        if not there
    ]


def _by_version(name: str) -> list[int]:
    """2.12 comes after 2.9, and rhel9.4.0 after 7.2."""
    return [int(number) for number in re.findall(r"[0-9]+", name)]
