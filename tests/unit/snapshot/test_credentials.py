"""A call that meets a login that is refused, as while a password is being changed: nothing that was declared ends for that."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.errors import AuthFailed
from tests.support.snapshots import job, reads, ready, restore, snapshot, status, store, stored, text, write
from tests.support.vms import VMCloud, play, site, vm
from tests.support.volumes import ready as volume_ready
from tests.support.volumes import volume

TIMES = 3


def refuse(cloud: VMCloud, method: str) -> list[str]:
    """Have the first few calls of a method refused as a login is; returns those that were."""
    plain, refused = cloud.datacentre.service.execute, list[str]()

    def execute(session: str, asked: str, args: tuple[Any, ...], faults: list[Any]) -> Any:
        if asked == method and len(refused) < TIMES:
            refused.append(asked)
            raise AuthFailed("the user name or password is refused")
        return plain(session, asked, args, faults)

    cloud.datacentre.service.execute = execute  # type: ignore[method-assign]
    return refused


async def begin(cloud: VMCloud) -> None:
    """A VM and a volume, with "old" on both."""
    cloud.apply(site())
    cloud.apply(vm())
    cloud.apply(volume())
    await cloud.settle(60)
    write(cloud, "old")
    store(cloud, "old")


@pytest.mark.parametrize("method", ["compute.create", "power.start"])
def test_a_vm_is_made_after_it(method: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        refused = refuse(cloud, method)
        cloud.apply(vm())
        await cloud.settle(20)
        assert cloud.reason() == ("False", "CredentialsRefused")
        await cloud.settle(120)
        assert (len(refused), cloud.reason()) == (TIMES, ("True", "Running"))
        assert len(cloud.datacentre.vms) == 1

    play(story)


def test_a_volume_is_made_after_it() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        refused = refuse(cloud, "volumes.create_volume")
        cloud.apply(volume())
        await cloud.settle(150)
        assert (len(refused), volume_ready(cloud)) == (TIMES, ("True", "Ready"))

    play(story)


@pytest.mark.parametrize(
    ("method", "of"),
    [("snapshots.create_snapshot", "virtualMachine: web"), ("volumes.snapshot_volume", "volume: data")],
    ids=["VM", "volume"],
)
def test_a_snapshot_is_taken_after_it(method: str, of: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        refused = refuse(cloud, method)
        cloud.apply(snapshot(of=of))
        await cloud.settle(20)
        assert ready(cloud) == ("False", "CredentialsRefused")
        assert "password is refused" in text(cloud)
        await cloud.settle(120)
        assert (len(refused), ready(cloud), job(cloud)[1]) == (TIMES, ("True", "Ready"), "Succeeded")

    play(story)


def test_a_vm_is_restored_after_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot())
        await cloud.settle(20)
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        write(cloud, "new")
        refused = refuse(cloud, "snapshots.restore")
        cloud.apply(restore())
        await cloud.settle(150)
        assert (len(refused), ready(cloud, "back", "SnapshotRestore")) == (TIMES, ("True", "Completed"))
        assert (reads(cloud), cloud.datacentre.vm().restores) == ("old", 1)

    play(story)


def test_a_volume_is_restored_after_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await begin(cloud)
        cloud.apply(snapshot(of="volume: data"))
        await cloud.settle(20)
        store(cloud, "new")
        refused = refuse(cloud, "volumes.restore_volume")
        cloud.apply(restore())
        await cloud.settle(150)
        assert (len(refused), status(cloud, "back", "SnapshotRestore")["state"]) == (TIMES, "Completed")
        assert stored(cloud) == "old"

    play(story)
