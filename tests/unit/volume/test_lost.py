"""Volumes whose status is lost, and volumes that are lost themselves."""

from __future__ import annotations

from drivers.simulator.engine.actions import Act
from tests.support.vms import VMCloud, play, vm
from tests.support.volumes import begin, has, local_pools, made, mounted, ready, status, text, volume


def test_found_again_where_it_is_and_on_whom() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(), volume("data"), volume("far", extra="pool: local-h2"), vm(extra=mounted("data")))
        before = {name: status(cloud, name) for name in ("data", "far")}
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        for name, known in before.items():
            assert ready(cloud, name) == ("True", "Ready"), text(cloud, name)
            assert {each: status(cloud, name).get(each) for each in ("pool", "volumeID", "size", "attachedTo")} == {
                each: known.get(each) for each in ("pool", "volumeID", "size", "attachedTo")
            }
        assert [each.made for each in cloud.datacentre.census.volumes] == [1, 1]
        assert (cloud.reason(), has(cloud), cloud.datacentre.census.vms[0].starts) == (("True", "Running"), ["data"], 1)
        assert "Found" in cloud.events("far")

    play(story)


def test_not_made_a_second_time_while_a_host_that_may_have_it_does_not_answer() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(), volume(extra="pool: local-h1"))
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert ready(cloud) == ("False", "PoolsNotObserved")
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(120)
        assert ready(cloud) == ("True", "Ready")
        assert [each.made for each in cloud.datacentre.census.volumes] == [1]

    play(story)


def test_a_claim_stands_after_a_loss_of_all_statuses() -> None:
    """The younger VM has the volume: the older one, which names it too, must not take it over."""

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("old"), vm("young", mounted("data")))
        cloud.edit("old", volumes=[{"name": "data", "volume": "data"}])
        await cloud.settle(10)
        assert cloud.reason("old") == ("False", "VolumeInUse")
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(120)
        assert (has(cloud, "young"), has(cloud, "old")) == (["data"], [])
        assert cloud.reason("old") == ("False", "VolumeInUse")

    play(story)


def test_a_volume_deleted_by_hand_is_reported_and_not_made_afresh() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), volume("other"))
        [found] = [each for each in cloud.datacentre.census.volumes if each.name == "shop-data"]
        cloud.datacentre.act(Act.DELETE_VOLUME, f"host-00001/{found.volume}")
        await cloud.settle(700)
        assert ready(cloud) == ("False", "VolumeMissing")
        assert (status(cloud)["state"], list(made(cloud))) == ("Error", ["other"])
        assert ready(cloud, "other") == ("True", "Ready")
        cloud.delete("Volume", "shop/data")
        await cloud.settle(10)
        cloud.apply(volume())
        await cloud.settle(10)
        assert (ready(cloud), sorted(made(cloud))) == (("True", "Ready"), ["data", "other"])

    play(story)


def test_at_rest_nothing_is_written_and_pools_are_looked_at_together() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, *(volume(f"data-{number}") for number in range(20)))
        await cloud.settle(120)
        written, looks = cloud.writes, cloud.points["before contents"]
        await cloud.settle(3600)
        assert cloud.writes == written
        assert cloud.points["before contents"] - looks <= 3600 / 600 * 2

    play(story)


def test_a_restart_writes_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm(extra=mounted("data")))
        await cloud.settle(120)
        written = cloud.points["after status of Volume"]
        await cloud.restart()
        await cloud.settle(120)
        assert cloud.points["after status of Volume"] == written

    play(story)
