"""VMs that stay without an object: a soak lets go of, and takes over, only what is at rest, and sees when it does not stay so."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.model import Pool, PoolKey
from drivers.types import HostID, InstanceID, ObservedNIC, Owner, Segment
from tests.soak.calm import _strangers, _without
from tests.soak.declared import VM, Declared, Snapshot
from tests.soak.outside import Outside
from tests.soak.site import THEIRS, Site
from tests.soak.staying import MOST, Staying, disturbed, shared_addresses
from tests.support.live.cloud import host_names
from tests.unit.soak.test_faults import Control

UID = "11111111-2222-4333-8444-555555555555"
ID = "6cdcc094-7d4f-4b46-9063-dc28e4222c98"
[HOST, *_] = host_names(6)
TARGET = f"{HOST}/{ID}"
LIKE = f"name=legacy cpus=1 memory={1 << 30} disk=/pools/shared/legacy.img:{1 << 30} nic=52:54:00:00:00:01/100/10.1.0.201"


class Api:
    """An API server that takes everything; each VirtualMachine has the same uid."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = defaultdict(dict)
        self.deleted: list[tuple[str, dict[str, Any]]] = []

    def apply(self, manifest: dict[str, Any]) -> None:
        self.objects[manifest["metadata"]["name"]] = manifest["spec"]

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        assert kind == "VirtualMachine"
        self.objects[name].update(change["spec"])

    def delete(self, kind: str, name: str) -> None:
        assert kind == "VirtualMachine"
        self.deleted.append((name, self.objects.pop(name)))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return {"metadata": {"uid": UID}, "status": {"segment": {"vlan": 100}}}


class Cloud:
    """A datacentre, what users declared, and what they do about VMs that stay."""

    def __init__(self) -> None:
        self.api, self.control, self.declared = Api(), Control(), Declared()
        key = PoolKey(HostID(""), "/pools/shared")
        self.control.datacentre.pools[key] = Pool(key, 1 << 40)
        there = SimpleNamespace(cloud=SimpleNamespace(api=self.api, control=self.control), crashes=Counter())
        self.site = cast(Site, there)
        self.outside = Outside(self.site, self.declared, Random(1))
        self.staying = Staying(self.site, self.declared, self.outside, Random(1))

    def somebodys(self, description: str = LIKE, target: str = TARGET) -> None:
        self.control.act(Act.FOREIGN_VM, target, description)
        self.outside.foreign.append(target)

    def mine(self, **how: Any) -> VM:
        """One that Vireo made, at rest since the last calm."""
        self.control.act(Act.FOREIGN_VM, TARGET, LIKE)
        self.mark(UID)
        vm = VM("vm-1", "small", networks=["front"], settled=True)
        for name, value in how.items():
            setattr(vm, name, value)
        self.declared.vms["vm-1"] = vm
        self.api.objects["vm-1"] = {}
        return vm

    def mark(self, uid: str) -> None:
        """Vireo has written its mark, or taken it off."""
        self.vm.owner = Owner(uid, "shop", "vm") if uid else None

    @property
    def vm(self) -> Any:
        return self.control.datacentre.hosts[HostID(HOST)].vms[InstanceID(ID)]

    def calm(self) -> None:
        self.declared.calm()
        self.staying.calm()

    def wrong(self) -> list[str]:
        return list(disturbed(self.site, self.declared, self.control.census()))


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_somebodys_vm_is_adopted_as_it_is(cloud: Cloud) -> None:
    cloud.somebodys()
    assert cloud.staying.adopt() == "adopt legacy as adopted-1"
    networks = [{"name": "front", "network": "front"}]
    adopt = {"instanceID": ID, "mode": "Adopt"}
    assert cloud.api.objects == {
        "adopted-1": {"adopt": adopt, "offering": "small", "zone": "z", "powerState": "On", "networks": networks}
    }
    assert cloud.outside.foreign == []
    assert cloud.declared.names()["VirtualMachine"] == {"adopted-1"}
    assert cloud.wrong() == []


