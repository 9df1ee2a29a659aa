"""What VMs stand on: operations of hosts and pools for the matrix of kills, and what must hold of hosts and pools afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.runtime.keys import Key
from crds.fields import Quantity
from drivers.types import HostID
from tests.support import cloud as base
from tests.support import kstatus
from tests.support.matrix import CLUSTER, HOST, SPARE, WEB, MatrixCloud, Operation, Step, edit
from tests.support.vms import AROUND, vm

Raw = Mapping[str, Any]
SHARED = CLUSTER.replace("hypervisor: Simulator", 'hypervisor: Simulator, endpoint: {url: "simulator://dc/"}')
"""All hosts answer at the endpoint of their cluster."""
_HOSTS = {"host-00001": HOST.format(n=1), "host-00002": HOST.format(n=2)}


def together(*steps: Step) -> Step:
    """All of it in one moment."""

    def step(cloud: MatrixCloud) -> None:
        for each in steps:
            each(cloud)

    return step


def _other(cloud: MatrixCloud) -> str:
    """The host that the VM which nobody touches is not on, whether it is declared or not."""
    [name] = _HOSTS.keys() - {cloud.vm("idle")["host"]}
    return name


def _there(cloud: MatrixCloud) -> None:
    """A VM on that host."""
    cloud.apply(vm(extra=f"placement: {{host: {_other(cloud)}}}"))


def _administer(state: str) -> Step:
    return lambda cloud: cloud.api.edit(Key("Host", "", _other(cloud)), adminState=state)


def _own_pool(cloud: MatrixCloud) -> None:
    """A pool that is only on that host."""
    pool = base.POOL.replace("name: s1", "name: own").replace("/srv/vms", "/srv/own")
    cloud.apply(pool.replace("scope: Zone", f"scope: Host, host: {_other(cloud)}"))


def _remove_host(cloud: MatrixCloud) -> None:
    cloud.delete("Host", _other(cloud))


def _add_host(cloud: MatrixCloud) -> None:
    cloud.apply(_HOSTS[_other(cloud)])


def _remove_all(cloud: MatrixCloud) -> None:
    """First what all else waits for, last what waits for all else: nobody heeds an order."""
    _remove_host(cloud)
    cloud.delete("StoragePool", "own")
    cloud.delete("VirtualMachine", "shop/web")


def _share(cloud: MatrixCloud) -> None:
    """Hosts give up the endpoints of their own."""
    cloud.apply(SHARED)
    for name in _HOSTS:
        cloud.api.edit(Key("Host", "", name), endpoint=None)


def _in_maintenance(cloud: MatrixCloud) -> None:
    status = cloud.status("Host", _other(cloud))
    assert (status["resourceState"], status.get("running", [])) == ("Maintenance", [])


def _enabled(cloud: MatrixCloud) -> None:
    assert cloud.status("Host", _other(cloud))["resourceState"] == "Enabled"
    assert cloud.condition("Host", _other(cloud), "Schedulable") == ("True", "Up")


def _shared(cloud: MatrixCloud) -> None:
    links = {each.name: each for each in cloud.controller.inventory.links()}
    assert {name: (link.up, link.sole) for name, link in links.items()} == dict.fromkeys(_HOSTS, (True, False))


def _gone(cloud: MatrixCloud) -> None:
    assert [raw["metadata"]["name"] for raw in cloud.list("VirtualMachine")] == ["idle"]
    assert [raw["metadata"]["name"] for raw in cloud.list("StoragePool")] == ["s1"]
    assert not cloud.exists("Host", _other(cloud))


def _kept(cloud: MatrixCloud) -> None:
    """The host is nobody's any more; somebody's VM runs on in the one pool, and only that is there still."""
    name = _other(cloud)
    assert not cloud.exists("Host", name)
    there = cloud.datacentre.service.dc.hosts[HostID(name)]
    assert sorted(there.pools) == ["s1"]
    assert [vm.has_power for vm in there.vms.values() if not vm.owner] == [True]


def _on_all(cloud: MatrixCloud) -> None:
    assert cloud.condition("StoragePool", "spare", "HostsReady") == ("True", "Mounted")
    assert cloud.status("StoragePool", "spare")["hostsMounted"] == len(_HOSTS)


OFF, ON = edit(powerState="Off"), edit(powerState="On")
MAINTAIN, ENABLE = _administer("Maintenance"), _administer("Enabled")
SITE_OPERATIONS = [
    Operation("h.add", "compute.create", [_remove_host], together(_add_host, _there), _enabled, of_site=True),
    Operation("h.maintain", "power.stop", [_there], together(MAINTAIN, OFF), _in_maintenance, of_site=True),
    Operation("h.enable", "power.start", [_there, together(MAINTAIN, OFF)], together(ENABLE, ON), _enabled, of_site=True),
    Operation("h.endpoint", "power.stop", [WEB], together(_share, OFF), _shared, of_site=True),
    Operation("h.remove", "compute.delete", [_own_pool, _there], _remove_all, _gone, of_site=True),
    Operation("h.leave", "storage.release_pool", [SPARE], _remove_host, _kept, on_vm=False, of_site=True, among=True),
    Operation("p.create", "storage.ensure_pool", [], SPARE, _on_all, of_site=True),
]
"""Those that begin with "h." are of hosts, with "p." of pools."""


def unsettled(cloud: MatrixCloud) -> list[str]:
    """Everything that is not as declared in what VMs stand on, and in what is told and counted there."""
    return [*_unready(cloud), *_miscounted(cloud), *_defined(cloud)]


def _unready(cloud: MatrixCloud) -> Iterator[str]:
    for kind in sorted(AROUND):
        for raw in cloud.list(kind):
            if kstatus.compute(raw) != kstatus.CURRENT or not kstatus.wait_for_ready(raw):
                yield f"{kind} {raw['metadata']['name']} is not ready: {raw.get('status')}"
            if raw["metadata"].get("finalizers") != [base.FINALIZER]:
                yield f"{kind} {raw['metadata']['name']} may go at any time: {raw['metadata'].get('finalizers')}"


def _miscounted(cloud: MatrixCloud) -> Iterator[str]:
    """Sums in statuses that are not those of what is there."""
    hosts, wanted = cloud.list("Host"), dict[tuple[str, str], object]()
    up = sum(raw["status"]["state"] == "Up" for raw in hosts)
    for raw in hosts:
        promised = cloud.controller.parts.placements.promised(raw["metadata"]["name"])
        placed = [each for each in cloud.list("VirtualMachine") if each["status"].get("host") == raw["metadata"]["name"]]
        wanted["Host", raw["metadata"]["name"]] = [promised.cpus, promised.memory, len(placed)]
    figures = [_figures(raw) for raw in hosts]
    wanted["Cluster", "c1"] = [len(hosts), up, *map(sum, zip(*figures, strict=True))]
    wanted["Pod", "p1"] = {"clusters": 1, "hosts": len(hosts), "hostsUp": up}
    wanted["Zone", "z1"] = {"pods": 1, "clusters": 1, "hosts": len(hosts), "hostsUp": up}
    for raw in cloud.list("StoragePool"):
        wanted["StoragePool", raw["metadata"]["name"]] = sum(_sizes(cloud, raw["metadata"]["name"]))
    for (kind, name), value in wanted.items():
        if (told := _told(kind, cloud.status(kind, name))) != value:
            yield f"{kind} {name} tells {told}, there is {value}"


def _told(kind: str, status: Raw) -> object:
    match kind:
        case "Host":
            return _figures({"status": status})
        case "Cluster":
            return [status.get("hostsTotal", 0), status.get("hostsUp", 0), *_figures({"status": status})]
        case "StoragePool":
            return Quantity(status.get("capacity", {}).get("allocated", "0")).bytes
        case _:
            return status.get("counts")


def _figures(raw: Raw) -> list[int]:
    """CPUs, bytes of memory and VMs that are promised there."""
    told = raw["status"].get("allocated", {})
    return [told.get("cpus", 0), Quantity(told.get("memory", "0")).bytes, told.get("vms", 0)]


def _sizes(cloud: MatrixCloud, pool: str) -> Iterable[int]:
    """Of all that objects have in a pool, in bytes."""
    disks = [disk for raw in cloud.list("VirtualMachine") for disk in raw["status"].get("disks", ())]
    contents = [raw["status"] for kind in ("Volume", "Snapshot") for raw in cloud.list(kind)]
    return [Quantity(each["size"]).bytes for each in (*disks, *contents) if each.get("pool") == pool and each.get("size")]


def _defined(cloud: MatrixCloud) -> Iterator[str]:
    """Hosts that have a pool too many, or too few: each has those of its scope, one that nobody declares those that VMs keep."""
    declared = {raw["metadata"]["name"] for raw in cloud.list("Host")}
    pools = [(raw["metadata"]["name"], raw["spec"].get("host")) for raw in cloud.list("StoragePool")]
    for host in cloud.datacentre.service.dc.hosts.values():
        wanted = sorted(name for name, only in pools if host.host in declared and only in (None, host.host))
        if host.host not in declared:
            used = {disk.pool.path for each in host.vms.values() for disk in each.disks.values()}
            wanted = sorted(name for name, pool in host.pools.items() if pool.path in used)
        if sorted(host.pools) != wanted:
            yield f"{host.host} has the pools {sorted(host.pools)}, declared are {wanted}"
