"""What is gone is forgotten: whatever happened to it, nothing of a deleted object stays in the controller's memory.

A controller lives for months and sees millions of objects: one that keeps something of each of them grows until it is killed.
"""

from __future__ import annotations

import asyncio
import gc
import re

import pytest

from controller.ipam import instance_id, snapshot_id, volume_id
from controller.runtime.scope import Scope
from tests.scenario.test_fault_matrix import CELLS, Fault
from tests.support.matrix import QUICK, MatrixCloud, Operation, play, prepare
from tests.support.retained import strings
from tests.support.vms import vm

_LIVING = ("SnapshotRestore", "Snapshot", "VirtualMachine", "Volume")
"""In an order in which nothing waits for another one."""
_UID = re.compile(r"\buid-\d+\b")
TRIED = [(fault, each) for fault, each in CELLS if fault.hosts == 2 and each.name in ("create", "attach", "restore", "v.snapshot")]
"""Between them they come by all that is kept of VMs, volumes, snapshots and restores."""
_QUIET = 7200.0
"""Seconds after which nothing is remembered for a while any more: a call that copies waits for half of it."""

_BOUNDED = ("[_tombstones]", "[_recorder][_last]", "[_recorder][_series]", "ContentsReader[_last]", "[_scheduler][_rejections]")
"""The last few thousand deletions and Events, what lay in a pool at the last look, and what was refused since anything changed."""


async def _delete_all(cloud: MatrixCloud) -> None:
    for kind in _LIVING:
        for raw in cloud.list(kind):
            cloud.delete(kind, f"{raw['metadata']['namespace']}/{raw['metadata']['name']}")
        await cloud.settle(60)
    await cloud.settle(_QUIET)
    assert not [key for key in cloud.api.objects if key.kind in _LIVING]


def remembered(cloud: MatrixCloud) -> list[str]:
    """What is kept of objects that are gone, and the way there: their names, uids, and what is made of these."""
    there = [raw["metadata"] for raw in cloud.api.objects.values()]
    uids = {f"uid-{number}" for number in range(1, cloud.api.uids + 1)} - {each["uid"] for each in there}
    names = {each["metadata"]["name"] for each in cloud.api.history if each["kind"] in _LIVING} - {each["name"] for each in there}
    left = cloud.datacentre.census.vms  # of which the object was let go
    names -= {each.name.removeprefix("shop-") for each in left}
    made = {str(make(uid)) for uid in uids for make in (instance_id, volume_id, snapshot_id)} - {each.instance for each in left}

    def is_of_gone(text: str) -> bool:
        return text in names or not uids.isdisjoint(_UID.findall(text)) or any(each in text for each in made)

    kept = ((text, way) for text, way in strings(cloud.controller) if not any(each in way for each in _BOUNDED))
    return [f"{text[:80]}: {way}" for text, way in kept if is_of_gone(text)]


def test_sessions_that_a_reconcile_opened_hold_nothing_of_it() -> None:
    """There may be thousands of them, and they last as long as their hosts."""

    async def story(cloud: MatrixCloud) -> None:
        cloud.site(2)
        cloud.apply(vm())
        await cloud.settle(900)
        gc.collect()
        # its type, not `isinstance`: that asks each object for its class, and others' proxies of what is gone raise for it
        held = [each for each in gc.get_objects() if type(each) is Scope and each.object is not None]
        assert [str(each.key) for each in held if each.key.kind == "Host"] == []

    play(story, QUICK)


@pytest.mark.parametrize(("fault", "operation"), TRIED, ids=[f"{fault.name}-{each.name}" for fault, each in TRIED])
def test_nothing_is_kept_of_what_is_gone(fault: Fault, operation: Operation) -> None:
    async def story(cloud: MatrixCloud) -> None:
        await prepare(cloud, operation)
        tasks = len(asyncio.all_tasks())
        fault.begin(cloud, operation)
        await cloud.settle(1)
        operation.act(cloud)
        await cloud.settle(fault.lasts)
        fault.lift(cloud)
        await cloud.settle(600)
        await _delete_all(cloud)
        assert not remembered(cloud)
        assert len(asyncio.all_tasks()) <= tasks

    play(story, fault.settings)
