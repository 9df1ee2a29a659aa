"""The lab as the external router of a VLAN: a namespace that owns the gateway address and so reaches the guests.

One namespace for each VLAN: two VLANs may use the same addresses.
"""

from __future__ import annotations

import ipaddress

from tests.lab import fabric
from tests.lab.host import Host, run_in
from tests.lab.layout import Layout
from tests.lab.record import Record
from tests.lab.shell import LabError

_INTERFACE = "eth0"


def place(vlan: int) -> str:
    """Name of the place that is the router of a VLAN. Raises LabError for a number that is no VLAN id (IEEE 802.1Q)."""
    if not 1 <= vlan <= 4094:
        raise LabError(f"VLAN {vlan}: use 1 to 4094")
    return f"vlan{vlan}"


def parse(address: str) -> str:
    """Check an address like 10.10.0.1/24. Raises LabError."""
    try:
        parsed = ipaddress.ip_interface(address)
    except ValueError as error:
        raise LabError(f"gateway {address!r}: use an address with prefix length, as in 10.10.0.1/24") from error
    if "/" not in address:
        raise LabError(f"gateway {address!r}: the prefix length is missing, as in {parsed}")
    return str(parsed)


def ensure(layout: Layout, record: Record, hosts: list[Host], vlan: int) -> None:
    """Have the router of a VLAN in place, also after the host that it was plugged into crashed."""
    name, mac, address = layout.namespace(place(vlan)), _mac(vlan), record.gateways[vlan]
    fabric.add_namespace(name)
    # the MAC is set last: with it the plugging was completed
    if not fabric.has_link(name, _INTERFACE) or mac not in fabric.ip(name, "link", "show", _INTERFACE):
        if record.backend == "ovs":
            _plug_into_switch(layout, hosts, vlan, name)
        else:
            _join_vxlan(layout, vlan, name)
        fabric.ip(name, "link", "set", _INTERFACE, "address", mac)
    if f" {address} " not in fabric.ip(name, "address", "show", "dev", _INTERFACE):
        fabric.ip(name, "address", "flush", "dev", _INTERFACE)
        fabric.ip(name, "address", "add", address, "dev", _INTERFACE)


def _mac(vlan: int) -> str:
    # the same one wherever it is plugged in: guests remember it
    return f"02:00:00:00:{vlan >> 8:02x}:{vlan & 255:02x}"


def _plug_into_switch(layout: Layout, hosts: list[Host], vlan: int, name: str) -> None:
    """An access port with the VLAN's tag on the switch of the first host that is on."""
    host = next((host for host in hosts if host.running), None)
    if host is None:
        raise LabError(f"VLAN {vlan}: no host is on, so there is no switch to plug its router into")
    port = place(vlan)
    fabric.connect(name, _INTERFACE, layout.namespace(host.name), port, "1500")
    fabric.no_transmit_offload(name, _INTERFACE)
    fabric.ip(layout.namespace(host.name), "link", "set", port, "up")
    run_in(host, "ovs-vsctl", "--timeout=20", "--may-exist", "add-port", "ovsbr0", port, f"tag={vlan}")


def _join_vxlan(layout: Layout, vlan: int, name: str) -> None:
    fabric.plug(layout, place(vlan), "trunk")
    fabric.ip(name, "address", "replace", f"{layout.tunnel_address(place(vlan))}/16", "dev", "trunk0")
    if not fabric.has_link(name, _INTERFACE):
        fabric.add_vxlan(name, _INTERFACE, vlan, layout.tunnel_address(place(vlan)))
