"""A host with Rocky 9, whose libvirt and QEMU are Red Hat's.

Its documents are written by hand, not recorded: after libvirt's formats, and after what such hosts (9.2) were published to offer.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace

import pytest

from drivers.kvm.domain.build import build
from drivers.kvm.host import profile
from drivers.kvm.mark import MarkedVolume
from drivers.kvm.store import luns
from drivers.types import Capability, Devices, Firmware, VolumeAttachment, VolumeID
from tests.unit.kvm.domain.test_build import POOL, VM

CAPABILITIES = """<capabilities><host><uuid>4c4c4544-0042-4410-8056-b9c04f573332</uuid></host>
<guest><os_type>hvm</os_type><arch name='i686'><emulator>/usr/libexec/qemu-kvm</emulator>
<machine canonical='pc-q35-rhel9.2.0' maxCpus='710'>q35</machine><domain type='qemu'/><domain type='kvm'/></arch></guest>
<guest><os_type>hvm</os_type><arch name='x86_64'><wordsize>64</wordsize><emulator>/usr/libexec/qemu-kvm</emulator>
<machine maxCpus='240' deprecated='yes'>pc-i440fx-rhel7.6.0</machine>
<machine canonical='pc-i440fx-rhel7.6.0' maxCpus='240' deprecated='yes'>pc</machine>
<machine maxCpus='710'>pc-q35-rhel9.2.0</machine><machine canonical='pc-q35-rhel9.2.0' maxCpus='710'>q35</machine>
<machine maxCpus='710'>pc-q35-rhel9.0.0</machine><machine maxCpus='710'>pc-q35-rhel8.6.0</machine>
<machine maxCpus='384'>pc-q35-rhel7.6.0</machine>
<domain type='qemu'/><domain type='kvm'/></arch></guest></capabilities>"""
DOMAIN = """<domainCapabilities><path>/usr/libexec/qemu-kvm</path><domain>kvm</domain><machine>pc-q35-rhel9.2.0</machine>
<arch>x86_64</arch><vcpu max='710'/><os supported='yes'><enum name='firmware'><value>efi</value></enum>
<loader supported='yes'><value>/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd</value>
<enum name='secure'><value>yes</value><value>no</value></enum></loader></os>
<cpu><mode name='host-passthrough' supported='yes'/><mode name='maximum' supported='yes'/>
<mode name='host-model' supported='yes'><model fallback='forbid'>Skylake-Client-IBRS</model><vendor>Intel</vendor>
<feature policy='require' name='ss'/></mode>
<mode name='custom' supported='yes'><model usable='yes' deprecated='yes' vendor='unknown'>qemu64</model>
<model usable='no' deprecated='yes' vendor='AMD'>phenom</model></mode></cpu>
<devices><disk supported='yes'><enum name='diskDevice'><value>disk</value><value>cdrom</value><value>floppy</value>
<value>lun</value></enum><enum name='bus'><value>fdc</value><value>scsi</value><value>virtio</value><value>usb</value>
<value>sata</value></enum></disk><graphics supported='yes'><enum name='type'><value>vnc</value><value>egl-headless</value></enum>
</graphics><video supported='yes'><enum name='modelType'><value>vga</value><value>cirrus</value><value>virtio</value>
<value>none</value><value>bochs</value><value>ramfb</value></enum></video><rng supported='yes'><enum name='model'>
<value>virtio</value></enum><enum name='backendModel'><value>random</value><value>egd</value><value>builtin</value></enum></rng>
</devices></domainCapabilities>"""
POOLS = """<storagepoolCapabilities><pool type='dir' supported='yes'/><pool type='netfs' supported='yes'/>
<pool type='logical' supported='yes'/><pool type='iscsi' supported='yes'/><pool type='iscsi-direct' supported='no'/>
<pool type='rbd' supported='yes'/></storagepoolCapabilities>"""

VOLUME = VolumeID("0b0e2d4c-0d4e-4a49-9d43-5b0e0ab1d0c2")

ASKED = {
    "disk/diskDevice": "devices/disk[@device]|device",
    "disk/bus": "devices/disk/target|bus",
    "graphics/type": "devices/graphics|type",
    "video/modelType": "devices/video/model|type",
    "rng/model": "devices/rng|model",
    "rng/backendModel": "devices/rng/backend|model",
}
"""What libvirt lists for a device → where a VM asks for it."""


@pytest.fixture
def host() -> profile.HostProfile:
    iscsi = luns.KIND in profile.pools(POOLS)
    tried = {"adds_memory": True, "tells_panics": True, "unsigned_uefi": True}
    return profile.profile("kvm1", CAPABILITIES, DOMAIN, 9_000_000, 7_002_000, filters=True, iscsi=iscsi, **tried)


def test_the_machine_is_the_newest_of_the_distribution_s_own(host: profile.HostProfile) -> None:
    assert (host.domain_type, host.emulator, host.machine) == ("kvm", "/usr/libexec/qemu-kvm", "pc-q35-rhel9.2.0")
    assert host.guests.machine_types == ("pc-q35-rhel9.2.0", "pc-q35-rhel9.0.0", "pc-q35-rhel8.6.0", "pc-q35-rhel7.6.0")
    assert host.cpu == profile.CPUModel("Skylake-Client-IBRS", "Intel", (("ss", "require"),))
    assert host.guests.cpu_models == ("qemu64",)


def test_it_has_all_but_iscsi(host: profile.HostProfile) -> None:
    assert host.capabilities == frozenset(Capability) - {Capability.DEFINITION_EVENTS}
    assert host.guests.firmwares == (Firmware.BIOS, Firmware.UEFI)
    [lack] = host.guests.lacks
    assert "iscsi-direct" in lack


@pytest.mark.parametrize("devices", Devices)
@pytest.mark.parametrize("firmware", Firmware)
def test_a_vm_asks_for_no_device_that_it_has_not(host: profile.HostProfile, devices: Devices, firmware: Firmware) -> None:
    attachment = VolumeAttachment("data", VOLUME, POOL)
    volume = MarkedVolume("data", VOLUME, POOL.name, "sda", 1 << 30)
    vm = replace(VM, devices=devices, firmware=firmware, volumes=(attachment,))
    root = build(vm, host, "/seed", [(volume, f"/srv/vireo/vireo-vol-{VOLUME}.1.qcow2")])
    for listed, place in ASKED.items():
        asked = set(_attributes(root, place))
        assert asked, f"nothing is asked for at {place}"
        assert asked <= _offered(listed), listed


def _offered(listed: str) -> set[str]:
    device, name = listed.split("/")
    return {value.text or "" for value in ET.fromstring(DOMAIN).iterfind(f"devices/{device}/enum[@name='{name}']/value")}


def _attributes(root: ET.Element, place: str) -> Iterator[str]:
    path, name = place.split("|")
    return (item.get(name, "") for item in root.iterfind(path))
