"""Who holds a VM or a Volume."""

from __future__ import annotations

from typing import Any

import pytest

from controller.runtime.keys import Key
from controller.shared import holds
from crds.v1alpha1 import VirtualMachine, Volume
from tests.unit.stores import store

WEB, DATA = Key("VirtualMachine", "shop", "web"), Key("Volume", "shop", "data")
OTHER = Key("VirtualMachine", "shop", "other")
WORKING, IDLE = "InProgress", "Succeeded"


def make(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any] | None = None, space: str = "shop") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": space}, "spec": spec, "status": status or {}}


def job(status: str, command: str = "Work") -> dict[str, Any]:
    return {"job": {"id": "j", "command": command, "status": status}}


def vm(spec: list[str] | None = None, status: list[str] | None = None) -> dict[str, Any]:
    base = {"zone": "z", "offering": "small", "template": {"name": "debian"}}
    named = [{"name": name, "volume": name} for name in spec or []]
    had = [{"name": name, "volume": name, "volumeID": "id", "size": "1Gi"} for name in status or []]
    return make("VirtualMachine", "web", base | {"volumes": named}, {"volumes": had})


def volume(attached: bool = False) -> dict[str, Any]:
    return make(
        "Volume",
        "data",
        {"zone": "z", "size": "1Gi"},
        {"attachedTo": {"virtualMachine": "web", "name": "data"}} if attached else {},
    )


def of_vm(state: str, name: str = "s", space: str = "shop") -> dict[str, Any]:
    return make("Snapshot", name, {"virtualMachine": "web"}, job(state), space)


def of_volume(state: str, name: str = "v") -> dict[str, Any]:
    return make("Snapshot", name, {"volume": "data"}, job(state))


def restore(state: str, snapshot: str) -> dict[str, Any]:
    return make("SnapshotRestore", "back", {"snapshot": snapshot}, job(state))


BY_SNAPSHOT, BY_VOLUME_SNAPSHOT = Key("Snapshot", "shop", "s"), Key("Snapshot", "shop", "v")
BY_RESTORE = Key("SnapshotRestore", "shop", "back")

OF_VM = [
    ([vm()], None),
    ([vm(), of_vm(IDLE)], None),
    ([vm(), of_vm(WORKING)], BY_SNAPSHOT),
    ([vm(), of_vm(WORKING, space="other")], None),
    ([vm(), of_vm(IDLE), restore(WORKING, "s")], BY_RESTORE),
    ([vm(), of_vm(IDLE), restore(IDLE, "s")], None),
    ([vm(), restore(WORKING, "s")], None),
    ([vm(), of_volume(WORKING)], None),
    ([vm(spec=["data"]), of_volume(WORKING)], BY_VOLUME_SNAPSHOT),
    ([vm(status=["data"]), of_volume(WORKING)], BY_VOLUME_SNAPSHOT),
    ([vm(spec=["data"]), of_volume(IDLE), restore(WORKING, "v")], BY_RESTORE),
    ([vm(spec=["other"]), of_volume(WORKING)], None),
]


@pytest.mark.parametrize(("objects", "by"), OF_VM)
def test_who_works_on_a_vm(objects: list[dict[str, Any]], by: Key | None) -> None:
    made = store(*objects)
    found = made.get(VirtualMachine, "web", "shop")
    assert found is not None
    hold = holds.on_vm(made, found)
    assert (hold.by if hold else None) == by
    assert by is None or holds.on_vm(made, found, besides=by) is None
    if hold:
        assert hold.restoring == (by == BY_RESTORE)
        assert str(hold) == f"{hold.by.kind} {hold.by.name} works on it: Work"


OF_VOLUME = [
    ([volume()], [], None),
    ([volume(), of_volume(WORKING)], [], BY_VOLUME_SNAPSHOT),
    ([volume(), of_volume(IDLE), restore(WORKING, "v")], [], BY_RESTORE),
    ([volume(), vm(), of_vm(WORKING)], [], None),
    ([volume(), vm(), of_vm(WORKING)], [WEB], BY_SNAPSHOT),
    ([volume(), vm(), of_vm(WORKING)], [OTHER, WEB], BY_SNAPSHOT),
    ([volume(), vm(), of_vm(WORKING)], [OTHER], None),
    ([volume(), vm(), of_vm(IDLE), restore(WORKING, "s")], [WEB], BY_RESTORE),
]


@pytest.mark.parametrize(("objects", "users", "by"), OF_VOLUME)
def test_who_works_on_a_volume(objects: list[dict[str, Any]], users: list[Key], by: Key | None) -> None:
    made = store(*objects)
    found = made.get(Volume, "data", "shop")
    assert found is not None
    hold = holds.on_volume(made, found, users)
    assert (hold.by if hold else None) == by
    assert by is None or holds.on_volume(made, found, users, besides=by) is None


WOKEN = [
    (of_vm(WORKING), {WEB, DATA}),
    (of_volume(WORKING), {WEB, DATA}),
    (restore(WORKING, "kept"), {WEB, DATA}),
    (restore(WORKING, "kept-v"), {WEB, DATA}),
    (restore(WORKING, "missing"), set()),
]


@pytest.mark.parametrize(("raw", "keys"), WOKEN)
def test_who_is_woken_when_it_ends(raw: dict[str, Any], keys: set[Key]) -> None:
    made = store(vm(status=["data"]), volume(attached=True), of_vm(IDLE, "kept"), of_volume(IDLE, "kept-v"), raw)
    key = Key(raw["kind"], "shop", raw["metadata"]["name"])
    watches = [each for each in (*holds.VM_WATCHES, *holds.VOLUME_WATCHES) if key.kind == each.kind.KIND]
    obj = made.get(watches[0].kind, key.name, key.namespace)
    assert {woken for watch in watches for woken in watch.keys(obj, made)} == keys


def test_progress_wakes_nobody() -> None:
    made = store(of_vm(WORKING), of_vm(IDLE, "done"))
    [watch] = [each for each in holds.VM_WATCHES if each.kind.KIND == "Snapshot"]
    assert watch.of is not None
    working, idle = made.get(watch.kind, "s", "shop"), made.get(watch.kind, "done", "shop")
    later = working.model_copy(deep=True)
    later.status.job.progress = 40
    assert watch.of(working) == watch.of(later) != watch.of(idle)
