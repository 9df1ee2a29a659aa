"""What a Host's status tells of its guests, as libvirt's documents have it."""

import xml.etree.ElementTree as ET

import pytest

from drivers.kvm.host.support import support
from drivers.types import Firmware, GuestSupport

ARCH = """<arch name='x86_64'><machine>pc-i440fx-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine>
<machine>pc-q35-2.9</machine><machine>pc-q35-2.12</machine><machine>pc-q35-7.2</machine><machine>microvm</machine>
<domain type='qemu'/><domain type='kvm'><machine canonical='pc-q35-rhel9.4.0'>q35</machine></domain></arch>"""
DOMAIN = """<domainCapabilities><os><enum name='firmware'><value>efi</value></enum></os><cpu>
<mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model></mode>
<mode name='custom' supported='yes'><model usable='yes'>qemu64</model><model usable='no'>Haswell</model><model>486</model>
<model usable='yes'>Nehalem</model></mode></cpu></domainCapabilities>"""


def of(arch: str = ARCH, domain: str = DOMAIN, **tried: bool) -> GuestSupport:
    """Of a host that has all but what is `tried` and False."""
    all = {"adds_memory": True, "tells_panics": True, "unsigned_uefi": True, "iscsi": True}
    return support(ET.fromstring(arch), ET.fromstring(domain), **(all | tried))


def test_a_host_that_has_all() -> None:
    assert of() == GuestSupport(
        domain_types=("kvm", "qemu"),
        machine_types=("pc-q35-rhel9.4.0", "pc-q35-7.2", "pc-q35-2.12", "pc-q35-2.9"),
        firmwares=(Firmware.BIOS, Firmware.UEFI),
        cpu_model="EPYC",
        cpu_models=("Nehalem", "qemu64"),
        lacks=(),
    )


@pytest.mark.parametrize(
    ("arch", "domain", "word"),
    [
        (ARCH.replace("<domain type='kvm'>", "<domain type='qemu'>"), DOMAIN, "/dev/kvm"),
        (ARCH, DOMAIN.replace("efi", "bios"), "OVMF"),
        (ARCH, DOMAIN.replace("'host-model' supported='yes'", "'host-model' supported='no'"), "CPU"),
    ],
)
def test_what_is_lacking_is_said_in_words(arch: str, domain: str, word: str) -> None:
    [text] = of(arch, domain).lacks
    assert word in text


def test_a_host_that_cannot_add_memory_says_so() -> None:
    [text] = of(adds_memory=False).lacks
    assert "virtio-mem" in text


def test_a_host_whose_uefi_enforces_secure_boot_has_none_for_guests_and_says_so() -> None:
    found = of(unsigned_uefi=False)
    assert found.firmwares == (Firmware.BIOS,)
    [text] = found.lacks
    assert "Secure Boot" in text


def test_a_host_without_uefi_is_told_to_have_none_whatever_was_tried() -> None:
    [text] = of(ARCH, DOMAIN.replace("efi", "bios"), unsigned_uefi=False).lacks
    assert "OVMF" in text


def test_a_host_that_tells_of_no_panic_says_so() -> None:
    [text] = of(tells_panics=False).lacks
    assert "pvpanic" in text


def test_a_host_that_can_t_look_at_targets_says_so() -> None:
    [text] = of(iscsi=False).lacks
    assert "iscsi-direct" in text


def test_a_host_that_says_nothing() -> None:
    found = of("<arch name='x86_64'/>", "<domainCapabilities/>")
    assert (found.domain_types, found.machine_types, found.cpu_models) == ((), (), ())
    assert found.firmwares == (Firmware.BIOS,)
    assert len(found.lacks) == 3
