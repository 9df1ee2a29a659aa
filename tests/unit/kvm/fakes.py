"""What unit tests use in place of libvirt: its errors, and a host."""

import libvirt

from drivers.kvm.host.profile import HostProfile
from drivers.types import HostID

HOST = HostProfile(
    host=HostID("kvm1"),
    uuid="c0c18bca-cb18-0fef-2b53-1c3400816874",
    libvirt=(9, 0, 0),
    qemu=(7, 2, 22),
    domain_type="kvm",
    emulator="/usr/bin/qemu-system-x86_64",
    machine="pc-q35-7.2",
    cpu_mode="host-model",
    max_cpus=288,
    uefi=True,
    filters=True,
    iscsi=True,
)


def libvirt_error(code: int, message: str = "", number: int = -1, domain: int = 0) -> libvirt.libvirtError:
    """An error as libvirt-python raises it: code, domain, message, level, three strings, two integers."""
    error = libvirt.libvirtError("ignored")
    error.err = (code, domain, message, 2, message, None, None, number, -1)
    return error
