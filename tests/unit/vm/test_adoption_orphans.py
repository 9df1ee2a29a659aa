"""A VM of Vireo's whose object is gone is given to another object, and never one whose object is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.types import Power
from tests.support import snapshots, volumes
from tests.support.adoption import adopting, opened, phase, ready, report, there
from tests.support.vms import GIB, VMCloud, play, vm

PINNED = "networks: [{name: front, network: front, ip: 10.1.0.9}]"


async def left(cloud: VMCloud, *, name: str = "lost", extra: str = "", hosts: int = 1, to: str = "Same", gone: bool = True) -> str:
    """A VM whose object was lost, as with an old backup of etcd, on a cluster that gives VMs `to` these; returns its instance."""
    await ready(cloud, hosts)
    cloud.apply(opened(to=to))
    cloud.apply(vm(name, extra=extra))
    await cloud.settle(60)
    instance = str(cloud.vm(name)["instanceID"])
    if gone:
        await lose(cloud, name)
    return instance


async def lose(cloud: VMCloud, name: str = "lost") -> None:
    """The object is gone without a deletion."""
    key = Key("VirtualMachine", "shop", name)
    cloud.api.objects.pop(key)
    await cloud.restart()
    await cloud.settle(60)


def orphans(cloud: VMCloud, host: str = "h1") -> list[str]:
    return [each["instanceID"] for each in cloud.status("Host", host).get("orphans", [])]


def held(cloud: VMCloud) -> list[tuple[str, str]]:
    """Addresses with their holders."""
    return [(str(ip), owner.name or owner.uid) for ip, owner in cloud.controller.parts.addresses.records("shop/front")]


def test_it_is_reported_and_then_taken_over_as_it_runs() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        mine = there(cloud, instance)
        before, old = (mine.starts, mine.nics["front"].mac, mine.nics["front"].ip), mine.owner
        assert (orphans(cloud), held(cloud)) == ([instance], [(before[2], "shop/lost")])
        cloud.apply(adopting(instance=instance))
        await cloud.settle(20)
        assert (phase(cloud), report(cloud), cloud.reason()) == ("Matches", {}, ("False", "AdoptionReport"))
        assert "VirtualMachine shop/lost, which is gone, left it behind" in cloud.text()
        assert (there(cloud, instance).owner, orphans(cloud)) == (old, [instance])
        cloud.edit(adopt={"instanceID": instance, "mode": "Adopt"})
        await cloud.settle(60)
        mine = there(cloud, instance)
        assert (phase(cloud), cloud.reason()) == ("Adopted", ("True", "Running"))
        assert (mine.owner and mine.owner.name, mine.starts, mine.nics["front"].mac, mine.nics["front"].ip) == ("web", *before)
        assert (orphans(cloud), held(cloud)) == ([], [(before[2], "shop/web")])
        assert cloud.condition("VirtualMachine", "shop/web", "InSync") == ("True", "AsDeclared")
        writes = cloud.writes
        await cloud.settle(3600)
        assert cloud.writes == writes

    play(story)


def test_its_disk_goes_on_and_grows_and_outlives_the_object() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        [disk] = cloud.datacentre.census.disks
        cloud.apply(adopting(instance=instance, mode="Adopt", extra="rootDisk: {size: 9Gi}"))
        await cloud.settle(60)
        [now] = cloud.datacentre.census.disks
        assert (now.content, now.size, now.name) == (disk.content, 9 * GIB, "root")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert (there(cloud, instance).owner, there(cloud, instance).power) == (None, Power.ON)
        assert [each.content for each in cloud.datacentre.census.disks] == [disk.content]

    play(story)


def test_declared_so_it_goes_with_its_object_and_disk() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        cloud.apply(adopting(instance=instance, mode="Adopt", extra="deletionPolicy: Delete"))
        await cloud.settle(60)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert not cloud.datacentre.vms
        assert not cloud.datacentre.census.disks
        assert held(cloud) == []

    play(story)


@pytest.mark.parametrize("again", [True, False], ids=["the same name", "another name"])
def test_one_that_was_retained_comes_back(again: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, name="web", extra="deletionPolicy: Retain", gone=False)
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(700)
        assert orphans(cloud) == [instance]
        name = "web" if again else "other"
        cloud.apply(adopting(name, instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert (phase(cloud, name), cloud.reason(name)) == ("Adopted", ("True", "Running"))
        assert orphans(cloud) == []

    play(story)


def test_one_whose_object_is_there_is_never_taken() -> None:
    """Whoever asks, and also while that object is being deleted."""

    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, to="All", gone=False)
        before = there(cloud, instance).owner
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert (phase(cloud), there(cloud, instance).owner) == ("Refused", before)
        assert "carries the owner mark of VirtualMachine shop/lost" in cloud.text()
        cloud.datacentre.fail("compute.delete", FaultKind.ERROR, count=None)
        cloud.delete("VirtualMachine", "shop/lost")
        await cloud.settle(60)
        assert cloud.exists("VirtualMachine", "shop/lost")
        assert (phase(cloud), there(cloud, instance).owner) == ("Refused", before)
        cloud.datacentre.heal()
        await cloud.settle(90)
        assert (phase(cloud), cloud.datacentre.vms) == ("NotFound", [])

    play(story)


@pytest.mark.parametrize(("to", "ends"), [("Same", "NotFound"), ("All", "Adopted")])
def test_another_namespace_needs_the_grant_of_the_cluster(to: str, ends: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.namespace("other")
        instance = await left(cloud, to=to)
        cloud.apply(adopting(instance=instance, mode="Adopt", networks="").replace("namespace: shop", "namespace: other"))
        await cloud.settle(60)
        status = cloud.status("VirtualMachine", "other/web")
        assert status["adoption"]["phase"] == ends
        if ends == "NotFound":
            assert "lost" not in str(status)
            assert there(cloud, instance).owner is not None

    play(story)


def test_the_older_of_two_claims_counts_also_where_only_its_namespace_gives_it_the_right() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.namespace("other")
        instance = await left(cloud)
        cloud.apply(adopting("first", instance=instance, mode="Adopt").replace("namespace: shop", "namespace: other"))
        cloud.apply(adopting("second", instance=instance))
        cloud.apply(adopting("third", instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert (phase(cloud, "second"), phase(cloud, "third")) == ("Matches", "Refused")
        assert "shop/second" in cloud.text("third")

    play(story)


def test_one_with_volumes_is_refused_until_it_has_none() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, gone=False)
        cloud.apply(volumes.volume())
        cloud.edit("lost", volumes=volumes.mounts("data"))
        await cloud.settle(60)
        await lose(cloud)
        owner, [identity] = there(cloud, instance).owner, there(cloud, instance).volumes
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert (phase(cloud), cloud.reason()) == ("Refused", ("False", "AdoptionRefused"))
        assert "has 1 volumes of Vireo (data): take them off the VM on the hypervisor first" in cloud.text()
        assert (there(cloud, instance).owner, list(there(cloud, instance).volumes)) == (owner, [identity])
        cloud.datacentre.act(Act.DETACH_VOLUME, "lost", identity)
        await cloud.settle(60)
        assert phase(cloud) == "Adopted"
        assert cloud.status("Volume", "shop/data").get("attachedTo") is None

    play(story)


def test_an_address_that_it_was_not_made_with_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        text = adopting(instance=instance, mode="Adopt").replace("networks: [{name: front, network: front}]", PINNED)
        cloud.apply(text)
        await cloud.settle(30)
        assert report(cloud) == {"spec.networks[front].ip": "Refused"}
        assert "the VM was made with another address" in cloud.text()
        assert there(cloud, instance).owner is not None

    play(story)


@pytest.mark.parametrize("ip", ["x" * 5000, "fe80::1", "10.9.9.9", "10.1.0.1"])
def test_what_is_no_address_of_the_network_is_refused_and_harms_nobody(ip: str) -> None:
    """A mark is text on a hypervisor, which others can write to."""

    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        mine = there(cloud, instance)
        mine.nics["front"] = replace(mine.nics["front"], ip=ip)
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(30)
        assert (phase(cloud), report(cloud)) == ("Refused", {"spec.networks[front].ip": "Refused"})
        assert there(cloud, instance).owner is not None

    play(story)


def test_interfaces_are_told_by_the_names_that_they_had() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(vm("lost", networks=["{name: a, network: front}", "{name: b, network: front}"]))
        await cloud.settle(60)
        instance = cloud.vm("lost")["instanceID"]
        before = {nic["name"]: (nic["mac"], nic["ip"]) for nic in cloud.vm("lost")["nics"]}
        await lose(cloud)
        networks = "{name: b, network: front}, {name: a, network: front}"
        cloud.apply(adopting(instance=instance, mode="Adopt", networks=networks))
        await cloud.settle(60)
        assert (phase(cloud), report(cloud)) == ("Adopted", {})
        assert {nic["name"]: (nic["mac"], nic["ip"]) for nic in cloud.vm()["nics"]} == before
        assert len(before) == 2

    play(story)


def test_one_that_is_off_needs_no_guest_agent() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, extra="powerState: 'Off'")
        cloud.apply(adopting(instance=instance, mode="Adopt", extra="powerState: 'Off'"))
        await cloud.settle(60)
        assert (phase(cloud), there(cloud, instance).starts) == ("Adopted", 0)
        assert cloud.reason() == ("True", "Stopped")

    play(story)


def test_its_address_is_kept_for_it_when_it_is_not_taken_over_after_all() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        [(ip, _)] = held(cloud)
        cloud.datacentre.fail("adoption.adopt", FaultKind.ERROR, count=None, error="Transient")
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(5)
        assert held(cloud) == [(ip, "shop/web")]
        cloud.edit(firmware="UEFI")
        await cloud.settle(2)
        cloud.apply(vm("thief", networks=[f"{{name: front, network: front, ip: {ip}}}"]))
        await cloud.settle(60)
        assert (phase(cloud), cloud.reason("thief")) == ("Refused", ("False", "AddressInUse"))
        assert held(cloud) == [(ip, "shop/lost")]
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert (held(cloud), orphans(cloud)) == ([(ip, "shop/lost")], [instance])

    play(story)


def test_an_address_that_a_declared_vm_took_meanwhile_refuses_it() -> None:
    """Its host did not answer when the controller began anew, so nobody knew that the address was in use."""

    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, gone=False, hosts=2)
        ip, host = cloud.vm("lost")["nics"][0]["ip"], cloud.vm("lost")["host"]
        cloud.datacentre.act(Act.CUT_HOST, host.replace("h", "host-0000"))
        await cloud.settle(60)
        await lose(cloud)
        cloud.apply(vm("heir", networks=[f"{{name: front, network: front, ip: {ip}}}"]))
        await cloud.settle(60)
        cloud.datacentre.act(Act.HEAL_HOST, host.replace("h", "host-0000"))
        await cloud.settle(700)
        assert (held(cloud), orphans(cloud, host)) == ([(ip, "shop/heir")], [instance])
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert (phase(cloud), report(cloud)) == ("Refused", {"spec.networks[front]": "Refused"})
        assert held(cloud) == [(ip, "shop/heir")]

    play(story)


@pytest.mark.parametrize("restarted", [False, True], ids=["running controller", "restarted controller"])
def test_it_is_found_again_after_all_status_is_lost(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud)
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(60)
        before, addresses = cloud.datacentre.census, held(cloud)
        cloud.wipe_status()
        if restarted:
            await cloud.restart()
        await cloud.settle(120)
        assert (phase(cloud), cloud.reason(), held(cloud)) == ("Adopted", ("True", "Running"), addresses)
        assert cloud.datacentre.census == before

    play(story)


def test_its_snapshots_are_gone_back_to() -> None:
    async def story(cloud: VMCloud) -> None:
        instance = await left(cloud, name="web", extra="deletionPolicy: Retain", gone=False)
        cloud.apply(snapshots.snapshot())
        await cloud.settle(60)
        cloud.api.objects.pop(Key("VirtualMachine", "shop", "web"))
        await cloud.restart()
        await cloud.settle(60)
        cloud.apply(adopting(instance=instance, mode="Adopt"))
        await cloud.settle(60)
        assert phase(cloud) == "Adopted"
        cloud.edit(powerState="Off", stopMode="Hard")
        await cloud.settle(30)
        cloud.apply(snapshots.restore())
        await cloud.settle(60)
        assert snapshots.ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")
        found = there(cloud, instance)
        assert (found.restores, found.owner and found.owner.uid) == (1, cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"])

    play(story)
