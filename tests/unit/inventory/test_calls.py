"""Calls about volumes and snapshots: each in the lane that gives it the time that it may need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from controller.inventory.calls import SnapshotCalls, VolumeCalls
from controller.inventory.session import Session
from drivers.types import DesiredSnapshot, DesiredVolume, Done, HostID, InstanceID, Owner, PoolSpec, SnapshotID, VolumeID

WEB, DATA, TAKEN = InstanceID("web"), VolumeID("data"), SnapshotID("taken")
POOL, OWNER = PoolSpec("fast", "/srv/fast"), Owner("uid", "shop", "web")
RAW = replace(POOL, volume_group="vg-1")
WANTED = DesiredSnapshot(TAKEN, "taken", OWNER)
EMPTY = DesiredVolume(DATA, "data", OWNER, POOL, 1 << 30)

VOLUMES: dict[str, tuple[str, str, Callable[[VolumeCalls], Any]]] = {
    "contents": ("survey", "contents", lambda calls: calls.contents(POOL)),
    "empty volume": ("change", "create_volume", lambda calls: calls.create(EMPTY)),
    "volume of an image": ("copy", "create_volume", lambda calls: calls.create(replace(EMPTY, image="debian"))),
    "volume of a snapshot": ("copy", "create_volume", lambda calls: calls.create(replace(EMPTY, snapshot=TAKEN))),
    "grow": ("change", "grow_volume", lambda calls: calls.grow(POOL, DATA, 2 << 30, WEB)),
    "empty volume in a volume group": ("copy", "create_volume", lambda calls: calls.create(replace(EMPTY, pool=RAW))),
    "grow in a volume group": ("copy", "grow_volume", lambda calls: calls.grow(RAW, DATA, 2 << 30, WEB)),
    "delete": ("change", "delete_volume", lambda calls: calls.delete(POOL, DATA)),
    "snapshot": ("copy", "snapshot_volume", lambda calls: calls.snapshot(POOL, DATA, WANTED)),
    "restore": ("copy", "restore_volume", lambda calls: calls.restore(POOL, DATA, TAKEN, "token")),
    "delete snapshot": ("change", "delete_volume_snapshot", lambda calls: calls.delete_snapshot(POOL, TAKEN)),
}
SNAPSHOTS: dict[str, tuple[str, Callable[[SnapshotCalls], Any]]] = {
    "create": ("create_snapshot", lambda calls: calls.create(WEB, WANTED)),
    "restore": ("restore", lambda calls: calls.restore(WEB, TAKEN, "token")),
    "delete": ("delete_snapshot", lambda calls: calls.delete(WEB, TAKEN)),
}


class Recorder:
    """In place of a session: its lanes note what goes through them, and whose knowledge was out of date meanwhile."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        self.changed: list[InstanceID | None] = []
        self.lanes = self
        self._connection = Mock()

    def connection(self) -> Mock:
        return self._connection

    @contextmanager
    def changing(self, instance: InstanceID | None) -> Iterator[None]:
        self.changed.append(instance)
        yield

    def __getattr__(self, lane: str) -> Callable[..., Any]:
        async def through(call: Mock, host: HostID, *_: object) -> Done:
            assert host == "h1"
            self.made.append((lane, call._extract_mock_name().rpartition(".")[2]))
            return Done()

        return through


@pytest.mark.parametrize("name", VOLUMES)
def test_calls_about_volumes(name: str) -> None:
    lane, driver_call, call = VOLUMES[name]
    session = Recorder()
    asyncio.run(call(VolumeCalls(cast("Session", session), lambda: HostID("h1"), session.changing)))
    assert session.made == [(lane, driver_call)]
    assert session.changed == ([WEB] if name.startswith("grow") else [])


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_calls_about_snapshots_of_vms_may_rewrite_disks_as_long_as_copies_take(name: str) -> None:
    driver_call, call = SNAPSHOTS[name]
    session = Recorder()
    asyncio.run(call(SnapshotCalls(cast("Session", session), lambda: HostID("h1"), session.changing)))
    assert session.made == [("copy", driver_call)]
    assert session.changed == [WEB]
