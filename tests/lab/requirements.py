"""What a machine must have to run a lab."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.lab import shell

COMMANDS = {
    "ethtool": "ethtool",
    "genisoimage": "genisoimage",
    "ip": "iproute2",
    "libvirtd": "libvirt-daemon-system",
    "nsenter": "util-linux",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-switch",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "unshare": "util-linux",
}


@cache
def missing() -> str | None:
    """Why this machine cannot run lab hosts, one sentence; None when it can."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"lab hosts need Linux on x86_64, this is {platform.system()} on {platform.machine()}"
    if os.geteuid() != 0:
        return "lab hosts need root: run as root"
    absent = sorted({package for command, package in COMMANDS.items() if shell.find(command) is None})
    if absent:
        return f"lab hosts need Debian packages that are not installed: apt-get install {' '.join(absent)}"
    if find_spec("libvirt") is None:
        return "lab hosts need libvirt-python in this Python: make bootstrap"
    if not Path("/dev/net/tun").is_char_device():
        return "lab hosts need /dev/net/tun, which this machine does not have"
    if not shell.succeeds(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "true"]):
        return "lab hosts need namespaces of their own, which this machine refuses even to root"
    return None
