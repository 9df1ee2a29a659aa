"""The operations of a cloud, each from a state before it to the one that is declared: for matrices of what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support import adoption, untouched, volumes
from tests.support import cloud as base
from tests.support.live.audit import findings
from tests.support.snapshots import reads, restore, snapshot, store, stored, write
from tests.support.vms import GIB, LARGE, NETWORK, TEMPLATE, VMCloud, vm
from tests.support.volumes import mounted, mounts, volume

Step = Callable[["MatrixCloud"], None]
QUICK = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2)
SLOW = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=2, durations=dict.fromkeys(TASK_METHODS, 3.0))
"""Every call becomes a native task."""

CLUSTER = """
kind: Cluster
metadata: {name: c1}
spec: {zone: z1, pod: p1, hypervisor: Simulator, adopters: {from: All}}
"""
HOST = """
kind: Host
metadata: {{name: host-{n:05d}}}
spec: {{cluster: c1, endpoint: {{url: "simulator://dc/host-{n:05d}"}}}}
"""
SHARED_CLUSTER = CLUSTER.replace("}}", '}, endpoint: {url: "simulator://dc/"}}')
"""One endpoint knows all hosts, like a vCenter's."""
SHARED_HOST = """
kind: Host
metadata: {{name: host-{n:05d}}}
spec: {{cluster: c1}}
"""
_BRING_BACK = ("restore", "restore_volume")
_LIVING = ("VirtualMachine", "Volume", "Snapshot")
DEADLINE = 4500
"""Virtual seconds, within which everything is as declared after the last fault is gone: a call that copies waits for an hour."""


