"""VMs with our mark that nobody declares: told, left alone, and their addresses kept."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from controller.ipam import Owner, parse_subnet
from controller.ipam.addresses import Address
from crds.v1alpha1.host import HostStatus
from drivers.types import HostID, InstanceID, ObservedNIC, ObservedVM, Segment, VMChanged
from drivers.types import Owner as Mark
from tests.support.cloud import BASE, Cloud, play, vm
from tests.support.hypervisors import Hypervisor, host
from tests.support.hypervisors import vm as seen

SUBNET = parse_subnet("10.0.0.0/29")
LIST = [{"instanceID": "i1", "owner": "shop/i1"}]


def ours(cloud: Cloud, instance: str = "i1", ip: str = "10.0.0.3", **changes: object) -> ObservedVM:
    """A VM with our mark on h1."""
    hypervisor = cloud.hypervisors["fake://h1"]
    nic = ObservedNIC("eth0", "52:54:00:00:00:01", "shop/guests", Segment(), ip)
    made = hypervisor.vms[InstanceID(instance)] = replace(seen(instance), nics=(nic,), **changes)
    hypervisor.notify(VMChanged(InstanceID(instance)))
    return made


def start(cloud: Cloud) -> Hypervisor:
    hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host("h1"))
    return hypervisor


def orphans(cloud: Cloud) -> list[dict[str, str]]:
    found: list[dict[str, str]] = cloud.status("Host", "h1").get("orphans", [])
    return found


def holders(cloud: Cloud) -> list[str]:
    return [str(ip) for ip, _ in cloud.controller.addresses.records("shop/guests")]


def test_they_are_listed_with_an_event_and_their_addresses_are_kept_from_others() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        assert orphans(cloud) == LIST
        assert holders(cloud) == ["10.0.0.3"]
        assert [text for text in cloud.events("h1") if "OrphansFound" in text] != []
        given = {
            str(address.ip)
            for number in range(4)
            if isinstance(address := cloud.controller.addresses.reserve("shop/guests", SUBNET, Owner(f"new{number}")), Address)
        }
        assert len(given) == 4
        assert "10.0.0.3" not in given

    play(story)


def test_no_declared_vm_loses_its_address_to_one() -> None:
    """As when a VM was deleted a moment ago, is still thought to be there, and another has got what it had."""

    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        addresses, heir = cloud.controller.addresses, Owner("heir", "eth0", "shop/heir", "2026-11-20T23:00:00Z")
        got = addresses.reserve("shop/guests", SUBNET, heir)
        assert isinstance(got, Address)
        ours(cloud, ip=str(got.ip))
        await cloud.settle(3600)
        assert orphans(cloud) == LIST
        assert addresses.holder("shop/guests", got.ip) == heir
        del hypervisor.vms[InstanceID("i1")]
        hypervisor.notify(VMChanged(InstanceID("i1")))
        await cloud.settle(3600)
        assert addresses.holder("shop/guests", got.ip) == heir

    play(story)


def test_the_lost_object_that_is_there_again_takes_its_address_over() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        addresses, again = cloud.controller.addresses, Owner("i1-uid", "eth0", "shop/i1", "2026-11-20T23:00:00Z")
        addresses.adopt("shop/guests", IPv4Address("10.0.0.3"), again)
        await cloud.settle(3600)
        assert addresses.holder("shop/guests", IPv4Address("10.0.0.3")) == again

    play(story)


def test_they_are_never_touched() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        before = ours(cloud)
        cloud.apply(BASE)
        await cloud.settle(3600)
        assert hypervisor.vms[InstanceID("i1")] == before
        assert not {call for call in hypervisor.calls if call in ("start", "stop", "delete", "apply", "create")}

    play(story)


def test_known_ones_are_told_once_and_nothing_is_written_at_rest_or_after_a_restart() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        before, told = cloud.writes, len(cloud.events("h1"))
        await cloud.settle(3600)
        await cloud.restart()
        await cloud.settle(3600)
        assert cloud.writes == before
        assert len(cloud.events("h1")) == told
        assert holders(cloud) == ["10.0.0.3"]

    play(story)


@pytest.mark.parametrize("gone", [True, False])
def test_one_that_goes_or_changes_its_address_frees_it_with_the_next_looks(gone: bool) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        if gone:
            del hypervisor.vms[InstanceID("i1")]
            hypervisor.notify(VMChanged(InstanceID("i1")))
        else:
            ours(cloud, ip="10.0.0.4")
        await cloud.settle(3600)
        assert holders(cloud) == ([] if gone else ["10.0.0.4"])
        assert orphans(cloud) == ([] if gone else LIST)

    play(story)


def test_declared_vms_are_none_even_before_their_status_says_where_they_are() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        cloud.apply(BASE)
        cloud.apply(vm())
        raw = next(each for each in cloud.api.history[::-1] if each["metadata"]["name"] == "web")
        owner = Mark(raw["metadata"]["uid"], raw["metadata"]["namespace"], "web")
        ours(cloud, owner=owner)
        await cloud.settle()
        assert orphans(cloud) == []
        assert holders(cloud) == []

    play(story)


def test_the_vm_of_an_earlier_object_of_that_name_is_one() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        cloud.apply("\n---\n".join([BASE, vm()]))
        ours(cloud, owner=Mark("an-earlier-uid", "shop", "web"))
        await cloud.settle()
        assert [each["instanceID"] for each in orphans(cloud)] == ["i1"]

    play(story)


def test_one_that_was_just_worked_on_counts_once_it_was_looked_at_again() -> None:
    """A VM that was deleted with its object is still among those last seen, and its address is free."""

    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply("\n---\n".join([BASE, vm()]))
        raw = next(each for each in cloud.api.history[::-1] if each["metadata"]["name"] == "web")
        ours(cloud, owner=Mark(raw["metadata"]["uid"], raw["metadata"]["namespace"], "web"))
        await cloud.settle()
        hypervisor.notify(VMChanged(InstanceID("i1")))
        await cloud.settle(1)
        cloud.delete("VirtualMachine", f"{raw['metadata']['namespace']}/web")
        await cloud.settle(60)
        assert orphans(cloud) == []
        assert holders(cloud) == []
        await cloud.settle(3600)
        assert [each["instanceID"] for each in orphans(cloud)] == ["i1"]
        assert holders(cloud) == ["10.0.0.3"]

    play(story)


def test_what_was_known_stays_while_the_host_does_not_answer() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        hypervisor.faults["*"] = ConnectionError("gone")
        await cloud.settle(1800)
        assert orphans(cloud) == LIST
        assert holders(cloud) == ["10.0.0.3"]

    play(story)


def test_a_deleted_host_holds_nothing() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        ours(cloud)
        cloud.apply(BASE)
        await cloud.settle()
        cloud.delete("StoragePool", "s1")
        await cloud.settle()
        cloud.delete("Host", "h1")
        await cloud.settle()
        assert not cloud.exists("Host", "h1")
        assert holders(cloud) == []

    play(story)


def test_an_address_that_is_none_harms_nobody() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud)
        for number, ip in enumerate(("", "fe80::1", "10.0.0.300", "x" * 5000)):
            ours(cloud, f"i{number}", ip=ip)
        cloud.apply(BASE)
        await cloud.settle()
        assert len(orphans(cloud)) == 4
        assert holders(cloud) == []
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_the_list_fits_the_api_however_many_and_however_named() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        for number in range(150):
            each = seen(f"{number}" * 50, host="h1")
            hypervisor.vms[each.instance] = replace(each, owner=Mark("u" * 500, "n" * 500, "v" * 500), host=HostID("h1"))
        cloud.apply(BASE)
        await cloud.settle()
        assert len(orphans(cloud)) == 100
        status = HostStatus.model_validate(cloud.status("Host", "h1"))
        assert [each["instanceID"] for each in status.to_json()["orphans"]] == [each["instanceID"] for each in orphans(cloud)]

    play(story)


def test_two_with_one_address_keep_it_until_both_are_gone() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        for name in ("i1", "i2"):
            ours(cloud, name)
        cloud.apply(BASE)
        await cloud.settle()
        assert holders(cloud) == ["10.0.0.3"]
        for name, left in (("i1", ["10.0.0.3"]), ("i2", [])):
            del hypervisor.vms[InstanceID(name)]
            hypervisor.notify(VMChanged(InstanceID(name)))
            await cloud.settle(3600)
            assert holders(cloud) == left
        assert IPv4Address("10.0.0.3") not in [ip for ip, _ in cloud.controller.addresses.records("shop/guests")]

    play(story)
