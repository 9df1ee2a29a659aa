"""The demo's libvirt host and the guest image, both made by the test lab."""

import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from standalone.cache import Progress
from standalone.demo.commands import Runner, reason
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError
from tests.lab import Lab, LabError, requirements
from tests.lab.guest import Image, image

CLUSTER = "kvm"
HOST = "h1"

LOGIN_SECONDS = 180.0
"""For a guest's SSH server to answer once the VM runs; without /dev/kvm a guest boots in 10 to 30."""

BLANK_SIZE = "64M"


class Address(NamedTuple):
    """Where a VM is reached: its address, the VLAN of its network, and the address with prefix length to reach it from."""

    ip: str
    vlan: int
    gateway: str


def why_not() -> str | None:
    """Why there can be no libvirt host here, in one sentence; None if there can."""
    return requirements.missing()


def lab(layout: Layout) -> Lab:
    """The lab of this demo. Raises StandaloneError if its directory can't work."""
    with _one_error():
        return Lab(layout.lab, layout.prefix)


def guest_image() -> Image:
    """The image that boots, from the cache or built now. Raises StandaloneError."""
    with _one_error():
        return image()


def blank_image(runner: Runner, path: Path) -> None:
    """An image without content, for simulated VMs, which do not boot. Raises StandaloneError without qemu-img."""
    tool = shutil.which("qemu-img")
    if tool is None:
        raise StandaloneError("qemu-img is missing, which makes and converts images: install it (Debian: apt install qemu-utils)")
    runner.need("make an image", [tool, "create", "-q", "-f", "qcow2", str(path), BLANK_SIZE])


def up(layout: Layout) -> tuple[str, Path]:
    """Have the libvirt host running; its libvirt URI and a directory on it for a storage pool. Raises StandaloneError."""
    with _one_error():
        ours = lab(layout)
        ours.up(hosts=1, backend="ovs")
        host = ours.host(HOST)
        return host.uri, host.local


def down(layout: Layout) -> None:
    """Leave nothing of the libvirt host. Raises StandaloneError if that is impossible."""
    if layout.lab.exists():
        if reason_not := requirements.missing():
            raise StandaloneError(f"the demo's libvirt host can't be ended: {reason_not}")
        with _one_error():
            lab(layout).down()


def state(layout: Layout) -> str | None:
    """on, off, hung or no-daemon; None if there is no libvirt host."""
    try:
        return lab(layout).host(HOST).state
    except LabError:
        return None


def address(vm: Mapping[str, Any], network: Mapping[str, Any]) -> Address:
    """Where a running VM is reached by its first NIC, on this network. Raises StandaloneError if that has no address or VLAN."""
    nic: Mapping[str, str] = next(iter(vm["status"].get("nics", ())), {})
    subnet = network["spec"].get("subnet", {})
    vlan = re.fullmatch(r"vlan-(\d+)", nic.get("segment", ""))
    if "ip" not in nic or "gateway" not in subnet or vlan is None:
        raise StandaloneError(f"{vm['metadata']['name']} has no address on a VLAN with a gateway")
    return Address(nic["ip"], int(vlan[1]), f"{subnet['gateway']}/{subnet['cidr'].partition('/')[2]}")


def ssh(layout: Layout, at: Address) -> list[str]:
    """A command line that logs in to the VM at an address; append a command for it. Raises StandaloneError."""
    with _one_error():
        ours = lab(layout)
        ours.add_gateway(at.vlan, at.gateway)
        return ours.ssh_command(at.ip, layout.key, at.vlan)


def log_in(layout: Layout, runner: Runner, at: Address, command: str, progress: Progress) -> str:
    """What `command` prints on the VM at an address, over SSH. Raises StandaloneError if nobody answers in time."""
    argv = [*ssh(layout, at), command]
    deadline = time.monotonic() + LOGIN_SECONDS
    while (done := runner.run(argv)).returncode:
        progress(f"waiting for the SSH server of {at.ip}")
        if time.monotonic() > deadline:
            raise StandaloneError(f"nobody answers SSH on {at.ip} after {LOGIN_SECONDS:.0f} s: {reason(done.stderr)}")
        time.sleep(1.0)
    return done.stdout


@contextmanager
def _one_error() -> Iterator[None]:
    try:
        yield
    except LabError as error:
        known = reason(str(error))
        raise StandaloneError(str(error) if known in str(error) else f"{known} ({error})") from error