@pytest.mark.parametrize("description", ["", "off", "name=bare"])
def test_a_vm_without_interfaces_is_not_adopted(cloud: Cloud, description: str) -> None:
    cloud.somebodys(description)
    assert cloud.staying.adopt() == ""


def test_a_vm_that_is_off_stays_off(cloud: Cloud) -> None:
    cloud.somebodys(f"{LIKE} off")
    assert cloud.staying.adopt()
    assert cloud.api.objects["adopted-1"]["powerState"] == "Off"


def test_a_retained_vm_keeps_its_mark_and_is_adopted_again(cloud: Cloud) -> None:
    cloud.mine()
    assert cloud.staying.retain() == "retain legacy"
    assert cloud.api.deleted == [("vm-1", {"deletionPolicy": "Retain"})]
    assert cloud.declared.names()["VirtualMachine"] == set()
    assert cloud.wrong() == []
    assert cloud.staying.adopt() == "", "its object need not be gone yet"
    cloud.calm()
    assert cloud.staying.adopt() == "adopt legacy as adopted-1"
    assert (list(cloud.declared.left), list(cloud.declared.adopted)) == ([], ["adopted-1"])


@pytest.mark.parametrize(
    "how",
    [{"changed": True}, {"held": True}, {"read": True}, {"storing": True}, {"settled": False}, {"volumes": ["volume-1"]}],
    ids=lambda how: next(iter(how)),
)
def test_what_is_not_at_rest_is_not_retained(cloud: Cloud, how: dict[str, Any]) -> None:
    cloud.mine(**how)
    assert cloud.staying.retain() == ""
    assert "vm-1" in cloud.api.objects


def test_a_vm_with_snapshots_is_not_retained(cloud: Cloud) -> None:
    cloud.mine()
    cloud.declared.snapshots["s"] = Snapshot("s", vm="vm-1")
    assert cloud.staying.retain() == ""


def test_after_a_crash_of_its_host_a_vm_is_let_alone_until_it_is_calm(cloud: Cloud) -> None:
    cloud.mine()
    cloud.site.crashes[HOST] += 1
    assert cloud.staying.retain() == ""
    cloud.calm()
    assert cloud.staying.retain()


def test_an_adopted_vm_that_is_let_go_loses_its_mark(cloud: Cloud) -> None:
    cloud.somebodys()
    assert cloud.staying.let_go() == ""
    cloud.staying.adopt()
    assert cloud.staying.let_go() == "", "it need not be adopted yet"
    cloud.mark(UID)
    cloud.calm()
    assert cloud.staying.let_go() == "let go of adopted-1"
    assert [name for name, _ in cloud.api.deleted] == ["adopted-1"]
    assert "deletionPolicy" not in cloud.api.deleted[0][1]
    assert cloud.wrong() == [f"legacy, which has no object, carries the mark {UID!r}, not ''"]
    cloud.mark("")
    assert cloud.wrong() == []


def test_a_retained_vm_that_loses_its_mark_is_told(cloud: Cloud) -> None:
    cloud.mine()
    cloud.staying.retain()
    cloud.mark("")
    assert cloud.wrong() == [f"legacy, which has no object, carries the mark '', not {UID!r}"]


def test_an_adopted_vm_is_removed_only_when_asked_for(cloud: Cloud) -> None:
    cloud.somebodys()
    cloud.staying.adopt()
    cloud.calm()
    assert cloud.staying.remove() == "remove adopted-1"
    assert [(name, spec["deletionPolicy"]) for name, spec in cloud.api.deleted] == [("adopted-1", "Delete")]
    assert cloud.declared.staying() == []


def _restart(cloud: Cloud) -> None:
    cloud.control.act(Act.POWER_OFF, TARGET)
    cloud.control.act(Act.POWER_ON, TARGET)