class MatrixCloud(VMCloud):
    """Something may be made to happen at a point of the controller, once."""

    def __init__(self, settings: Settings) -> None:
        self.at: dict[str, Step] = {}
        self.before = untouched.Untouched()
        super().__init__(settings)

    async def point(self, name: str) -> None:
        if happens := self.at.pop(name, None):
            happens(self)
        await super().point(name)

    def list(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, as the audit asks for them."""
        return [raw for key, raw in self.api.objects.items() if key.kind == kind]

    def site(self, hosts: int, *, shared: bool = False) -> None:
        """Apply what VMs need. Hosts have the names that they have in the hypervisor; unless `shared`, each has an endpoint."""
        text = [(SHARED_HOST if shared else HOST).format(n=number) for number in range(1, hosts + 1)]
        self.apply(
            "\n---\n".join(
                [
                    base.ZONE,
                    base.POD,
                    SHARED_CLUSTER if shared else CLUSTER,
                    *text,
                    base.POOL,
                    base.OFFERING,
                    LARGE,
                    TEMPLATE,
                    NETWORK,
                ]
            )
        )


@dataclass(frozen=True)
class Operation:
    """What users do, `act`, after `before`; `method` carries it out on the hypervisor, and is `call` in the driver contract.

    `on_vm` tells whether it is work on the host of the VM `web`; else any host may do it. `done` is what must hold afterwards
    beside that all is as declared. `room` is the offering of another VM on the host that leaves too little of 10 GiB for it,
    empty if it takes no room. `of_site`: it is done to hosts or pools, so the calls that keep in touch with them are steps of it;
    somebody's VMs, which would keep pools on their hosts, are in no pool then unless it is done `among` them.
    """

    name: str
    method: str
    before: Sequence[Step]
    act: Step
    done: Step = lambda cloud: None
    room: str = ""
    on_vm: bool = True
    of_site: bool = False
    among: bool = False

    @property
    def call(self) -> str:
        return self.method.partition(".")[2]


def apply(*texts: str) -> Step:
    return lambda cloud: cloud.apply("\n---\n".join(texts))


def edit(**spec: Any) -> Step:
    return lambda cloud: cloud.edit(**spec)


def _restored(cloud: MatrixCloud) -> None:
    found = cloud.datacentre.vm()
    assert (reads(cloud), found.restores) == ("old", 1)
    assert cloud.condition("SnapshotRestore", "shop/back", "Ready") == ("True", "Completed")


def _deleted(cloud: MatrixCloud) -> None:
    assert [raw["metadata"]["name"] for raw in cloud.list("VirtualMachine")] in ([], ["idle"])
    assert [raw["metadata"]["name"] for raw in cloud.list("Volume")] == ["data"]


def _renamed(cloud: MatrixCloud) -> None:
    assert {name: nic.ip for name, nic in cloud.datacentre.vm().nics.items()}.get("renamed") == "10.1.0.77"


def _reverted(cloud: MatrixCloud) -> None:
    assert stored(cloud) == "old"
    assert cloud.condition("SnapshotRestore", "shop/back", "Ready") == ("True", "Completed")


def _dropped(cloud: MatrixCloud) -> None:
    assert not cloud.list("Volume")


def _let_go(cloud: MatrixCloud) -> None:
    """No host has it, and each has the other one."""
    assert [raw["metadata"]["name"] for raw in cloud.list("StoragePool")] == ["s1"]
    hosts = cloud.datacentre.service.dc.hosts.values()
    assert {host.host: sorted(host.pools) for host in hosts} == {host.host: ["s1"] for host in hosts}


def _adopted(cloud: MatrixCloud) -> None:
    assert adoption.phase(cloud) == "Adopted"
    assert [disk.content for disk in cloud.datacentre.census.disks if disk.instance == adoption.ID] == ["old.img"]


def _left(cloud: MatrixCloud) -> None:
    assert not cloud.exists("VirtualMachine", "shop/web")
    assert adoption.there(cloud).owner is None
    assert [disk.content for disk in cloud.datacentre.census.disks if disk.instance == adoption.ID] == ["written by web"]


def _taken_back(cloud: MatrixCloud) -> None:
    assert adoption.phase(cloud) == "Adopted"
    assert not cloud.exists("VirtualMachine", "shop/old")
    found = cloud.datacentre.vm()
    assert found.owner is not None
    assert found.owner.uid == cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"]


def _take_back(cloud: MatrixCloud) -> None:
    """One object leaves its VM behind, another one takes it."""
    instance = cloud.vm("old")["instanceID"]
    cloud.delete("VirtualMachine", "shop/old")
    cloud.apply(adoption.adopting(mode="Adopt", instance=instance))


def _old(cloud: MatrixCloud) -> None:
    """A VM that somebody else made."""
    adoption.foreign(cloud, adoption.like(cloud))


ADOPTED = apply(adoption.adopting(mode="Adopt"))
WEB = apply(vm())
WITH_DATA = apply(volume(), vm(extra=mounted("data")))
TAKEN: Sequence[Step] = (
    WITH_DATA,
    lambda cloud: write(cloud, "old"),
    apply(snapshot()),
    lambda cloud: write(cloud, "new"),
    edit(powerState="Off", stopMode="Hard"),
)
FRONT, SECOND = {"name": "front", "network": "front"}, {"name": "second", "network": "front", "ip": "10.1.0.77"}
TWO_NICS = apply(vm(networks=["{name: front, network: front}", "{name: second, network: front, ip: 10.1.0.77}"]))
DATA = apply(volume())
COPY = apply(snapshot(of="volume: data"))
SPARE = apply(base.POOL.replace("name: s1", "name: spare").replace("/srv/vms", "/srv/spare"))
COPIED: Sequence[Step] = (DATA, lambda cloud: store(cloud, "old"), COPY, lambda cloud: store(cloud, "new"))
OPERATIONS = [
    Operation("create", "compute.create", [], WEB, room="large"),
    Operation("start", "power.start", [apply(vm(extra="powerState: 'Off'"))], edit(powerState="On"), room="large"),
    Operation("stop", "power.stop", [WEB], edit(powerState="Off")),
    Operation("hard stop", "power.stop", [WEB], edit(powerState="Off", stopMode="Hard")),
    Operation("resize", "compute.apply", [WEB], edit(offering="large"), room="small"),
    Operation("attach", "compute.apply", [apply(volume(), vm())], edit(volumes=mounts("data"))),
    Operation("detach", "compute.apply", [WITH_DATA], edit(volumes=[])),
    Operation("NIC off", "compute.apply", [TWO_NICS], edit(networks=[FRONT])),
    Operation("rename NIC", "compute.apply", [TWO_NICS], edit(networks=[FRONT, {**SECOND, "name": "renamed"}]), _renamed),
    Operation("snapshot", "snapshots.create_snapshot", [WITH_DATA], apply(snapshot())),
    Operation("restore", "snapshots.restore", TAKEN, apply(restore()), _restored),
    Operation("delete", "compute.delete", [WITH_DATA], lambda cloud: cloud.delete("VirtualMachine", "shop/web"), _deleted),
    Operation("grow", "volumes.grow_volume", [WITH_DATA], lambda cloud: volumes.edit(cloud, size="7Gi")),
    Operation("adopt", "adoption.adopt", [_old], ADOPTED, _adopted),
    Operation("let go", "adoption.disown", [_old, ADOPTED], lambda cloud: cloud.delete("VirtualMachine", "shop/web"), _left),
    Operation("take back", "adoption.adopt", [apply(vm("old", extra="deletionPolicy: Retain"))], _take_back, _taken_back),
    Operation("v.create", "volumes.create_volume", [], DATA, on_vm=False),
    Operation(
        "v.delete", "volumes.delete_volume", [DATA], lambda cloud: cloud.delete("Volume", "shop/data"), _dropped, on_vm=False
    ),
    Operation("v.snapshot", "volumes.snapshot_volume", [DATA], COPY, on_vm=False),
    Operation("v.restore", "volumes.restore_volume", COPIED, apply(restore()), _reverted, on_vm=False),
    Operation(
        "p.delete",
        "storage.release_pool",
        [SPARE],
        lambda cloud: cloud.delete("StoragePool", "spare"),
        _let_go,
        on_vm=False,
        of_site=True,
    ),
]
"""Those that begin with "v." are of volumes that no VM has, with "p." of pools."""


async def prepare(cloud: MatrixCloud, operation: Operation, *, hosts: int = 2, idle: str = "small") -> None:
    """A cloud with a VM that nobody touches, of the offering `idle`, in the state before the operation.

    What guests have written then stays; an operation that brings contents back has looked to its own.
    """
    cloud.site(hosts)
    await cloud.settle(30)
    untouched.move_in(cloud, hosts, pool=operation.among or not operation.of_site)
    cloud.apply(vm("idle").replace("offering: small", f"offering: {idle}"))
    await cloud.settle(30)
    for step in operation.before:
        step(cloud)
        await cloud.settle(25)
    only = "idle" if operation.call in _BRING_BACK else ""
    untouched.write(cloud, only=only)
    await cloud.settle(1)
    cloud.before = untouched.seen(cloud, contents_of=only)
    assert not wrong(cloud), wrong(cloud)


def wrong(cloud: MatrixCloud) -> list[str]:
    """Everything that is not as declared: in what exists, in what statuses say, and in the memory of the controller."""
    found = []
    for kind in _LIVING:
        for raw in cloud.list(kind):
            name, status = f"{kind} {raw['metadata']['name']}", raw.get("status", {})
            ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
            if not ready or ready[0]["status"] != "True":
                found.append(f"{name} is not ready: {ready}")
    for key, raw in cloud.api.objects.items():
        if raw.get("status", {}).get("job", {}).get("status") == "InProgress":
            found.append(f"{key} is being worked on")
        if raw["metadata"].get("deletionTimestamp"):
            found.append(f"{key} is being deleted")
    return found or audited(cloud) + _attached(cloud) + _memory(cloud)


def _attached(cloud: MatrixCloud) -> list[str]:
    """Volumes whose status says that another VM has them than has, if any has."""
    having = {each.volume: vm.instance for vm in cloud.datacentre.census.vms for each in vm.volumes}
    found = []
    for raw in cloud.list("Volume"):
        said, has = raw["status"].get("attachedTo", {}).get("instanceID"), having.get(raw["status"].get("volumeID"))
        if said != has:
            found.append(f"Volume {raw['metadata']['name']} is attached to {has}, and says to {said}")
    return found


def audited(cloud: MatrixCloud) -> list[str]:
    """What exists and is not as declared, and what was touched that nobody may touch."""
    return [*findings(cloud, untouched.without(cloud)), *untouched.touched(cloud, cloud.before)]


def _memory(cloud: MatrixCloud) -> list[str]:
    """What the controller holds though nobody has it, or fails to hold."""
    parts = cloud.controller.parts
    held = sorted(str(ip) for ip, _ in parts.addresses.records("shop/front"))
    ours = [each for each in cloud.datacentre.census.vms if each.owner]
    left = [each for raw in cloud.list("Network") for each in raw["status"].get("left", ())]  # by an object, with its mark off
    used = sorted([nic.ip for each in ours for nic in each.nics] + [each["ip"] for each in left])
    found = [f"addresses held are {held}, used {used}"] if held != used else []
    vlans = sorted(vlan for vlan, _ in parts.segments.records("z1"))
    declared = sorted(raw["status"]["segment"]["vlan"] for raw in cloud.list("Network"))
    found += [f"VLANs held are {vlans}, declared {declared}"] if vlans != declared else []
    sized = [
        *cloud.list("VirtualMachine"),
        *cloud.list("Volume"),
        *(raw for raw in cloud.list("Snapshot") if "volume" in raw["spec"]),
    ]
    takes_room = {raw["metadata"]["uid"] for raw in sized}
    counted = {f"uid-{number}" for number in range(100) if parts.placements.size(f"uid-{number}") is not None}
    return found + ([f"room is counted for {counted}, declared are {takes_room}"] if counted != takes_room else [])


async def end_as_declared(cloud: MatrixCloud, operation: Operation) -> int:
    """Wait until all is as declared, and see that it stays so; returns how many virtual seconds it took."""
    seconds = 0
    while (found := unfinished(cloud, operation)) and seconds < DEADLINE:
        step = 1 if seconds < 120 else 15
        await asyncio.sleep(step)
        seconds += step
    assert not found, found
    await cloud.settle(60)
    assert not (found := unfinished(cloud, operation)), found
    return seconds


def unfinished(cloud: MatrixCloud, operation: Operation) -> list[str]:
    """Everything that is not as declared, and what else must hold after the operation."""
    if found := wrong(cloud):
        return found
    try:
        operation.done(cloud)
    except (AssertionError, KeyError, ValueError) as error:
        return [f"{operation.name}: {error!r}"]
    return []


def play(story: Callable[[MatrixCloud], Awaitable[None]], settings: Settings) -> MatrixCloud:
    """Run a story in virtual time."""
    return base.play_in(lambda: MatrixCloud(settings), story)
