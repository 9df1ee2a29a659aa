"""What a host is tried for."""

import libvirt
import pytest

from drivers.kvm.host.profile import Guest
from drivers.kvm.machine.trial import adds_memory, tells_panics
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
