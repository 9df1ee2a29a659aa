"""The audit that the matrices rely on finds what is wrong: each thing is put wrong by hand here, with the controller dead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import VolumeID
from tests.support.matrix import QUICK, WITH_DATA, MatrixCloud, Operation, apply, audited, play, prepare, wrong
from tests.support.snapshots import snapshot
from tests.support.tables import drawn
from tests.support.vms import GIB
from tests.support.volumes import volume

ALL = Operation(
    "all", "", [WITH_DATA, apply(snapshot()), apply(volume("spare"), snapshot("copy", of="volume: spare"))], lambda _: None
)
Break = Callable[[MatrixCloud], None]


def remove(kind: str, name: str) -> Break:
    """An object is gone, and what belongs to it is not."""

    def step(cloud: MatrixCloud) -> None:
        [key] = [key for key in cloud.api.objects if (key.kind, key.name) == (kind, name)]
        del cloud.api.objects[key]

    return step


def gone(act: Act, kind: str, name: str, field: str) -> Break:
    """The file behind an object is gone."""
    return lambda cloud: cloud.datacentre.act(act, f"host-00001/{cloud.status(kind, f'shop/{name}')[field]}")


def lose_snapshot(cloud: MatrixCloud) -> None:
    cloud.datacentre.act(Act.DELETE_SNAPSHOT, "web", cloud.status("Snapshot", "shop/snap")["snapshotID"])


def detach(cloud: MatrixCloud) -> None:
    cloud.datacentre.act(Act.DETACH_VOLUME, "web", cloud.status("Volume", "shop/data")["volumeID"])


def make_twice(cloud: MatrixCloud) -> None:
    cloud.datacentre.service.dc.made[VolumeID(cloud.status("Volume", "shop/data")["volumeID"])] += 1


def shrink(cloud: MatrixCloud) -> None:
    for pool in cloud.datacentre.service.dc.pools.values():
        for each in pool.volumes.values():
            each.size -= 1


def leak_address(cloud: MatrixCloud) -> None:
    cloud.datacentre.vm().nics.clear()


def cut_off(cloud: MatrixCloud) -> None:
    """The root disk lost a byte, its status too: nobody but the template knows."""
    cloud.datacentre.vm("idle").disks["root"].size -= 1
    cloud.vm("idle")["disks"][0]["size"] = str(2 * GIB - 1)


def resize_root(cloud: MatrixCloud) -> None:
    cloud.datacentre.vm().disks["root"].size += 1


def other_mac(cloud: MatrixCloud) -> None:
    nics = cloud.datacentre.vm().nics
    nics["front"] = replace(nics["front"], mac="02:00:00:00:99:99")


def strangers(act: Act, value: str = "") -> Break:
    """Something happens to a VM of somebody else."""
    return lambda cloud: cloud.datacentre.act(act, f"{cloud.before.vms[0].host}/{cloud.before.vms[0].instance}", value)


def lose_loose_disk(cloud: MatrixCloud) -> None:
    """The disk that no VM has is gone."""
    [loose] = {disk.instance for disk in cloud.before.disks} - {vm.instance for vm in cloud.before.vms}
    for pool in cloud.datacentre.service.dc.pools.values():
        pool.disks.pop(loose, None)


def web(act: Act, value: str) -> Break:
    return lambda cloud: cloud.datacentre.act(act, "web", value)


def garbage(cloud: MatrixCloud) -> None:
    cloud.datacentre.act(Act.WRITE_VOLUME, f"host-00001/{cloud.status('Volume', 'shop/data')['volumeID']}", "garbage")


def write_idle(cloud: MatrixCloud) -> None:
    cloud.datacentre.act(Act.WRITE_DISK, "idle", "root=garbage")


WRONG: list[tuple[str, Break, str]] = [
    ("a VM without an object", remove("VirtualMachine", "idle"), "idle on host-0000. is an orphan"),
    ("a VM that is gone", lambda cloud: cloud.datacentre.act(Act.DELETE_VM, "web"), "web does not exist"),
    ("a VM that is off", lambda cloud: cloud.datacentre.act(Act.POWER_OFF, "web"), "web: power is Off"),
    ("a VM with other CPUs", lambda cloud: cloud.datacentre.act(Act.SET_CPUS, "web", "7"), "web: CPUs is 7"),
    ("a VM without its address", leak_address, "web: interfaces is"),
    ("a VM with another MAC address", other_mac, "web: MAC addresses is {'front': '02:00:00:00:99:99'}"),
    ("a VM with somebody's device", web(Act.ADD_DEVICE, "sdz"), r"web: foreign devices is \('sdz',\)"),
    ("a root disk that is gone", web(Act.REMOVE_DISK, "root"), "web: disks are {}, status tells"),
    ("a root disk of another size", resize_root, "web: disks are {'root': 2147483649}, status tells {'root': 2147483648}"),
    ("a root disk smaller than declared", cut_off, "idle: root disk has 2147483647 bytes, declared 2147483648"),
    ("a root disk with other content", web(Act.WRITE_DISK, "root=garbage"), "/root holds 'garbage', written was 'written by web'"),
    ("another VM's root disk with other content", write_idle, "/root holds 'garbage', written was 'written by idle'"),
    ("a volume with other content", garbage, "holds 'garbage', written was 'kept in shop-data'"),
    ("somebody's VM that is off", strangers(Act.POWER_OFF), "somebody's VMs are"),
    ("somebody's VM with other CPUs", strangers(Act.SET_CPUS, "7"), "somebody's VMs are"),
    ("somebody's VM that is gone", strangers(Act.DELETE_VM), "somebody's VMs are"),
    ("somebody's disk with other content", strangers(Act.WRITE_DISK, "vda=garbage"), "somebody's disks are"),
    ("somebody's disk that is gone", lose_loose_disk, "somebody's disks are"),
    ("a volume without an object", remove("Volume", "spare"), "volume shop-spare is an orphan"),
    ("a volume that is gone", gone(Act.DELETE_VOLUME, "Volume", "spare", "volumeID"), "volume .* does not exist"),
    ("a volume made twice", make_twice, "volume shop-data was made 2 times"),
    ("a volume of another size", shrink, "volume shop-spare has 5368709119 bytes"),
    ("a volume that is not attached", detach, "web: volumes are not"),
    ("a VM's snapshot without an object", remove("Snapshot", "snap"), "snapshot .* is an orphan"),
    ("a VM's snapshot that is gone", lose_snapshot, "snapshot .* does not exist"),
    ("a volume's snapshot without an object", remove("Snapshot", "copy"), "snapshot .* is an orphan"),
    (
        "a volume's snapshot that is gone",
        gone(Act.DELETE_VOLUME_SNAPSHOT, "Snapshot", "copy", "snapshotID"),
        "snapshot .* does not exist",
    ),
]


@pytest.mark.parametrize(("broken", "text"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_what_is_wrong_is_found(broken: Break, text: str) -> None:
    found: list[str] = []

    async def story(cloud: MatrixCloud) -> None:
        await prepare(cloud, ALL)
        await cloud.controller.kill()
        broken(cloud)
        found.extend(audited(cloud))

    play(story, QUICK)
    with pytest.raises(AssertionError, match=text):
        assert not found, found


def test_addresses_held_for_nobody_are_found() -> None:
    async def story(cloud: MatrixCloud) -> None:
        await prepare(cloud, ALL)
        await cloud.controller.kill()
        cloud.datacentre.act(Act.DELETE_VM, "idle")
        remove("VirtualMachine", "idle")(cloud)
        text = "; ".join(wrong(cloud))
        assert "addresses held are" in text
        assert "room is counted for" in text

    play(story, QUICK)


def test_a_table_has_its_cells_in_order_and_tells_below_what_they_mean() -> None:
    lines = drawn({"hang": {"stop": "4", "create": "n/a - too early"}, "error": {"create": "12"}})
    assert [line.split() for line in lines[:3]] == [["create", "stop"], ["error", "12"], ["hang", "n/a", "4"]]
    assert lines[3:] == ["n/a - too early (hang / create)"]
