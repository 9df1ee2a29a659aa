"""Which entry of spec.networks gets which address from another one: decided in memory, whatever the hypervisor has by then."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml

from controller.ipam import AddressAllocator, Owner, parse_subnet
from controller.shared.owners import address_owner
from controller.vm.handover import hand_over, own_mac
from controller.vm.references import Interface
from crds.v1alpha1.network import Network
from crds.v1alpha1.virtualmachine import VirtualMachine
from tests.support.vms import NETWORK, vm
from tests.unit.vm.nics import declared, entry

SUBNET = parse_subnet("10.1.0.0/24", "10.1.0.1")
A, B, C = "10.1.0.10", "10.1.0.20", "10.1.0.30"
MAC, OTHER = "02:00:00:00:aa:01", "02:00:00:00:aa:02"
STRANGER = Owner("uid-db", "nic", "shop/db")


def parsed(text: str, uid: str) -> dict[str, Any]:
    raw = yaml.safe_load(text)
    raw["metadata"] |= {"uid": uid, "generation": 1, "resourceVersion": "1", "creationTimestamp": "2026-11-20T10:00:00Z"}
    return {"apiVersion": "vireo.dev/v1alpha1", **raw}


def machine(*entries: dict[str, Any], former: tuple[tuple[str, str], ...] = (), adopted: bool = False) -> VirtualMachine:
    raw = parsed(vm(networks=declared(*entries)), "uid-web")
    raw["status"] = {
        "nics": [{"name": "one", "mac": MAC, "network": "shop/front"}] if adopted else [],
        "formerNics": [{"name": name, "mac": OTHER, "ip": ip, "network": "shop/front"} for name, ip in former],
    }
    if adopted:
        del raw["spec"]["template"]
        raw["spec"]["adopt"] = {"instanceID": "00000000-0000-4000-8000-000000000001"}
    return VirtualMachine.model_validate(raw)


def interfaces(machine: VirtualMachine, *, managed: bool = True) -> list[Interface]:
    raw = parsed(NETWORK, "uid-net")
    if not managed:
        raw["spec"]["subnet"]["addressing"] = "External"
    network = Network.model_validate(raw)
    return [Interface(each, network, default=False) for each in machine.spec.networks]


def held(**parts: str) -> AddressAllocator:
    allocator, owner = AddressAllocator(), machine()
    for part, ip in parts.items():
        allocator.reserve("shop/front", SUBNET, address_owner(owner, part), ip)
    return allocator


def after(allocator: AddressAllocator, vm: VirtualMachine, *, managed: bool = True) -> dict[str, str]:
    hand_over(allocator, vm, interfaces(vm, managed=managed))
    return {owner.part: str(ip) for ip, owner in allocator.records("shop/front")}


MOVES: dict[str, tuple[dict[str, str], list[dict[str, Any]], dict[str, str]]] = {
    "nothing changed": ({"one": A}, [entry("one", A)], {"one": A}),
    "nothing pinned": ({"one": A}, [entry("two")], {"one": A}),
    "renamed": ({"one": A}, [entry("two", A)], {"two": A}),
    "swapped": ({"one": A, "two": B}, [entry("one", B), entry("two", A)], {"one": B, "two": A}),
    "taken over": ({"one": A, "two": B}, [entry("one", B)], {"one": B, f"former {A}": A}),
    "made room": ({"one": A}, [entry("one", B), entry("two", A)], {"two": A}),
    "pinned by two": ({"one": A}, [entry("two", A), entry("three", A)], {"two": A}),
    "pinned by its holder too": ({"one": A}, [entry("two", A), entry("one", A)], {"one": A}),
    "held by chance": ({"one": A}, [entry("one"), entry("two", A)], {"one": A}),
}


@pytest.mark.parametrize(("before", "entries", "expected"), MOVES.values(), ids=MOVES)
def test_an_address_goes_to_who_pins_it_unless_its_holder_is_to_keep_it(
    before: dict[str, str], entries: list[dict[str, Any]], expected: dict[str, str]
) -> None:
    found, allocator = machine(*entries), held(**before)
    assert after(allocator, found) == expected
    assert after(allocator, found) == expected, "again it is the same"


def test_other_vms_keep_theirs() -> None:
    allocator = held(one=A)
    allocator.reserve("shop/front", SUBNET, STRANGER, B)
    assert after(allocator, machine(entry("one", A), entry("two", B))) == {"one": A, "nic": B}


def test_an_interface_without_managed_addresses_takes_none() -> None:
    assert after(held(one=A), machine(entry("two", A)), managed=False) == {"one": A}


def test_one_that_is_declared_again_has_the_address_that_the_vm_still_has() -> None:
    allocator = held(**{f"former {A}": A})
    assert after(allocator, machine(entry("one"), former=(("one", A),))) == {"one": A}
    assert after(held(**{f"former {A}": A}), machine(entry("two"), former=(("one", A),))) == {f"former {A}": A}
    settled = held(one=B, **{f"former {A}": A})
    assert after(settled, machine(entry("one"), former=(("one", A),))) == {"one": B, f"former {A}": A}


def macs(vm: VirtualMachine, holder: str) -> str:
    allocator = AddressAllocator()
    allocator.macs.hold("z1", MAC, address_owner(vm, holder))
    hand_over(allocator, vm, interfaces(vm))
    found = allocator.macs.holder("z1", MAC)
    assert found is not None
    return found.part


def test_a_mac_address_goes_to_who_pins_it_unless_its_holder_does_too() -> None:
    assert macs(machine(entry("two", mac=MAC)), "one") == "two"
    assert macs(machine(entry("one", mac=OTHER), entry("two", mac=MAC)), "one") == "two"
    assert macs(machine(entry("one", mac=MAC)), "one") == "one"
    assert macs(machine(entry("two")), "one") == "one"


def test_one_that_came_with_an_adopted_vm_keeps_its_mac_address() -> None:
    adopted = machine(entry("one"), entry("two", mac=MAC), adopted=True)
    assert [own_mac(adopted, each) for each in interfaces(adopted)] == [MAC, MAC]
    assert macs(adopted, "one") == "one"
    made = machine(entry("one"), entry("two", mac=MAC))
    assert [own_mac(made, each) for each in interfaces(made)] == [None, MAC]


def test_an_address_of_another_vm_is_no_ones_to_hand_over() -> None:
    allocator = AddressAllocator()
    allocator.reserve("shop/front", SUBNET, STRANGER, C)
    hand_over(allocator, machine(entry("one", C)), interfaces(machine(entry("one", C))))
    assert allocator.holder("shop/front", IPv4Address(C)) == STRANGER
