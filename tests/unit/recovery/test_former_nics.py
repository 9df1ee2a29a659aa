"""What a status says that a VM still has is nobody else's after a restart, whatever its NICs are to have by now."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from typing import Any

from tests.support.vms import vm
from tests.unit.recovery.test_recovery import World, seen

FRONT, BACK = "02:00:00:00:00:01", "02:00:00:00:00:02"


def nic(name: str, ip: str, mac: str = FRONT) -> dict[str, Any]:
    return {"name": name, "mac": mac, "network": "shop/front", "ip": ip}


def recovered(nics: list[dict[str, Any]], former: list[dict[str, Any]]) -> World:
    world = World()
    world.put(vm("a"), {"nics": nics, "formerNics": former})
    asyncio.run(world.recovery.from_statuses())
    return world


def parts(world: World) -> dict[str, str]:
    return {str(ip): owner.part for ip, owner in world.addresses.records("shop/front")}


def test_a_nic_that_is_to_go_has_its_addresses() -> None:
    world = recovered([nic("front", "10.1.0.5")], [nic("back", "10.1.0.6", BACK)])
    assert parts(world) == {"10.1.0.5": "front", "10.1.0.6": "former 10.1.0.6"}
    holder = world.addresses.macs.holder("z1", BACK)
    assert holder is not None
    assert holder.uid == "uid-a"


def test_one_that_is_to_have_another_address_has_both() -> None:
    world = recovered([nic("front", "10.1.0.6")], [nic("front", "10.1.0.5"), nic("back", "10.1.0.6", BACK)])
    assert parts(world) == {"10.1.0.5": "former 10.1.0.5", "10.1.0.6": "front"}


def test_an_older_vm_that_has_it_too_keeps_it() -> None:
    world = World()
    world.put(vm("old"), {"nics": [nic("front", "10.1.0.6")]})
    world.put(vm("a"), {"nics": [], "formerNics": [nic("back", "10.1.0.6", BACK)]})
    asyncio.run(world.recovery.from_statuses())
    assert world.held() == {"10.1.0.6": "uid-old"}


def test_what_a_hypervisor_shows_of_a_nic_that_is_to_have_another_address_is_held_too() -> None:
    world = World()
    world.put(vm("a"), {"nics": [nic("front", "10.1.0.6")]})
    world.carry(seen("a", "10.1.0.5"))
    asyncio.run(world.recovery.from_statuses())
    assert world.recovery.done
    assert parts(world) == {"10.1.0.5": "former 10.1.0.5", "10.1.0.6": "front"}
    assert world.addresses.holder("shop/front", IPv4Address("10.1.0.6")) is not None
