"""The audit that the matrices rely on finds what is wrong: each thing is put wrong by hand here, with the controller dead."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from drivers.simulator.engine.actions import Act
from drivers.types import VolumeID
from tests.support.live.audit import findings
from tests.support.matrix import QUICK, WITH_DATA, MatrixCloud, Operation, apply, play, prepare, wrong
from tests.support.snapshots import snapshot
from tests.support.tables import drawn
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


WRONG: list[tuple[str, Break, str]] = [
    ("a VM without an object", remove("VirtualMachine", "idle"), "idle on host-0000. is an orphan"),
    ("a VM that is gone", lambda cloud: cloud.datacentre.act(Act.DELETE_VM, "web"), "web does not exist"),
    ("a VM that is off", lambda cloud: cloud.datacentre.act(Act.POWER_OFF, "web"), "web: power is Off"),
    ("a VM with other CPUs", lambda cloud: cloud.datacentre.act(Act.SET_CPUS, "web", "7"), "web: CPUs is 7"),
    ("a VM without its address", leak_address, "web: interfaces is"),
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
        found.extend(findings(cloud, cloud.datacentre.census))

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
