"""A VM that somebody else made becomes one of ours in place: first a report, then the mark, never a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from drivers.types import Power
from tests.support import snapshots
from tests.support.adoption import (
    ID,
    IP,
    MAC,
    PATH,
    adopting,
    foreign,
    found,
    like,
    opened,
    phase,
    ready,
    report,
    taken,
    there,
    told,
)
from tests.support.vms import GIB, VMCloud, play, vm


def test_a_report_changes_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        before = cloud.datacentre.census
        cloud.apply(adopting())
        await cloud.settle(10)
        assert (phase(cloud), told(cloud)) == ("Matches", [])
        assert cloud.reason() == ("False", "AdoptionReport")
        assert "exactly as declared" in cloud.text()
        writes = cloud.writes
        await cloud.settle(600)
        assert cloud.writes == writes
        assert cloud.datacentre.census == before
        assert not cloud.raw("VirtualMachine", "shop/web")["metadata"].get("finalizers")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(10)
        assert not cloud.exists("VirtualMachine", "shop/web")
        assert cloud.datacentre.census == before

    play(story)


DIFFERENCES = {
    "CPUs can be added": ({"cpus": 1}, "", {"spec.offering": "Live"}),
    "CPUs can't be taken away": ({"cpus": 4}, "", {"spec.offering": "Restart"}),
    "off is started": (
        {"more": "off", "ip": ""},
        f"networks: [{{name: front, network: front, ip: {IP}}}]",
        {"spec.powerState": "Live"},
    ),
    "on is stopped": ({}, "powerState: 'Off'", {"spec.powerState": "Live"}),
    "the root disk grows": ({}, "rootDisk: {size: 5Gi}", {"spec.rootDisk.size": "Live"}),
    "the root disk does not shrink": ({}, "rootDisk: {size: 1Gi}", {"spec.rootDisk.size": "Ignored"}),
    "another disk": ({"more": f"disk=/srv/vms/more.img:{GIB}"}, "", {"disks[vdb]": "Ignored"}),
    "a disk elsewhere": ({"more": f"disk=/mnt/san/more.img:{GIB}"}, "", {"disks[vdb]": "Ignored"}),
    "another interface": ({"more": "nic=52:54:00:00:00:02/9/192.0.2.1"}, "", {"networks[52:54:00:00:00:02]": "Ignored"}),
    "what only a new guest reads": (
        {},
        "hostname: other, sshKeys: [ssh-ed25519 AAAA], userData: {inline: x}",
        {"spec.hostname": "Ignored", "spec.sshKeys": "Ignored", "spec.userData": "Ignored"},
    ),
    "the host name that it has": ({}, "hostname: old", {}),
    "a volume": ({}, "volumes: [{name: data, volume: data}]", {"spec.volumes[data]": "Live"}),
    "UEFI that it has": ({"more": "uefi"}, "firmware: UEFI", {}),
    "other firmware": ({"more": "uefi"}, "firmware: BIOS", {"spec.firmware": "Refused"}),
    "no address is known": ({"ip": ""}, "", {"spec.networks[front].ip": "Refused"}),
    "another address": ({}, "networks: [{name: front, network: front, ip: 10.1.0.9}]", {"spec.networks[front].ip": "Refused"}),
    "the gateway's address": ({"ip": "10.1.0.1"}, "", {"spec.networks[front].ip": "Refused"}),
    "an address of another subnet": ({"ip": "10.9.0.1"}, "", {"spec.networks[front].ip": "Refused"}),
    "a new interface": (
        {},
        "networks: [{name: front, network: front}, {name: more, network: front}]",
        {"spec.networks[more]": "Live"},
    ),
    "a pinned MAC address that it has not": (
        {},
        "networks: [{name: front, network: front, mac: '02:00:00:00:00:09'}]",
        {"spec.networks[front]": "Live", f"networks[{MAC}]": "Ignored"},
    ),
}


@pytest.mark.parametrize(("different", "extra", "expected"), DIFFERENCES.values(), ids=DIFFERENCES.keys())
def test_every_difference_is_told(different: dict[str, object], extra: str, expected: dict[str, str]) -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud, **different))  # type: ignore[arg-type]
        before = cloud.datacentre.census
        spec = (
            adopting(extra=extra)
            if "networks:" not in extra
            else adopting().replace("networks: [{name: front, network: front}]", extra)
        )
        cloud.apply(spec)
        await cloud.settle(10)
        assert report(cloud) == expected
        refused = "Refused" in expected.values()
        assert phase(cloud) == ("Refused" if refused else "Differs" if expected else "Matches")
        assert cloud.reason() == ("False", "AdoptionRefused" if refused else "AdoptionReport")
        assert cloud.datacentre.census == before
        cloud.edit(adopt={"instanceID": ID, "mode": "Adopt"})
        await cloud.settle(20)
        assert phase(cloud) == ("Refused" if refused else "Adopted")
        assert (
            there(cloud).starts == (0 if refused else 1)
            if "off" in str(different.get("more")).split()
            else there(cloud).starts == 1
        )

    play(story)


def test_it_is_taken_over_as_it_runs() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        assert cloud.reason() == ("True", "Running")
        mine, status = there(cloud), cloud.vm()
        assert (mine.starts, mine.power, mine.owner and mine.owner.name) == (1, Power.ON, "web")
        assert (status["host"], status["instanceID"], status["hypervisorName"]) == ("h1", ID, "old")
        assert [(nic["name"], nic["mac"], nic["ip"]) for nic in status["nics"]] == [("front", MAC, IP)]
        assert [(disk["name"], disk["volumeID"], disk["size"]) for disk in status["disks"]] == [("root", PATH, "3Gi")]
        assert cloud.jobs() == [("ImportUnmanagedInstance", "Succeeded")]
        assert "Adopted" in str(cloud.events("web"))
        assert cloud.condition("VirtualMachine", "shop/web", "InSync") == ("True", "AsDeclared")
        assert [str(ip) for ip, _ in cloud.controller.parts.addresses.records("shop/front")] == [IP]
        room = cloud.controller.parts.placements.size("uid-" + str(cloud.api.uids))
        assert room is not None
        assert (room.host, room.cpus, room.memory, room.disk) == ("h1", 2, 4 * GIB, 3 * GIB)

    play(story)


def test_its_addresses_are_given_to_nobody_else() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        cloud.apply(vm("other", networks=[f"{{name: front, network: front, ip: {IP}}}"]))
        cloud.apply(vm("third", networks=[f"{{name: front, network: front, mac: '{MAC}'}}"]))
        await cloud.settle(60)
        assert cloud.reason("other") == ("False", "AddressInUse")
        assert cloud.reason("third") == ("False", "MACAddressInUse")

    play(story)


def test_an_address_that_another_vm_has_refuses_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(vm("first", networks=[f"{{name: front, network: front, ip: {IP}}}"]))
        await cloud.settle(30)
        foreign(cloud, like(cloud))
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert report(cloud) == {"spec.networks[front]": "Refused"}
        assert IP in cloud.text()
        assert there(cloud).owner is None
        cloud.delete("VirtualMachine", "shop/first")
        await cloud.settle(90)
        assert phase(cloud) == "Adopted"

    play(story)


CHANGES: dict[str, tuple[Callable[[VMCloud], None], Callable[[VMCloud], bool]]] = {
    "it is started again": (
        lambda cloud: cloud.datacentre.act(Act.POWER_OFF, "web"),
        lambda cloud: (there(cloud).power, there(cloud).starts) == (Power.ON, 2),
    ),
    "it is resized": (lambda cloud: cloud.edit(offering="large"), lambda cloud: there(cloud).cpus == 4),
    "it is stopped": (lambda cloud: cloud.edit(powerState="Off"), lambda cloud: there(cloud).power is Power.OFF),
    "it is restarted": (
        lambda cloud: cloud.edit(restartedAt="2026-11-21T10:00:00Z"),
        lambda cloud: there(cloud).starts == 2,
    ),
    "its disk grows": (
        lambda cloud: cloud.edit(rootDisk={"size": "9Gi"}),
        lambda cloud: there(cloud).disks["root"].size == 9 * GIB,
    ),
    "it is followed": (
        lambda cloud: cloud.datacentre.act(Act.MOVE_VM, "web", "host-00002"),
        lambda cloud: cloud.vm()["host"] == "h2",
    ),
}


@pytest.mark.parametrize(("act", "done"), CHANGES.values(), ids=CHANGES.keys())
def test_from_then_on_it_is_a_vm_like_any_other(act: Callable[[VMCloud], None], done: Callable[[VMCloud], bool]) -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud, hosts=2)
        foreign(cloud, like(cloud))
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        act(cloud)
        await cloud.settle(120)
        assert done(cloud), there(cloud)
        assert cloud.reason() in (("True", "Running"), ("True", "Stopped"))

    play(story)


def test_hardware_changed_by_hand_is_drift() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        cloud.datacentre.act(Act.SET_CPUS, "web", "1")
        await cloud.settle(20)
        assert cloud.reason() == ("False", "HardwareDrift")

    play(story)


def test_one_that_is_deleted_on_the_hypervisor_is_never_made_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud, extra="recreatePolicy: Fresh")
        cloud.datacentre.act(Act.DELETE_VM, "web")
        await cloud.settle(120)
        assert cloud.reason() == ("False", "InstanceMissing")
        assert not cloud.datacentre.vms

    play(story)


@pytest.mark.parametrize("restarted", [False, True], ids=["running controller", "restarted controller"])
def test_it_is_found_again_after_all_status_is_lost(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud, extra="restartedAt: '2026-11-20T23:00:00Z'")
        before, disks, nics = cloud.datacentre.census, cloud.vm()["disks"], cloud.vm()["nics"]
        cloud.wipe_status()
        if restarted:
            await cloud.restart()
        await cloud.settle(120)
        assert cloud.reason() == ("True", "Running")
        assert (cloud.vm()["disks"], cloud.vm()["nics"], phase(cloud)) == (disks, nics, "Adopted")
        assert cloud.datacentre.census == before

    play(story)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_vm_with_our_mark_is_ours_whoever_may_adopt_vms_by_now(restarted: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        before = cloud.datacentre.census
        cloud.apply(opened(to="Same"))
        cloud.wipe_status()
        if restarted:
            await cloud.restart()
        await cloud.settle(120)
        assert (phase(cloud), cloud.reason()) == ("Adopted", ("True", "Running"))
        assert [str(ip) for ip, _ in cloud.controller.parts.addresses.records("shop/front")] == [IP]
        assert cloud.datacentre.census == before

    play(story)


def test_a_mark_that_somebody_took_off_is_not_counted_on() -> None:
    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        there(cloud).owner = None  # no event tells of it
        cloud.api.wipe_status(Key("VirtualMachine", "shop", "web"))
        await cloud.settle(120)
        assert (phase(cloud), there(cloud).owner is None) == ("Adopted", False)

    play(story)


def test_its_snapshots_outlast_the_loss_of_its_status() -> None:
    """Meanwhile none is taken for gone, neither by its object nor by one that is deleted, and a restore waits."""

    async def story(cloud: VMCloud) -> None:
        await taken(cloud)
        for name in ("kept", "gone"):
            cloud.apply(snapshots.snapshot(name))
            await cloud.settle(20)
        cloud.edit(powerState="Off", stopMode="Hard")
        await cloud.settle(20)
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(60)
        cloud.api.wipe_status(Key("VirtualMachine", "shop", "web"))
        cloud.delete("Snapshot", "shop/gone")
        cloud.apply(snapshots.restore(to="kept"))
        await cloud.settle(60)
        assert cloud.exists("Snapshot", "shop/gone")
        assert snapshots.status(cloud, "kept")["state"] == "Ready"
        assert snapshots.status(cloud, "back", "SnapshotRestore")["state"] == "Pending"
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(120)
        assert not cloud.exists("Snapshot", "shop/gone")
        assert [each.name for each in there(cloud).snapshots.values()] == ["shop-kept"]
        assert snapshots.ready(cloud, "back", "SnapshotRestore") == ("True", "Completed")

    play(story)


def test_nothing_reaches_a_vm_before_it_is_adopted() -> None:
    """Neither a snapshot nor a deletion, whatever finalizer somebody puts on the object."""

    async def story(cloud: VMCloud) -> None:
        await found(cloud, extra="deletionPolicy: Delete")
        before = cloud.datacentre.census
        cloud.apply(snapshots.snapshot())
        await cloud.settle(30)
        assert snapshots.ready(cloud) == ("False", "VirtualMachineNotReady")
        raw = cloud.raw("VirtualMachine", "shop/web")
        raw["metadata"]["finalizers"] = ["vireo.dev/finalizer"]
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        assert cloud.datacentre.census == before

    play(story)
