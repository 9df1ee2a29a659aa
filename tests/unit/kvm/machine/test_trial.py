"""What a host is tried for."""

import libvirt
import pytest

from drivers.kvm.host.profile import Guest
from drivers.kvm.machine.trial import adds_memory, tells_panics, unsigned_uefi
from drivers.kvm.xmltext import parse
from tests.unit.kvm.fakes import libvirt_error

KIND = Guest("kvm", "/usr/libexec/qemu-kvm", "pc-q35-rhel9.4.0")


class FakeConnection:
    def __init__(self, error: int | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    def domainXMLToNative(self, kind: str, document: str, flags: int) -> str:
        assert (kind, flags) == ("qemu-argv", 0)
        self.asked.append(document)
        if self.error is not None:
            raise libvirt_error(self.error, "virtio-mem isn't supported by this QEMU binary")
        return "qemu"


def test_a_guest_of_the_host_s_kind_with_a_device_is_tried() -> None:
    connection = FakeConnection()
    assert adds_memory(connection, KIND)
    [document] = map(parse, connection.asked)
    assert (document.get("type"), document.findtext("devices/emulator")) == ("kvm", KIND.emulator)
    assert document.find("os/type[@machine='pc-q35-rhel9.4.0']") is not None
    assert document.find("devices/memory[@model='virtio-mem']/target/requested") is not None
    assert document.find("cpu/numa/cell[@cpus='0-0']") is not None
    assert document.find("maxMemory") is not None


@pytest.mark.parametrize("error", [libvirt.VIR_ERR_CONFIG_UNSUPPORTED, libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_ACCESS_DENIED])
def test_whatever_speaks_against_it_means_no(error: int) -> None:
    assert not adds_memory(FakeConnection(error), KIND)
    assert not tells_panics(FakeConnection(error), KIND)


def test_a_guest_that_could_tell_of_a_panic_is_tried() -> None:
    connection = FakeConnection()
    assert tells_panics(connection, KIND)
    [document] = map(parse, connection.asked)
    assert document.find("devices/panic[@model='isa']") is not None
    assert document.find("maxMemory") is None


class Firmwares(FakeConnection):
    """A host that has firmware with these features of Secure Boot, `yes` or `no`."""

    def __init__(self, *secure_boot: str) -> None:
        super().__init__()
        self.secure_boot = secure_boot

    def domainXMLToNative(self, kind: str, document: str, flags: int) -> str:
        assert parse(document).find("features/acpi") is not None, "libvirt refuses UEFI without ACPI"
        wanted = [item.get("enabled") for item in parse(document).iterfind("os[@firmware='efi']/firmware/feature")]
        if not set(wanted or self.secure_boot) & set(self.secure_boot):
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_FAILED, "Unable to find any firmware to satisfy 'efi'")
        return super().domainXMLToNative(kind, document, flags)


@pytest.mark.parametrize(("secure_boot", "unsigned"), [(("no",), True), (("yes", "no"), True), (("yes",), False)])
def test_firmware_counts_if_it_boots_what_nobody_has_signed(secure_boot: tuple[str, ...], unsigned: bool) -> None:
    assert unsigned_uefi(Firmwares(*secure_boot), KIND) == unsigned


def test_where_uefi_can_t_be_tried_nothing_is_held_against_it() -> None:
    """What the host lists is believed: whether it lists UEFI at all is another question."""
    assert unsigned_uefi(FakeConnection(libvirt.VIR_ERR_NO_SUPPORT), KIND)
