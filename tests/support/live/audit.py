"""Whether what exists is exactly what is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from controller.ipam import instance_id
from drivers.simulator.engine.census import Census, CensusVM
from drivers.types import Power
from tests.support.live.api import Api

Manifest = dict[str, Any]


def findings(api: Api, census: Census) -> list[str]:
    """Everything that is not as declared, in words; empty when all is right."""
    vms = {instance_id(vm["metadata"]["uid"]): vm for vm in api.list("VirtualMachine")}
    networks = {f"shop/{each['metadata']['name']}": each for each in api.list("Network")}
    offerings = {each["metadata"]["name"]: each["spec"] for each in api.list("ServiceOffering")}
    ours = [vm for vm in census.vms if vm.owner]
    found = [f"{vm.name} on {vm.host} is an orphan" for vm in ours if vm.instance not in vms]
    found += [f"{vm['metadata']['name']} does not exist" for id, vm in vms.items() if id not in {vm.instance for vm in ours}]
    found += [f"disk {disk.instance}/{disk.name} is an orphan" for disk in census.disks if disk.instance not in vms]
    found += _doubles("instance", (vm.instance for vm in ours))
    found += _doubles("disk", (f"{disk.instance}/{disk.name}" for disk in census.disks))
    found += _doubles("address", (f"{nic.network} {nic.ip}" for vm in ours for nic in vm.nics if nic.ip))
    found += _doubles("status address", (f"{n['network']} {n.get('ip')}" for vm in vms.values() for n in _nics(vm)))
    found += _doubles("VLAN", (str(each["status"]["segment"]["vlan"]) for each in networks.values()))
    for one in ours:
        if one.instance in vms:
            found += _differences(vms[one.instance], one, networks, offerings)
    return found


def _differences(vm: Manifest, have: CensusVM, networks: dict[str, Manifest], offerings: dict[str, Manifest]) -> Iterable[str]:
    """How one VM differs from its object. What it is defined with counts; what waits for a restart is not running yet."""
    name, spec, offering = vm["metadata"]["name"], vm["spec"], offerings[vm["spec"]["offering"]]
    nics = {nic["name"]: nic for nic in _nics(vm)}
    pairs = {
        "owner": (have.owner, vm["metadata"]["uid"]),
        "times made": (have.made, 1),
        "host": (have.host, vm["status"].get("host")),
        "power": (have.power, Power.ON if spec.get("powerState", "On") == "On" else Power.OFF),
        "CPUs": (have.cpus, offering["cpus"]),
        "memory": (have.memory, _bytes(offering["memory"])),
        "interfaces": ({nic.name: nic.ip for nic in have.nics}, {nic: each.get("ip", "") for nic, each in nics.items()}),
        "VLANs": (
            {nic.name: nic.segment.vlan for nic in have.nics},
            {nic: networks[each["network"]]["status"]["segment"]["vlan"] for nic, each in nics.items()},
        ),
    }
    return [f"{name}: {what} is {is_}, declared {declared}" for what, (is_, declared) in pairs.items() if is_ != declared]


def _nics(vm: Manifest) -> list[Manifest]:
    nics: list[Manifest] = vm.get("status", {}).get("nics", [])
    return nics


def _bytes(quantity: str) -> int:
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * {"Mi": 1 << 20, "Gi": 1 << 30}[unit]


def _doubles(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what} {name} is there {count} times" for name, count in Counter(names).items() if count > 1]
