"""Whatever VM is asked for, nothing of it listens on a network, and no file of the host is opened that is not the VM's."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import PurePosixPath

from hypothesis import given

from drivers.errors import InvalidSpec
from drivers.kvm.domain.build import build
from drivers.types import DesiredVM, NetworkBackend
from tests.unit.kvm.fakes import HOST
from tests.unit.kvm.vms import VMS

SEED = "/srv/seed.iso"
NETWORK = ("tcp", "udp", "unix", "network", "spicevmc", "dbus", "vhostuser")
CHARACTER_DEVICES = ("serial", "console", "channel", "parallel")


def built(vm: DesiredVM) -> ET.Element | None:
    """The domain, None for a VM that is refused."""
    bridged = replace(vm, nics=tuple(nic for nic in vm.nics if nic.attachment.backend is not NetworkBackend.LINUX))
    try:
        return build(bridged, HOST, SEED)
    except InvalidSpec:
        return None


@given(VMS)
def test_the_display_is_a_socket_of_the_host(vm: DesiredVM) -> None:
    root = built(vm)
    if root is None:
        return
    [display] = root.iterfind("devices/graphics")
    assert display.attrib == {"type": "vnc"}, "neither a port nor an address: with one of them QEMU would listen"
    assert [listen.attrib for listen in display] == [{"type": "socket"}]


@given(VMS)
def test_nothing_else_talks_to_a_network(vm: DesiredVM) -> None:
    root = built(vm)
    if root is None:
        return
    kinds = {(item.tag, item.get("type", "")) for tag in CHARACTER_DEVICES for item in root.iterfind(f"devices/{tag}")}
    assert kinds <= {("serial", "pty"), ("console", "pty"), ("channel", "unix")}
    assert [item.tag for item in root.iter() if item.tag in {"redirdev", "hostdev", "shmem", "vsock", "filesystem", "tpm"}] == []
    assert root.find("devices/channel[@type='unix']/source") is None, "libvirt places it in the VM's own directory"
    assert {item.get("type") for item in root.iterfind("devices/interface")} <= {"bridge"}
    assert {item.get("type") for item in root.iterfind("devices/disk")} <= {"file"}


@given(VMS)
def test_files_are_the_vm_s_own(vm: DesiredVM) -> None:
    root = built(vm)
    if root is None:
        return
    for item in root.iter():
        if (file := item.get("file")) is not None and file != SEED:
            path = PurePosixPath(file)
            assert ".." not in path.parts
            assert vm.instance in path.name
    assert [item.get("file") for item in root.iterfind("devices/serial/log")] == [f"/var/log/libvirt/qemu/vireo-{vm.instance}.log"]
