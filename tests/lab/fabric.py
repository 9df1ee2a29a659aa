"""Network namespaces, bridges and the links between them.

The fabric is a namespace with two bridges: `mgmt` carries management and migration, `trunk` carries guest traffic. A bridge
without VLAN filtering passes tagged frames unchanged, so `trunk` is the provider's switch.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import processes
from tests.lab.layout import Layout
from tests.lab.shell import LabError, run, succeeds

BRIDGES = ("mgmt", "trunk")
# Room for a VLAN tag or a VXLAN header around a guest's 1500 bytes.
UNDERLAY_MTU = "1600"
_VXLAN_PORT = "4789"
VXLAN_GROUP = "239.1.1.1"
"""Multicast group in which the VXLANs of the lab's routers and bridges find each other."""


def add_namespace(name: str) -> None:
    """Make a network namespace with its loopback up, unless it is there."""
    with _machine_lock():
        if name not in processes.namespaces():
            run("ip", "netns", "add", name)
    ip(name, "link", "set", "lo", "up")
    _keep_netfilter_off_bridges(name)


def remove_namespaces(names: list[str]) -> None:
    """End every process of these namespaces and remove them; the last one takes the mount of /run/netns along."""
    processes.kill(lambda: processes.members(names))
    with _machine_lock():
        for name in names:
            if name in processes.namespaces():
                run("ip", "netns", "del", name)
        if not processes.namespaces() and os.path.ismount(processes.NAMESPACES):
            run("umount", str(processes.NAMESPACES))
            processes.NAMESPACES.rmdir()


def up(layout: Layout) -> None:
    """Make the fabric and the place of the operator, `ctl`, unless they are there."""
    fabric, operator = layout.namespace("fabric"), layout.namespace("ctl")
    add_namespace(fabric)
    add_namespace(operator)
    for bridge in BRIDGES:
        if not has_link(fabric, bridge):
            ip(fabric, "link", "add", bridge, "mtu", UNDERLAY_MTU, "type", "bridge", *_QUIET_BRIDGE)
        ip(fabric, "link", "set", bridge, "up")
    plug(layout, "ctl", "mgmt")
    ip(operator, "address", "replace", "198.18.0.254/24", "dev", "mgmt0")


def plug(layout: Layout, place: str, bridge: str) -> None:
    """Give a place a link to a bridge of the fabric, unless it has one: mgmt0 or trunk0."""
    connect(layout.namespace(place), f"{bridge}0", layout.namespace("fabric"), f"{place}-{bridge[0]}", UNDERLAY_MTU)
    ip(layout.namespace("fabric"), "link", "set", f"{place}-{bridge[0]}", "master", bridge, "up")


def connect(here: str, interface: str, there: str, peer: str, mtu: str) -> None:
    """Lay a cable between two namespaces and switch on this end, unless it is there."""
    if not has_link(here, interface):
        _remove_link(there, peer)
        run("ip", "link", "add", interface, "netns", here, "mtu", mtu, "type", "veth",
            "peer", "name", peer, "netns", there, "mtu", mtu)  # fmt: skip
    ip(here, "link", "set", interface, "up")


def add_vxlan(namespace: str, interface: str, vlan: int, local: str) -> None:
    """Join the VXLAN that stands for a VLAN, over trunk0. `local`: this end's own underlay address."""
    ip(namespace, "link", "add", interface, "type", "vxlan", "id", str(vlan), "dstport", _VXLAN_PORT,
       "group", VXLAN_GROUP, "local", local, "dev", "trunk0", "ttl", "4")  # fmt: skip
    ip(namespace, "link", "set", interface, "mtu", "1500", "up")


def add_vlan_bridge(layout: Layout, host: str, vlan: int) -> None:
    """The bridge br-vlanN of a host with its VXLAN uplink, unless it is there."""
    namespace, bridge, uplink = layout.namespace(host), f"br-vlan{vlan}", f"vx{vlan}"
    if not has_link(namespace, uplink):
        add_vxlan(namespace, uplink, vlan, layout.tunnel_address(host))
    if not has_link(namespace, bridge):
        ip(namespace, "link", "add", bridge, "type", "bridge", *_QUIET_BRIDGE)
    ip(namespace, "link", "set", uplink, "master", bridge)
    ip(namespace, "link", "set", bridge, "up")


def no_transmit_offload(namespace: str, interface: str) -> None:
    """Have checksums computed: a userspace switch reads frames from the wire and finds them unfinished otherwise."""
    run("ip", "netns", "exec", namespace, "ethtool", "-K", interface, "tx", "off")


def has_link(namespace: str, interface: str) -> bool:
    """Whether a namespace has an interface of that name."""
    return succeeds(["ip", "-n", namespace, "link", "show", interface])


def _remove_link(namespace: str, interface: str) -> None:
    """Without complaint when the kernel, which takes a dead namespace apart in its own time, is quicker."""
    if has_link(namespace, interface) and not succeeds(["ip", "-n", namespace, "link", "del", interface]):
        processes.wait(lambda: not has_link(namespace, interface), f"{interface} of {namespace} did not go")


def ip(namespace: str, *arguments: str) -> str:
    """ip(8) in a network namespace. Raises LabError when it fails."""
    return run("ip", "-n", namespace, *arguments)


_QUIET_BRIDGE = ("stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")


def _keep_netfilter_off_bridges(name: str) -> None:
    # br_netfilter, loaded on machines with containers, would pass guests' frames to the host's firewall
    path = Path("/proc/sys/net/bridge")
    script = f'for file in {path}/bridge-nf-call-*; do [ ! -e "$file" ] || echo 0 > "$file"; done'
    run("nsenter", f"--net={processes.NAMESPACES / name}", "sh", "-c", script)


@contextmanager
def _machine_lock() -> Iterator[None]:
    # /run/netns itself is mounted over and removed, so labs side by side agree on its parent
    descriptor = os.open(processes.NAMESPACES.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise LabError(f"network namespaces of this machine: {error}") from error
    finally:
        os.close(descriptor)
