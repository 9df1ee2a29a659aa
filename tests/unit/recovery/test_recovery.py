"""Nothing new is given out before what exists is known: from statuses at once, from hypervisors when all were asked."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
import yaml

from controller.inventory import HostLink, Inventory
from controller.ipam import AddressAllocator, SegmentAllocator, VLANRange, instance_id, parse_subnet
from controller.ipam import Owner as Holder
from controller.placing.placement import Placements
from controller.placing.recovery import AT_ONCE, DEADLINE, Recovery
from controller.runtime.keys import Key
from controller.runtime.slices import SLICE
from controller.runtime.store import Store
from controller.scheduler import HostIndex
from controller.shared.lookups import register_all
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import HostID, ObservedNIC, ObservedVM, Owner, Power, Segment
from tests.support.cloud import HOST, OFFERING
from tests.support.vms import NETWORK, vm
from tests.unit.runtime.virtual import SetClock

GIB = 1 << 30


class Link:
    """A host and what it says it carries."""

    def __init__(self, *vms: ObservedVM) -> None:
        self._vms = vms

    def vms(self) -> list[ObservedVM]:
        return list(self._vms)


class Hosts:
    """The inventory as far as Recovery uses it."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.carried: list[HostLink] = []

    def asked(self, host: str) -> bool:
        return host in self.answered

    def links(self) -> list[HostLink]:
        return self.carried


class World:
    def __init__(self) -> None:
        self.store, self.hosts, self.clock = Store(), Hosts(), SetClock()
        register_all(self.store)
        self.addresses, self.segments = AddressAllocator(), SegmentAllocator()
        self.placements = Placements(self.store, HostIndex())
        self.recovery = Recovery(
            self.store, cast("Inventory", self.hosts), self.addresses, self.segments, self.placements, self.clock
        )
        self.count = 0

    def put(self, text: str, status: Mapping[str, Any] | None = None) -> None:
        raw = yaml.safe_load(text)
        self.count += 1
        raw["metadata"].setdefault("namespace", "")
        raw["metadata"] |= {"uid": f"uid-{raw['metadata']['name']}", "generation": 1, "resourceVersion": str(self.count)}
        raw["metadata"]["creationTimestamp"] = f"2026-11-20T10:00:{self.count:02}Z"
        raw |= {"status": status} if status else {}
        if change := self.store.upsert(raw):
            self.placements.take(change)
            self.recovery.take(change)

    def drop(self, name: str) -> None:
        """As the manager does while it has no turns to give: what is held for a VM that is gone is given back at once."""
        if change := self.store.delete(Key("VirtualMachine", "shop", name)):
            self.recovery.take(change)
            self.addresses.release(Holder(change.gone, "front"))

    def carry(self, *vms: ObservedVM) -> None:
        self.hosts.carried.append(cast("HostLink", Link(*vms)))

    def held(self) -> dict[str, str]:
        return {str(ip): owner.uid for ip, owner in self.addresses.records("shop/front")}


def seen(name: str, ip: str = "10.1.0.5", vlan: int | None = 104, network: str = "shop/front") -> ObservedVM:
    uid = f"uid-{name}"
    nic = ObservedNIC("front", "02:00:00:00:00:01", network, Segment(vlan), ip)
    return ObservedVM(instance_id(uid), Owner(uid, "shop", name), name, HostID("h1"), Power.ON, 1, GIB, 1, GIB, nics=(nic,))


def status(ip: str) -> dict[str, Any]:
    return {"nics": [{"name": "front", "mac": "02:00:00:00:00:01", "network": "shop/front", "ip": ip}]}


def test_done_at_once_without_hosts_and_stays_so() -> None:
    world = World()
    assert world.recovery.done
    world.put(HOST)
    world.clock.time = 10
    assert world.recovery.done


def test_waits_for_the_first_answer_of_every_host_and_names_those() -> None:
    world = World()
    world.put(HOST)
    world.put(HOST.replace("h1", "h2"))
    assert not world.recovery.done
    world.hosts.answered.add("h1")
    world.clock.time = 1
    assert not world.recovery.done
    assert world.recovery.message == "waiting for the first answer of 1 hosts: h2"
    world.hosts.answered.add("h2")
    world.clock.time = 2
    assert world.recovery.done


@pytest.mark.parametrize(("after", "done"), [(DEADLINE - 1, False), (DEADLINE + 1, True)])
def test_waits_no_longer_than_its_deadline(after: float, done: bool) -> None:
    world = World()
    world.put(HOST)
    world.clock.time = after
    assert world.recovery.done is done


def test_statuses_are_taken_over() -> None:
    world = World()
    world.put(NETWORK, {"segment": {"vlan": 107}})
    world.put(vm("a"), status("10.1.0.5"))
    world.put(vm("b"), {"nics": [{"name": "front", "mac": "02:00:00:00:00:02", "network": "shop/front"}]})
    asyncio.run(world.recovery.from_statuses())
    assert world.held() == {"10.1.0.5": "uid-a"}
    assert [(found, owner.uid) for found, owner in world.segments.records("z1")] == [(107, "uid-front")]


