"""Whether what exists is exactly what is declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from controller.ipam import instance_id, snapshot_id, volume_id
from crds.fields import Quantity
from drivers.simulator.engine.census import Census, CensusVM
from drivers.types import Power

Manifest = dict[str, Any]


class Objects(Protocol):
    """An API server."""

    def list(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""


def findings(api: Objects, census: Census) -> list[str]:
    """Everything that is not as declared, in words; empty when all is right."""
    vms = {_instance(vm): vm for vm in api.list("VirtualMachine")}
    networks = {f"shop/{each['metadata']['name']}": each for each in api.list("Network")}
    offerings = {each["metadata"]["name"]: each["spec"] for each in api.list("ServiceOffering")}
    templates = {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in api.list("Template")}
    ours, others = [vm for vm in census.vms if vm.owner], {vm.instance for vm in census.vms if not vm.owner}
    found = [f"{vm.name} on {vm.host} is an orphan" for vm in ours if vm.instance not in vms]
    found += [f"{vm['metadata']['name']} does not exist" for id, vm in vms.items() if id not in {vm.instance for vm in ours}]
    found += [f"disk {disk.instance}/{disk.name} is an orphan" for disk in census.disks if disk.instance not in {*vms, *others}]
    found += _doubles("instance", (vm.instance for vm in ours))
    found += _doubles("disk", (f"{disk.instance}/{disk.name}" for disk in census.disks))
    found += _doubles("address", (f"{nic.network} {nic.ip}" for vm in ours for nic in vm.nics if nic.ip))
    found += _doubles("status address", (f"{n['network']} {n.get('ip')}" for vm in vms.values() for n in _nics(vm)))
    found += _doubles("VLAN", (str(each["status"]["segment"]["vlan"]) for each in networks.values()))
    for one in ours:
        if one.instance in vms:
            found += _differences(vms[one.instance], one, networks, offerings)
            found += _disks(vms[one.instance], one, census, templates)
    return [*found, *_volumes(api, census), *_snapshots(api, census)]


def _instance(vm: Manifest) -> str:
    """The VM that an object has: made from its uid, or adopted."""
    adopt = vm["spec"].get("adopt")
    return str(adopt["instanceID"] if adopt else instance_id(vm["metadata"]["uid"]))


def _volumes(api: Objects, census: Census) -> Iterable[str]:
    """What is wrong with volumes, and with who has them."""
    declared = {volume_id(each["metadata"]["uid"]): each for each in api.list("Volume")}
    there = {each.volume: each for each in census.volumes}
    yield from (f"volume {each.name} is an orphan" for id, each in there.items() if id not in declared)
    yield from (f"volume {id} does not exist" for id, each in declared.items() if _ready(each) and id not in there)
    yield from _doubles("volume", (each.volume for each in census.volumes))
    yield from (f"volume {each.name} was made {each.made} times" for each in there.values() if each.made != 1)
    for id in declared.keys() & there.keys():
        if _ready(declared[id]) and there[id].size != _bytes(declared[id]["spec"]["size"]):
            yield f"volume {there[id].name} has {there[id].size} bytes"
    have = {vm.instance: sorted(each.volume for each in vm.volumes) for vm in census.vms if vm.owner}
    ids = {each["metadata"]["name"]: id for id, each in declared.items()}
    for vm in api.list("VirtualMachine"):
        wanted = sorted(ids.get(each["volume"], each["volume"]) for each in vm["spec"].get("volumes", ()))
        if have.get(_instance(vm), wanted) != wanted:
            yield f"{vm['metadata']['name']}: volumes are not {wanted}"


def _snapshots(api: Objects, census: Census) -> Iterable[str]:
    """What is wrong with snapshots, of VMs and of volumes."""
    declared = {snapshot_id(each["metadata"]["uid"]): each for each in api.list("Snapshot")}
    there = [each.snapshot for vm in census.vms if vm.owner for each in vm.snapshots] + [each.snapshot for each in census.snapshots]
    yield from (f"snapshot {each} is an orphan" for each in there if each not in declared)
    yield from (f"snapshot {id} does not exist" for id, each in declared.items() if _ready(each) and id not in there)
    yield from _doubles("snapshot", there)


def _ready(each: Manifest) -> bool:
    conditions = each.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


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
        "MAC addresses": ({nic.name: nic.mac for nic in have.nics}, {nic: each["mac"] for nic, each in nics.items()}),
        "foreign devices": (have.foreign if "adopt" not in spec else (), ()),
        "VLANs": (
            {nic.name: nic.segment.vlan for nic in have.nics},
            {nic: networks[each["network"]]["status"]["segment"]["vlan"] for nic, each in nics.items()},
        ),
    }
    return [f"{name}: {what} is {is_}, declared {declared}" for what, (is_, declared) in pairs.items() if is_ != declared]


def _disks(vm: Manifest, have: CensusVM, census: Census, templates: dict[str, Manifest]) -> Iterable[str]:
    """What is wrong with the disks of a VM: with which there are, and how large they are.

    A disk does not grow while the VM has snapshots.
    """
    name = vm["metadata"]["name"]
    sizes = {disk.name: disk.size for disk in census.disks if disk.instance == have.instance}
    told = {disk["name"]: _bytes(disk["size"]) for disk in vm["status"].get("disks", ())}
    if sizes != told:
        yield f"{name}: disks are {sizes}, status tells {told}"
    smallest = _root(vm, templates)
    if smallest and not have.snapshots and sizes.get("root") != smallest:
        yield f"{name}: root disk has {sizes.get('root')} bytes, declared {smallest}"


def _root(vm: Manifest, templates: dict[str, Manifest]) -> int:
    """Bytes of the root disk that is declared: at least those of the template's image; 0 if nobody can tell."""
    spec = vm["spec"]
    if "template" not in spec:
        return 0
    namespace, name = spec["template"].get("namespace") or vm["metadata"]["namespace"], spec["template"]["name"]
    image = templates.get(f"{namespace}/{name}", {}).get("status", {}).get("virtualSize", "0")
    return max(_bytes(image), _bytes(spec.get("rootDisk", {}).get("size", "0")))


def _nics(vm: Manifest) -> list[Manifest]:
    nics: list[Manifest] = vm.get("status", {}).get("nics", [])
    return nics


def _bytes(quantity: str) -> int:
    return Quantity(quantity).bytes


def _doubles(what: str, names: Iterable[str]) -> list[str]:
    return [f"{what} {name} is there {count} times" for name, count in Counter(names).items() if count > 1]
