"""The last host that reaches a pool: it stays until nothing is left that only it can reach, whatever is deleted first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.keys import Key
from drivers.simulator.engine.actions import Act
from tests.support.matrix import QUICK, SLOW, MatrixCloud, play
from tests.support.snapshots import snapshot
from tests.support.vms import vm
from tests.support.volumes import mounted, volume

TWO = ("host-00001", "host-00002")
KINDS = ["Zone", "Pod", "Cluster", "Host", "StoragePool", "ServiceOffering", "Template", "Network"]
KINDS += ["VirtualMachine", "Volume", "Snapshot"]


async def begin(cloud: MatrixCloud, *texts: str) -> None:
    cloud.site(2)
    await cloud.settle(30)
    for each in texts:
        cloud.apply(each)
        await cloud.settle(30)


def hosts(cloud: MatrixCloud) -> list[str]:
    return sorted(raw["metadata"]["name"] for raw in cloud.list("Host"))


def nothing_is_left(cloud: MatrixCloud) -> None:
    assert [key for key in cloud.api.objects if key.kind in KINDS] == []
    census = cloud.datacentre.census
    assert (list(census.vms), list(census.disks), list(census.volumes), list(census.snapshots)) == ([], [], [], [])


@pytest.mark.parametrize("made_by", [QUICK, SLOW], ids=["at once", "by tasks"])
def test_all_may_be_deleted_at_once(made_by: object) -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")), snapshot("whole"), snapshot("part", of="volume: data"))
        for key in [each for each in cloud.api.objects if each.kind in KINDS]:
            cloud.api.delete(key)
        await cloud.settle(300)
        nothing_is_left(cloud)

    play(story, made_by)  # type: ignore[arg-type]


@settings(max_examples=10, deadline=None)
@given(st.permutations(KINDS), st.lists(st.sampled_from([0.0, 0.5, 20.0]), min_size=len(KINDS), max_size=len(KINDS)))
def test_kinds_may_be_deleted_in_any_order(order: list[str], pauses: list[float]) -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")), snapshot("part", of="volume: data"))
        for kind, pause in zip(order, pauses, strict=True):
            for key in [each for each in cloud.api.objects if each.kind == kind]:
                cloud.api.delete(key)
            await cloud.settle(pause)
        await cloud.settle(300)
        nothing_is_left(cloud)

    play(story, QUICK)


def test_it_names_what_it_waits_for_and_costs_no_write() -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, volume(), snapshot("part", of="volume: data"))
        for name in TWO:
            cloud.delete("Host", name)
        await cloud.settle(30)
        assert hosts(cloud) == [*TWO]
        for name in TWO:
            assert cloud.condition("Host", name, "Ready") == ("False", "InUse")
            assert cloud.message("Host", name) == "deletion waits for 2 that use it: Volume/shop/data, Snapshot/shop/part"
        written = cloud.writes
        await cloud.settle(300)
        assert cloud.writes == written
        cloud.delete("Volume", "shop/data")
        await cloud.settle(30)
        assert cloud.message("Host", TWO[0]).endswith("Snapshot/shop/part")
        cloud.delete("Snapshot", "shop/part")
        await cloud.settle(30)
        assert hosts(cloud) == []

    play(story, QUICK)


@pytest.mark.parametrize("other", ["Up", "Alert"])
def test_what_another_reaches_keeps_nobody(other: str) -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, volume())
        if other == "Alert":
            cloud.datacentre.act(Act.CUT_HOST, TWO[1])
            await cloud.settle(120)
        assert cloud.status("Host", TWO[1])["state"] == other
        cloud.delete("Host", TWO[0])
        await cloud.settle(60)
        assert (TWO[0] in hosts(cloud)) == (other == "Alert")
        cloud.datacentre.act(Act.HEAL_HOST, TWO[1])
        await cloud.settle(90)
        assert hosts(cloud) == [TWO[1]]
        assert cloud.condition("Volume", "shop/data", "Ready") == ("True", "Ready")

    play(story, QUICK)


def test_one_that_does_not_answer_goes() -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, volume())
        for name in TWO:
            cloud.datacentre.act(Act.CUT_HOST, name)
        await cloud.settle(120)
        for name in TWO:
            cloud.delete("Host", name)
        await cloud.settle(60)
        assert hosts(cloud) == []

    play(story, QUICK)


def test_images_and_pools_alone_keep_nobody() -> None:
    async def story(cloud: MatrixCloud) -> None:
        await begin(cloud, vm())
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        for name in TWO:
            cloud.delete("Host", name)
        await cloud.settle(60)
        assert hosts(cloud) == []
        assert Key("Template", "shop", "debian") in cloud.api.objects

    play(story, QUICK)
