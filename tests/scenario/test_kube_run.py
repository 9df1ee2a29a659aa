"""The controller process against a real API server: objects, restarts of either side, and two controllers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.runtime.keys import Key
from controller.runtime.lease import LeaseTimes
from standalone.plane import ControlPlane
from tests.kubectl import Kubectl
from tests.unit.runtime.models import Widget
from tests.unit.runtime.world import Outside, WidgetReconciler

from .kubewidgets import FINALIZER, Controller, controller, eventually, install, ready, widget


class Widgets:
    """The widgets of one namespace, as kubectl sees them; every call leaves the event loop free."""

    def __init__(self, kubectl: Kubectl, group: str, namespace: str) -> None:
        self.kubectl = kubectl
        self.group = group
        self.namespace = namespace
        self.kind = f"widgets.{group}"

    def get(self, name: str) -> Any:
        return self.kubectl.json("get", self.kind, name, "-n", self.namespace)

    def all(self) -> list[Any]:
        return list(self.kubectl.json("get", self.kind, "-n", self.namespace)["items"])

    async def apply(self, *names: str, size: int) -> None:
        made = [widget(self.group, self.namespace, name, size=size) for name in names]
        await asyncio.to_thread(self.kubectl.apply, *made)

    async def delete(self, *names: str, wait: bool = True) -> None:
        await asyncio.to_thread(
            self.kubectl, "delete", self.kind, *names, "-n", self.namespace, f"--wait={str(wait).lower()}", "--timeout=200s"
        )

    async def ready(self, name: str, size: int) -> Any:
        def check() -> Any:
            raw = self.get(name)
            return ready(raw) and raw["status"].get("size") == size and raw

        return await eventually(check)


@pytest.fixture
def group(kubectl: Kubectl, unique: str) -> Iterator[str]:
    name = f"{unique}.example.com"
    install(kubectl, name)
    yield name
    kubectl("delete", "crd", f"widgets.{name}", "--wait=false")


@pytest.fixture
def widgets(kubectl: Kubectl, group: str, namespace: str) -> Widgets:
    return Widgets(kubectl, group, namespace)


def written(running: Controller, what: str) -> float:
    """Writes that were answered: somebody else may see what was written a moment earlier."""
    return running.metric("vireo_object_writes_total", kind="Widget", what=what)


async def test_a_widget_lives_and_dies(plane: ControlPlane, group: str, widgets: Widgets) -> None:
    outside = Outside()
    await widgets.apply("early", size=1)
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await widgets.ready("early", 1)
        await widgets.apply("late", size=2)
        late = await widgets.ready("late", 2)
        uid = late["metadata"]["uid"]
        assert late["metadata"]["finalizers"] == [FINALIZER]
        assert outside.sizes[uid] == 2
        assert await eventually(lambda: written(running, "status") >= 4 and written(running, "status")) == 4
        assert written(running, "metadata") == 2
        await widgets.delete("late")
        assert uid not in outside.sizes
        await eventually(lambda: [key.name for key, _ in outside.forgotten] == ["late"])
        await running.finish()
    assert outside.overlaps == 0


async def test_a_process_at_rest_writes_nothing(plane: ControlPlane, group: str, widgets: Widgets) -> None:
    """A second process finds everything as it should be, and its watch goes on from its list: nothing comes a second time."""
    outside = Outside()
    await widgets.apply(*(f"w{number}" for number in range(10)), size=1)
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as first:
        await eventually(lambda: all(ready(raw) for raw in widgets.all()))
        await first.finish()
    versions = {raw["metadata"]["name"]: raw["metadata"]["resourceVersion"] for raw in widgets.all()}
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as second:
        runs = sum(outside.runs.values())
        await eventually(lambda: sum(outside.runs.values()) >= runs + 10)
        assert second.metric("vireo_object_writes_total", kind="Widget", what="status") == 0
        await widgets.apply("late", size=1)
        await eventually(lambda: len(widgets.all()) == 11 and all(ready(raw) for raw in widgets.all()))
        await second.finish()
        assert 0 < second.metric("vireo_feed_events_total", kind="Widget") < 10
    found = {raw["metadata"]["name"]: raw["metadata"]["resourceVersion"] for raw in widgets.all()}
    assert {name: version for name, version in found.items() if name != "late"} == versions
    assert set(outside.made.values()) == {1}


async def test_users_changes_beside_ours(plane: ControlPlane, group: str, widgets: Widgets) -> None:
    """Somebody edits all the time; the last edit is what counts, and nothing runs twice at once."""
    outside = Outside()
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        names = [f"w{number}" for number in range(5)]
        for size in range(1, 8):
            await widgets.apply(*names, size=size)
        for name in names:
            await widgets.ready(name, 7)
        await running.finish()
    assert sorted(outside.sizes.values()) == [7] * 5
    assert outside.overlaps == 0


async def test_a_wiped_status_is_rebuilt(plane: ControlPlane, kubectl: Kubectl, group: str, widgets: Widgets) -> None:
    outside = Outside()
    await widgets.apply("a", size=3)
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await widgets.ready("a", 3)
        patch = ("--subresource=status", "--type=json", '--patch=[{"op": "remove", "path": "/status"}]')
        await asyncio.to_thread(kubectl, "patch", widgets.kind, "a", "-n", widgets.namespace, *patch)
        await widgets.ready("a", 3)
        await running.finish()
    assert set(outside.made.values()) == {1}


async def test_a_missing_definition_is_waited_for(plane: ControlPlane, kubectl: Kubectl, unique: str, namespace: str) -> None:
    outside, group = Outside(), f"{unique}.example.com"
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await eventually(lambda: running.metric("rest_client_requests_total", code="404", method="GET") >= 2)
        await asyncio.to_thread(install, kubectl, group)
        widgets = Widgets(kubectl, group, namespace)
        await widgets.apply("a", size=1)
        await widgets.ready("a", 1)
        await running.finish()
    await asyncio.to_thread(kubectl, "delete", "crd", f"widgets.{group}", "--wait=false")


async def test_a_clean_stop_hands_over_at_once(plane: ControlPlane, group: str, widgets: Widgets) -> None:
    outside = Outside()
    made = {name: lambda _: [WidgetReconciler(outside)] for name in ("one", "two")}
    async with (
        controller(plane.kubeconfig, group, made["one"], lease=group, identity="one") as one,
        controller(plane.kubeconfig, group, made["two"], lease=group, identity="two") as two,
    ):
        await eventually(lambda: one.connection.elector.is_leader or two.connection.elector.is_leader)
        first, second = (one, two) if one.connection.elector.is_leader else (two, one)
        await widgets.apply("a", size=1)
        await widgets.ready("a", 1)
        assert not second.connection.elector.is_leader
        assert second.metric("vireo_object_writes_total", kind="Widget", what="status") == 0
        await first.finish()
        await widgets.apply("a", size=2)
        await widgets.ready("a", 2)
        assert second.connection.elector.is_leader
        assert not first.connection.elector.is_leader
        await second.finish()
    assert outside.overlaps == 0
    assert set(outside.made.values()) == {1}


async def test_a_leader_whose_lease_is_taken_ends_its_term(
    plane: ControlPlane, kubectl: Kubectl, group: str, widgets: Widgets
) -> None:
    outside = Outside()
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await widgets.apply("a", size=1)
        await widgets.ready("a", 1)
        patch = '{"spec": {"holderIdentity": "somebody else", "leaseDurationSeconds": 600}}'
        await asyncio.to_thread(kubectl, "patch", "lease", group, "-n", "default", "--type=merge", f"--patch={patch}")
        await asyncio.wait_for(running.task, 120)
        assert not running.connection.elector.is_leader
        await widgets.apply("a", size=2)
    assert outside.sizes == {widgets.get("a")["metadata"]["uid"]: 1}


async def test_an_api_server_that_restarts(new_plane: Callable[[str], ControlPlane], unique: str) -> None:
    """Down for a while and back with the same data: the controller takes up where it was, without being restarted."""
    own = new_plane("restarted")
    await asyncio.to_thread(own.start)
    group = f"{unique}.example.com"
    kubectl, outside = Kubectl(own.kubectl()), Outside()
    await asyncio.to_thread(install, kubectl, group)
    widgets = Widgets(kubectl, group, "default")
    await widgets.apply("kept", "deleted", size=1)
    async with controller(own.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await widgets.ready("kept", 1)
        await widgets.ready("deleted", 1)
        await asyncio.to_thread(own.stop)
        down = running.metric("rest_client_requests_total", code="<error>", method="PUT")
        await eventually(lambda: running.metric("rest_client_requests_total", code="<error>", method="PUT") > down)
        await asyncio.to_thread(own.start)
        await widgets.apply("kept", size=2)
        await widgets.delete("deleted", wait=False)
        await widgets.apply("new", size=5)
        await widgets.ready("kept", 2)
        await widgets.ready("new", 5)
        await eventually(lambda: sorted(outside.sizes.values()) == [2, 5])
        await running.finish()
    assert outside.overlaps == 0
    assert set(outside.made.values()) == {1}


async def test_an_object_that_the_server_no_longer_has_is_dropped(plane: ControlPlane, group: str, widgets: Widgets) -> None:
    """As after a gap in the watch: the first write to it, or the next list, finds that it is gone."""
    outside = Outside()
    await widgets.apply("real", size=1)
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        raw = await widgets.ready("real", 1)
        ghost = {**raw, "metadata": {**raw["metadata"], "name": "ghost", "uid": "ghost-uid"}}
        running.manager.intake.upsert(ghost)
        key = Key("Widget", widgets.namespace, "ghost")
        await eventually(lambda: key not in running.store.keys("Widget"))
        assert running.store.get(Widget, "real", widgets.namespace) is not None
        await eventually(lambda: (key, "ghost-uid") in outside.forgotten)
        await running.finish()


def test_deadlines_leave_room_for_the_handover() -> None:
    """A leader must count itself out before anybody else may take its lease."""
    times = LeaseTimes()
    assert times.deadline < times.duration
    assert 2 * times.period < times.deadline
