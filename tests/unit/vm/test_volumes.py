"""Volumes of a VM over simulated hosts: attached, detached, waited for, on one VM at a time."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, Power
from tests.support.vms import GIB, VMCloud, play, vm
from tests.support.volumes import begin, edit, has, local_pools, made, mounted, mounts, ready, status, text, volume


def test_a_new_vm_has_its_volumes_from_the_first_start() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume("data"), volume("logs"), vm(extra=mounted("data", "logs")))
        assert cloud.reason() == ("True", "Running"), cloud.text()
        assert has(cloud) == ["data", "logs"]
        assert cloud.jobs() == [("DeployVirtualMachine", "Succeeded")]
        assert [(each["name"], each["volume"], each["size"]) for each in cloud.vm()["volumes"]] == [
            ("data", "data", "5Gi"),
            ("logs", "logs", "5Gi"),
        ]
        assert cloud.vm()["volumes"][0]["volumeID"] == status(cloud)["volumeID"]
        uuid = cloud.vm()["instanceID"]
        assert status(cloud)["attachedTo"] == {"virtualMachine": "web", "name": "data", "host": "h1", "instanceID": uuid}

    play(story)


def test_attach_and_detach_live() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(5)
        assert (has(cloud), cloud.job(), cloud.reason()) == (["data"], ("AttachVolume", "Succeeded"), ("True", "Running"))
        cloud.edit(volumes=[])
        await cloud.settle(5)
        assert (has(cloud), cloud.job()) == ([], ("DetachVolume", "Succeeded"))
        assert "attachedTo" not in status(cloud)
        assert cloud.datacentre.vm().power is Power.ON
        assert cloud.datacentre.census.vms[0].starts == 1

    play(story)


def test_a_vm_waits_for_its_volumes_before_it_is_made() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm(extra=mounted("data")))
        assert cloud.reason() == ("False", "VolumeNotFound")
        assert not cloud.datacentre.vms
        cloud.apply(volume())
        await cloud.settle(10)
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), ["data"])

    play(story)


def test_a_running_vm_runs_on_while_a_volume_is_missing() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, vm())
        cloud.edit(volumes=mounts("data"), offering="large")
        await cloud.settle(10)
        assert cloud.reason() == ("False", "VolumeNotFound")
        assert (cloud.datacentre.vm().power, cloud.datacentre.vm().cpus) == (Power.ON, 4)
        cloud.apply(volume())
        await cloud.settle(10)
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), ["data"])

    play(story)


def test_a_volume_is_on_one_vm_at_a_time() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("web", mounted("data")), vm("other", mounted("data")))
        assert cloud.reason("web") == ("True", "Running")
        assert cloud.reason("other") == ("False", "VolumeInUse")
        assert "on VM web" in cloud.text("other")
        cloud.edit("web", volumes=[])
        await cloud.settle(40)
        assert (has(cloud, "web"), has(cloud, "other")) == ([], ["data"])
        assert cloud.reason("other") == ("True", "Running")

    play(story)


def test_a_volume_outlives_its_vm_and_goes_to_the_next() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("web", mounted("data")), vm("other"))
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(10)
        assert (list(made(cloud)), ready(cloud)) == (["data"], ("True", "Ready"))
        assert "attachedTo" not in status(cloud)
        cloud.edit("other", volumes=mounts("data"))
        await cloud.settle(5)
        assert has(cloud, "other") == ["data"]

    play(story)


def test_a_volume_is_not_deleted_while_a_vm_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("web", mounted("data")))
        cloud.delete("Volume", "shop/data")
        await cloud.settle(60)
        assert ready(cloud, type="DeletionBlocked") == ("True", "InUse")
        assert "shop/web" in text(cloud)
        assert (has(cloud), list(made(cloud))) == (["data"], ["data"])
        cloud.edit("web", volumes=[])
        await cloud.settle(20)
        assert not cloud.exists("Volume", "shop/data")
        assert not cloud.datacentre.census.volumes
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_grows_on_the_host_of_its_vm() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("web", mounted("data")))
        edit(cloud, size="9Gi")
        await cloud.settle(10)
        assert (made(cloud)["data"].size, status(cloud)["size"]) == (9 * GIB, "9Gi")
        await cloud.settle(10)
        assert cloud.vm()["volumes"][0]["size"] == "9Gi"

    play(story)


def test_without_hotplug_it_is_pending_until_the_next_restart() -> None:
    settings = Settings(hosts=2, boot=1, shutdown=1, capabilities=frozenset(Capability) - {Capability.VOLUME_HOTPLUG})

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm())
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(10)
        assert has(cloud) == []
        assert [(each["field"], each["needs"]) for each in cloud.vm()["pendingChanges"]] == [("spec.volumes[data]", "PowerOff")]
        cloud.edit(restartedAt="2026-11-20T11:00:00Z")
        await cloud.settle(20)
        assert (has(cloud), cloud.reason()) == (["data"], ("True", "Running"))
        assert "pendingChanges" not in cloud.vm()

    play(story, settings=settings)


def test_detached_by_hand_it_is_attached_again() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, volume(), vm("web", mounted("data") + ", driftPolicy: Correct"))
        cloud.datacentre.act(Act.DETACH_VOLUME, "web", status(cloud)["volumeID"])
        assert has(cloud) == []
        await cloud.settle(10)
        assert has(cloud) == ["data"]

    play(story)


LOCAL_TAG = "tags: [fast]"


@pytest.mark.parametrize("first", ["volume", "vm"])
def test_a_volume_of_a_local_pool_is_made_where_its_first_vm_is(first: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"))
        things = [volume(extra=LOCAL_TAG), vm("web", mounted("data"))]
        for each in things if first == "volume" else reversed(things):
            cloud.apply(each)
            await cloud.settle(30)
            if each is things[0] and first == "volume":
                assert ready(cloud) == ("False", "WaitForFirstConsumer")
        assert (cloud.reason(), has(cloud)) == (("True", "Running"), ["data"]), cloud.text()
        assert status(cloud)["pool"] == f"local-{cloud.vm()['host']}"

    play(story)


def test_the_next_vm_goes_where_the_local_volume_is() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"), volume(extra=LOCAL_TAG), vm("web", mounted("data")))
        host = cloud.vm()["host"]
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(20)
        for name in ("a", "b", "c"):
            cloud.apply(vm(name, mounted("data")))
            await cloud.settle(10)
            assert (cloud.vm(name)["host"], cloud.reason(name)) == (host, ("True", "Running"))
            cloud.delete("VirtualMachine", f"shop/{name}")
            await cloud.settle(10)

    play(story)


def test_a_vm_elsewhere_can_not_have_a_local_volume() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"), vm("web"))
        other = "h2" if cloud.vm()["host"] == "h1" else "h1"
        cloud.apply(volume(extra=f"pool: local-{other}"))
        await cloud.settle(10)
        assert ready(cloud) == ("True", "Ready")
        cloud.edit(volumes=mounts("data"))
        await cloud.settle(10)
        assert cloud.reason() == ("False", "VolumeUnreachable")
        assert cloud.datacentre.vm().power is Power.ON
        cloud.apply(vm("apart", f"{mounted('data')}, placement: {{host: {cloud.vm()['host']}}}"))
        cloud.edit(volumes=[])
        await cloud.settle(40)
        assert cloud.reason("apart") == ("False", "VolumeUnreachable")
        assert cloud.reason("web") == ("True", "Running")

    play(story)


def test_a_vm_that_is_not_made_yet_goes_to_a_volume_that_it_names_late() -> None:
    """It was given a place while its template is copied; nothing of it is there yet."""
    slow = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations={"storage.put_image": 40.0})

    async def story(cloud: VMCloud) -> None:
        await begin(cloud, local_pools(tags="[fast]"), volume("one", extra="pool: local-h1"), volume("two", extra="pool: local-h2"))
        for name in ("a", "b"):
            cloud.apply(vm(name))
        await cloud.settle(10)
        assert cloud.reason("a") == ("False", "TemplateSeeding")
        uid = cloud.raw("VirtualMachine", "shop/a")["metadata"]["uid"]
        held = cloud.controller.parts.placements.size(uid)
        assert held is not None
        there, late = ("h2", "two") if held.host == "h1" else ("h1", "one")
        cloud.edit("a", volumes=mounts(late))
        await cloud.settle(90)
        assert (cloud.vm("a")["host"], cloud.reason("a"), has(cloud, "a")) == (there, ("True", "Running"), [late])

    play(story, settings=slow)
