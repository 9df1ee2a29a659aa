"""NICs of a VM and their addresses, for the tests of this folder: what exists, and what the controller holds."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from drivers.types import Capability, ObservedNIC
from tests.support.vms import GIB, VMCloud, site, vm

QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3.0))
"""Every call becomes a native task."""

COLD = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, capabilities=QUICK.capabilities - {Capability.NIC_HOTPLUG})
"""NICs come and go while the VM is off."""

BACK = """
kind: Network
metadata: {name: back, namespace: shop}
spec: {zone: z1, type: Shared, subnet: {cidr: 10.2.0.0/24, gateway: 10.2.0.1}}
"""


def entry(name: str, ip: str = "", mac: str = "", network: str = "front") -> dict[str, Any]:
    """One of spec.networks."""
    return {"name": name, "network": network} | ({"ip": ip} if ip else {}) | ({"mac": mac} if mac else {})


def declared(*entries: dict[str, Any]) -> list[str]:
    """Entries as `tests.support.vms.vm` takes them."""
    return [str(each).replace("'", '"') for each in entries]


async def made(cloud: VMCloud, *entries: dict[str, Any], extra: str = "") -> None:
    """A site with two networks, and a VM that runs with these NICs."""
    cloud.apply(site(2))
    cloud.apply(BACK)
    await cloud.settle(30)
    cloud.apply(vm(networks=declared(*entries), extra=extra))
    await cloud.settle(40)
    assert cloud.reason() == ("True", "Running")


def nics(cloud: VMCloud, name: str = "web") -> dict[str, ObservedNIC]:
    """What a VM has on the hypervisor."""
    return dict(cloud.datacentre.vm(name).nics)


def held(cloud: VMCloud, network: str = "front", name: str = "") -> dict[str, str]:
    """Which address is held by which NIC, of this VM or of any."""
    records = cloud.controller.parts.addresses.records(f"shop/{network}")
    return {str(ip): owner.part for ip, owner in records if not name or owner.name == f"shop/{name}"}


def former(cloud: VMCloud) -> list[tuple[str, str]]:
    """Name and address of what the status says that the VM still has."""
    return [(each["name"], each.get("ip", "")) for each in cloud.vm().get("formerNics", [])]


def address_twice(cloud: VMCloud) -> list[str]:
    """IP and MAC addresses that two NICs of the cloud have at once."""
    seen: Counter[str] = Counter()
    for each in cloud.datacentre.census.vms:
        for nic in each.nics:
            seen.update({f"{nic.network} {nic.ip}", nic.mac} if nic.ip else {nic.mac})
    return [address for address, count in seen.items() if count > 1]


def given_away(cloud: VMCloud, name: str = "web") -> list[str]:
    """Addresses that a NIC has and nobody, or another VM, holds."""
    uid = cloud.raw("VirtualMachine", f"shop/{name}")["metadata"]["uid"]
    records = {
        (network, str(ip)): owner.uid
        for network in ("shop/front", "shop/back")
        for ip, owner in cloud.controller.parts.addresses.records(network)
    }
    return [nic.ip for nic in nics(cloud, name).values() if nic.ip and records.get((nic.network, nic.ip)) != uid]