def test_of_two_statuses_with_one_address_the_older_object_keeps_it() -> None:
    world = World()
    world.put(vm("old"), status("10.1.0.5"))
    world.put(vm("a-young"), status("10.1.0.5"))
    asyncio.run(world.recovery.from_statuses())
    assert world.held() == {"10.1.0.5": "uid-old"}


def parsed() -> int:
    """VMs in the memory of this process."""
    return sum(isinstance(each, VirtualMachine) for each in gc.get_objects())


def test_thousands_of_statuses_are_never_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed, 10,000 VMs take 170 MiB, and hardly any of it is given back."""
    world, most = World(), 0
    gc.collect()  # what other tests have left is not counted, nor may it go while this one counts
    before = parsed()
    for number in range(600):
        world.put(vm(f"vm-{number}"), status(f"10.1.{number // 250}.{number % 250 + 1}"))
    adopt = world.addresses.adopt

    def counting(*taken: Any) -> None:
        nonlocal most
        if not most:
            most = parsed() - before
        adopt(*taken)

    monkeypatch.setattr(world.addresses, "adopt", counting)
    asyncio.run(world.recovery.from_statuses())
    assert len(world.held()) == 600
    assert 0 < most < 300


def test_what_hypervisors_carry_is_taken_over_where_statuses_are_lost() -> None:
    world = World()
    world.put(NETWORK)
    world.put(vm("a"))
    world.carry(seen("a"), seen("stranger", "10.1.0.6"))
    assert world.recovery.done
    assert world.held() == {"10.1.0.5": "uid-a"}, "of VMs that have no object any more nothing is taken over"
    assert [found for found, _ in world.segments.records("z1")] == [104]


def test_statuses_count_before_what_hypervisors_say() -> None:
    world = World()
    world.put(NETWORK, {"segment": {"vlan": 107}})
    world.put(vm("a"), status("10.1.0.5"))
    world.carry(seen("a", "10.1.0.9", vlan=104))
    asyncio.run(world.recovery.from_statuses())
    assert world.recovery.done
    parts = {str(ip): owner.part for ip, owner in world.addresses.records("shop/front")}
    assert parts == {"10.1.0.5": "front", "10.1.0.9": "former 10.1.0.9"}, "what it has is nobody else's either"
    assert [found for found, _ in world.segments.records("z1")] == [107]


@pytest.mark.parametrize("nonsense", ["", "10.1.0", "fe80::1", "10.1.0.5/24", "x" * 300])
def test_nonsense_from_a_hypervisor_is_passed_over(nonsense: str) -> None:
    world = World()
    world.put(NETWORK)
    world.put(vm("a"))
    world.put(vm("b"))
    world.carry(seen("a", nonsense, vlan=None, network="no-slash" if not nonsense else "shop/front"), seen("b"))
    assert world.recovery.done
    assert world.held() == {"10.1.0.5": "uid-b"}


def test_pins_are_claimed_when_they_are_seen() -> None:
    world = World()
    pinned = vm("late", networks=["{name: front, network: front, ip: 10.1.0.5}"])
    world.put(vm("early"))
    world.put(pinned)
    world.put("kind: Network\nmetadata: {name: fixed, namespace: shop}\nspec: {zone: z1, type: L2, segment: {vlan: 100}}")

    subnet = parse_subnet("10.1.0.0/29", "10.1.0.1", [("10.1.0.5", "10.1.0.6")])
    given = world.addresses.reserve("shop/front", subnet, Holder("uid-early", "front"))
    assert str(given) == "10.1.0.6", "a pinned address is given to nobody by chance"
    segment = world.segments.reserve("z1", [VLANRange(100, 101)], Holder("uid-other"))
    assert str(segment) == "vlan-101"


PINS = 'mac: "02:00:00:00:00:01"'


def test_a_pinned_mac_is_held_by_who_has_it_before_anybody_asks() -> None:
    world = World()
    pinning = "{name: front, network: front, " + PINS + "}"
    world.put(vm("waits", networks=[pinning]))
    world.put(vm("has", networks=[pinning]), status("10.1.0.5"))
    world.put(vm("made", networks=["{name: front, network: front}"]), status("10.1.0.6"))
    asyncio.run(world.recovery.from_statuses())
    refused = world.addresses.macs.hold("z1", "02:00:00:00:00:01", Holder("uid-waits", "front"))
    assert refused is not None
    assert refused.by == Holder("uid-has", "front"), "neither the older that waits nor one with a generated address"
    assert world.addresses.macs.hold("z1", "02:00:00:00:00:01", Holder("uid-has", "front")) is None


def test_of_two_that_have_one_pinned_mac_the_older_keeps_it() -> None:
    world = World()
    for name in ("older", "younger"):
        world.put(vm(name, networks=["{name: front, network: front, " + PINS + "}"]), status("10.1.0.5"))
    asyncio.run(world.recovery.from_statuses())
    assert world.addresses.macs.hold("z1", "02:00:00:00:00:01", Holder("uid-older", "front")) is None
    assert world.addresses.macs.hold("z1", "02:00:00:00:00:01", Holder("uid-younger", "front")) is not None


def test_one_that_has_waited_for_its_turn_for_long_waits_for_the_hosts_nevertheless() -> None:
    """A replica knows the objects for hours before it leads, and connects to hosts only then."""
    world = World()
    world.put(HOST)
    world.clock.time = 10 * DEADLINE
    asyncio.run(world.recovery.from_statuses())
    assert not world.recovery.done
    world.clock.time += DEADLINE + 1
    assert world.recovery.done


def test_thousands_of_statuses_leave_the_loop_to_others() -> None:
    """Renewals of the Lease among them: never more is done between two of their turns than a slice."""
    world, most = World(), 0
    for number in range(10 * SLICE):
        world.put(vm(f"vm-{number}"), status(f"10.1.{number // 250}.{number % 250 + 1}"))

    async def main() -> int:
        nonlocal most
        turns, done = 0, asyncio.create_task(world.recovery.from_statuses())
        while not done.done():
            before = len(world.held())
            await asyncio.sleep(0)
            most, turns = max(most, len(world.held()) - before), turns + 1
        return turns

    assert asyncio.run(main()) >= 20, "for reading them, and for taking them over"
    assert len(world.held()) == 10 * SLICE
    assert most <= SLICE


def test_a_vm_that_goes_while_statuses_are_taken_over_keeps_no_address() -> None:
    """Each in one of the turns of others; a younger one of the same address then has it, and so has one of the same name."""
    world = World()
    for number in range(4 * SLICE):
        world.put(vm(f"vm-{number:03}"), status(f"10.1.0.{number + 1}"))
    gone = {f"vm-{number:03}" for number in range(0, 4 * SLICE, 3)}

    async def main() -> None:
        taking = asyncio.create_task(world.recovery.from_statuses())
        for name in sorted(gone):
            await asyncio.sleep(0)
            world.drop(name)
        await taking

    asyncio.run(main())
    assert {uid.removeprefix("uid-") for uid in world.held().values()} & gone == set()
    assert len(world.held()) == 4 * SLICE - len(gone)


def test_what_thousands_are_seen_with_is_taken_over_in_slices() -> None:
    world = World()
    world.put(NETWORK)
    for number in range(2 * AT_ONCE + 1):
        world.put(vm(f"vm-{number}"))
        world.carry(seen(f"vm-{number}", f"10.1.{number // 250}.{number % 250 + 1}"))
    held = [len(world.held())]
    while not world.recovery.done:
        held.append(len(world.held()))
        assert world.recovery.retry_after < 0.1, "nothing else is waited for"
        assert "taking over" in world.recovery.message
    assert held == [0, AT_ONCE, 2 * AT_ONCE]
    assert len(world.held()) == 2 * AT_ONCE + 1
    assert world.recovery.done


def test_one_that_goes_between_two_slices_is_passed_over() -> None:
    world = World()
    world.put(NETWORK)
    for number in range(AT_ONCE + 2):
        world.put(vm(f"vm-{number}"))
        world.carry(seen(f"vm-{number}", f"10.1.{number // 250}.{number % 250 + 1}"))
    assert not world.recovery.done
    world.drop(f"vm-{AT_ONCE}")
    assert world.recovery.done
    assert sorted(set(range(AT_ONCE + 2)) - {int(uid.removeprefix("uid-vm-")) for uid in world.held().values()}) == [AT_ONCE]


def test_one_whose_status_has_its_addresses_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.put(NETWORK, {"segment": {"vlan": 104}})
    world.put(vm("known"), status("10.1.0.5"))
    world.put(vm("lost"))
    world.carry(seen("known", "10.1.0.5"), seen("lost", "10.1.0.6"))
    asyncio.run(world.recovery.from_statuses())
    read, get = [], world.store.get
    monkeypatch.setattr(world.store, "get", lambda kind, name, *rest: read.append(name) or get(kind, name, *rest))
    assert world.recovery.done
    assert world.held() == {"10.1.0.5": "uid-known", "10.1.0.6": "uid-lost"}
    assert "known" not in read
    assert "lost" in read


@pytest.mark.parametrize("pending", [True, False])
def test_one_that_is_to_shrink_has_what_it_runs_with(pending: bool) -> None:
    world = World()
    world.put(OFFERING)
    change = {"field": "spec.offering", "needs": "Restart"}
    world.put(
        vm("a"), {"host": "h1", "disks": [{"name": "root", "pool": "s1", "size": "1Gi"}], "pendingChanges": [change] * pending}
    )
    world.carry(replace(seen("a"), running_cpus=8, running_memory=16 * GIB))
    assert world.recovery.done
    size = world.placements.size("uid-a")
    assert size is not None
    assert (size.cpus, size.memory) == ((8, 16 * GIB) if pending else (2, 4 * GIB))
