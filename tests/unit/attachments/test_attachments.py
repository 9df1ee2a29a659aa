"""Who has a volume: one VM at a time, however the question is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from controller.ipam import instance_id, volume_id
from controller.placing.attachments import Attachments, left_on
from controller.runtime.keys import Key
from controller.runtime.store import Store
from controller.shared.lookups import register_all
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from drivers.types import AttachedVolume, InstanceID, ObservedVM, Owner, VolumeID
from tests.support.vms import vm
from tests.support.volumes import mounted, volume
from tests.unit.vm.things import as_made, wanted


class Link:
    name, up, observed = "h1", True, True

    def __init__(self) -> None:
        self.seen: list[ObservedVM] = []

    def with_volume(self, identity: VolumeID) -> list[ObservedVM]:
        return [vm for vm in self.seen if identity in [each.volume for each in vm.volumes]]


class World:
    """VMs and a volume in the API, and what is seen on one host."""

    def __init__(self) -> None:
        self.store, self.host, self.version = Store(), Link(), 0
        self.links_known = True
        register_all(self.store)
        self.put(volume())
        self.restart()

    def restart(self) -> None:
        self.attachments = Attachments(self.store, self)  # type: ignore[arg-type]

    def links(self) -> list[Link]:
        return [self.host]

    def link(self, host: str) -> Link | None:
        return self.host if host == "h1" and self.links_known else None

    def find(self, instance: InstanceID) -> tuple[str, ObservedVM] | None:
        return next((("h1", vm) for vm in self.host.seen if vm.instance == instance), None)

    def put(self, text: str, uid: str = "", created: str = "2026-11-20T10:00:00Z", **status: Any) -> None:
        raw, self.version = yaml.safe_load(text), self.version + 1
        meta = {"uid": uid or f"uid-{raw['metadata']['name']}", "generation": 1, "creationTimestamp": created}
        raw["metadata"] |= meta | {"resourceVersion": str(self.version)}
        self.store.upsert(raw | ({"status": status} if status else {}))

    def claim(self, name: str) -> Key | None:
        found = self.store.get(VirtualMachine, name, "shop")
        assert found is not None
        return self.attachments.claim(found, self.volume)

    @property
    def volume(self) -> Volume:
        found = self.store.get(Volume, "data", "shop")
        assert found is not None
        return found

    def see(self, name: str) -> None:
        """The hypervisor shows the volume on a VM."""
        machine = as_made(wanted(owner=Owner(f"uid-{name}", "shop", name)))
        attached = AttachedVolume("data", volume_id("uid-data"), "s1", 1)
        self.host.seen = [replace(machine, instance=instance_id(f"uid-{name}"), volumes=(attached,))]


def key(name: str) -> Key:
    return Key("VirtualMachine", "shop", name)


STATUS = {"volumes": [{"name": "data", "volume": "data", "volumeID": volume_id("uid-data"), "size": "5Gi"}]}


def test_first_come_first_served_until_it_is_given_up() -> None:
    world = World()
    for name in "ab":
        world.put(vm(name, mounted("data")))
    assert (world.claim("a"), world.claim("a"), world.claim("b")) == (None, None, key("a"))
    world.attachments.keep("uid-a", {volume_id("uid-data")})
    assert world.claim("b") == key("a")
    world.attachments.keep("uid-a")
    assert (world.claim("b"), world.claim("a")) == (None, key("b"))


@pytest.mark.parametrize("change", ["gone", "made anew", "no longer named"])
def test_a_claim_ends_with_its_reason(change: str) -> None:
    world = World()
    for name in "ab":
        world.put(vm(name, mounted("data")))
    assert world.claim("a") is None
    if change == "gone":
        world.store.delete(key("a"))
    elif change == "made anew":
        world.put(vm("a", mounted("data")), uid="uid-new")
    else:
        world.put(vm("a"))
    assert world.claim("b") is None


@pytest.mark.parametrize("known", ["by status", "by sight"])
def test_who_has_it_keeps_it_through_a_restart(known: str) -> None:
    world = World()
    world.put(vm("a", mounted("data")))
    world.put(vm("b", mounted("data")), **(STATUS if known == "by status" else {}))
    if known == "by sight":
        world.see("b")
    world.restart()
    assert world.claim("a") == key("b")
    assert world.claim("b") is None
    assert world.attachments.users(world.volume) == [key("b")]


def test_seen_on_a_vm_that_nobody_declares() -> None:
    world = World()
    world.put(vm("a", mounted("data")))
    world.see("retained")
    assert world.claim("a") == key("retained")
    assert world.attachments.users(world.volume) == [key("retained")]


def test_a_namesake_from_before_has_another_volume() -> None:
    """A VM's status names a volume of that name; the Volume was made anew since."""
    world = World()
    world.put(vm("a", mounted("data")), **STATUS)
    world.store.delete(Key("Volume", "shop", "data"))
    world.put(volume(), uid="uid-anew")
    assert world.attachments.users(world.volume) == []