DISTURBED = pytest.mark.parametrize(
    "disturb",
    [
        _restart,
        lambda cloud: cloud.control.act(Act.POWER_OFF, TARGET),
        lambda cloud: cloud.control.act(Act.SET_CPUS, TARGET, "2"),
        lambda cloud: cloud.control.act(Act.SET_MEMORY, TARGET, "1"),
        lambda cloud: cloud.control.act(Act.REMOVE_NIC, TARGET, "52:54:00:00:00:01"),
        lambda cloud: cloud.control.act(Act.MOVE_VM, TARGET, host_names(6)[1]),
        lambda cloud: cloud.control.act(Act.DELETE_VM, TARGET),
        lambda cloud: cloud.control.act(Act.WRITE_DISK, TARGET, "vda=other"),
    ],
    ids=["restart", "off", "cpus", "memory", "nic", "move", "delete", "write"],
)


@DISTURBED
def test_what_does_not_stay_as_it_was_is_told(cloud: Cloud, disturb: Callable[[Cloud], None]) -> None:
    cloud.somebodys()
    cloud.staying.adopt()
    disturb(cloud)
    assert len(cloud.wrong()) == 1


def test_what_lost_its_power_with_its_host_counts_as_it_is_then(cloud: Cloud) -> None:
    cloud.somebodys()
    cloud.staying.adopt()
    cloud.site.crashes[HOST] += 1
    _restart(cloud)
    assert cloud.wrong() == []
    cloud.calm()
    assert cloud.wrong() == []
    _restart(cloud)
    assert cloud.wrong() != []


def test_there_are_never_too_many(cloud: Cloud) -> None:
    for number in range(2 * MOST):
        cloud.somebodys(LIKE, f"{HOST}/6cdcc094-7d4f-4b46-9063-0000000000{number:02}")
        cloud.staying.adopt()
    cloud.mine()
    assert len(cloud.declared.staying()) == MOST
    assert cloud.staying.retain() == ""


def test_what_was_let_go_is_nobodys_orphan_and_no_stranger(cloud: Cloud) -> None:
    cloud.somebodys()
    cloud.staying.adopt()
    cloud.calm()
    cloud.staying.let_go()
    census = _without(cloud.control.census(), cloud.declared.left)
    assert len(cloud.control.census().disks) == 1
    assert (census.vms, census.disks) == ((), ())
    assert list(_strangers(census, cloud.outside)) == []
    assert list(_strangers(cloud.control.census(), cloud.outside)) != []


@pytest.mark.parametrize(("nic", "shared"), [("100/10.1.0.201", True), ("101/10.1.0.201", False), ("100/10.1.0.202", False)])
def test_an_address_that_two_have_is_told(cloud: Cloud, nic: str, shared: bool) -> None:
    vlan, _, ip = nic.partition("/")
    cloud.somebodys()
    for mac, segment, address in (("52:54:00:00:00:01", Segment(100), "10.1.0.201"), ("other", Segment(int(vlan)), ip)):
        cloud.vm.nics[mac] = ObservedNIC(mac, mac, "", segment, address)
    assert bool(list(shared_addresses(cloud.control.census()))) is shared


def test_somebody_makes_vms_that_can_be_adopted_and_others(cloud: Cloud) -> None:
    while not all(each in {bool(vm.nics) for vm in cloud.control.census().vms} for each in (True, False)):
        cloud.outside._strange()
        if len(cloud.outside.foreign) == 4:
            cloud.outside.foreign.clear()
    vms = [vm for host in cloud.control.datacentre.hosts.values() for vm in host.vms.values()]
    ips = [ip for vm in vms for _, addresses in vm.guest.addresses for ip in addresses]
    assert ips
    assert all(int(ip.rpartition(".")[2]) > THEIRS for ip in ips)
    assert {nic.segment.vlan for vm in cloud.control.census().vms for nic in vm.nics} == {100}


def test_what_users_ask_of_a_vm_is_noted_until_it_is_calm() -> None:
    declared = Declared(vms={"vm-1": VM("vm-1", "small", changed=True)})
    declared.calm()
    assert not declared.vms["vm-1"].changed