def test_the_consumer_is_who_has_it_else_the_oldest_with_a_host() -> None:
    world = World()
    world.put(vm("young", mounted("data")), created="2026-11-20T12:00:00Z", host="h1")
    world.put(vm("old", mounted("data")), created="2026-11-20T11:00:00Z", host="h2")
    world.put(vm("unplaced", mounted("data")))
    world.put(vm("stranger"), host="h3")

    def consumer() -> str | None:
        found = world.attachments.consumer(world.volume)
        return found.metadata.name if found else None

    assert consumer() == "old"
    assert world.claim("young") is None
    assert consumer() == "young"
    world.store.delete(key("young"))
    world.store.delete(key("old"))
    assert consumer() is None


HOST = """
kind: Host
metadata: {name: h1, finalizers: [vireo.dev/cleanup]}
spec: {cluster: c1, endpoint: {url: "simulator://dc/h1"}}
"""
CLUSTER = """
kind: Cluster
metadata: {name: c1}
spec: {zone: z1, pod: p1, hypervisor: Simulator}
"""
RECORD = {
    "attachedTo": {"virtualMachine": "web", "name": "data", "host": "h1", "instanceID": instance_id("uid-web")},
}


def recorded(**link: bool) -> World:
    """The volume's status says that web, which has no object, has it on h1."""
    world = World()
    world.put(CLUSTER)
    world.put(HOST)
    world.put(volume(), **RECORD)
    world.put(vm("other", mounted("data")))
    for name, value in link.items():
        setattr(world.host, name, value)
    return world


@pytest.mark.parametrize("silence", ["up", "observed", "not attached"])
def test_a_record_counts_until_the_host_answers(silence: str) -> None:
    world = recorded(**({} if silence == "not attached" else {silence: False}))
    world.links_known = silence != "not attached"
    assert world.attachments.users(world.volume) == [key("web")]
    assert world.claim("other") == key("web")
    assert [(each.host, each.mount) for each in world.attachments.having(world.volume)] == [("h1", "data")]
    world.host.up = world.host.observed = world.links_known = True
    assert world.attachments.users(world.volume) == []
    assert world.claim("other") is None


def test_a_record_ends_with_the_host() -> None:
    world = recorded(up=False)
    world.store.delete(Key("Host", "", "h1"))
    assert world.attachments.users(world.volume) == []


def test_the_status_of_the_vm_is_better_than_the_record() -> None:
    world = recorded(up=False)
    world.put(vm("web"), instanceID=instance_id("uid-web"))
    assert world.attachments.users(world.volume) == []


def test_a_vm_of_the_same_name_is_another() -> None:
    world = recorded(up=False)
    world.put(vm("web", mounted("data")), uid="uid-anew", instanceID=instance_id("uid-anew"))
    assert world.claim("web") == key("web"), "the one that was retained has it"
    world.host.up = True
    assert world.claim("web") is None


@pytest.mark.parametrize(
    ("uid", "found"), [("", True), ("uid-web", False), ("uid-anew", True)], ids=["gone", "there", "another of that name"]
)
def test_the_host_is_asked_about_volumes_whose_vm_has_no_object(uid: str, found: bool) -> None:
    world = recorded()
    if uid:
        world.put(vm("web"), uid=uid)
    assert left_on("h1", world.store) == ([Key(Volume.KIND, "shop", "data")] if found else [])
    assert left_on("h2", world.store) == []


def lost(finalizers: str) -> str:
    return vm("web", mounted("data")).replace("name: web", f"name: web, finalizers: {finalizers}", 1)


@pytest.mark.parametrize("silence", ["up", "observed"])
def test_a_vm_whose_status_is_lost_counts_until_all_hosts_answer(silence: str) -> None:
    world = World()
    world.put(CLUSTER)
    world.put(HOST)
    world.put(lost("[vireo.dev/cleanup]"))
    world.put(vm("other", mounted("data")))
    setattr(world.host, silence, False)
    assert world.claim("other") == key("web")
    assert world.attachments.users(world.volume) == [key("web")]
    world.put(lost("[]"))
    assert world.attachments.users(world.volume) == [], "nothing was made of it yet"
    world.put(lost("[vireo.dev/cleanup]"))
    setattr(world.host, silence, True)
    assert world.attachments.users(world.volume) == [], "every host has answered without it"


def test_the_one_on_record_comes_first() -> None:
    world = recorded(up=False)
    world.put(vm("a", mounted("data")), **STATUS)
    assert [each.key for each in world.attachments.having(world.volume)] == [key("web"), key("a")]
