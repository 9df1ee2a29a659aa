"""What the Store says changed, and what it gives out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from controller.runtime import store as module
from controller.runtime.keys import Key
from controller.runtime.store import Part, Store, Unparsable

from .models import Parent, Widget

KEY = Key("Widget", "ns", "a")


def raw(version: int = 1, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "kind": "Widget",
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "uid": "u1",
            "generation": 1,
            "labels": {"x": "1"},
            "managedFields": [{"manager": f"m{version}"}],
        },
        "spec": {"size": 1},
        "status": {"size": 1},
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = made
        for parent in parents:
            target = target[parent]
        target[last] = value
    made["metadata"]["resourceVersion"] = str(version)
    return made


def store() -> Store:
    made = Store()
    made.register(Widget, {"parent": lambda widget: [widget.spec.parent]})
    made.register(Parent)
    return made


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, Part.NONE),
        ({"metadata__managedFields": []}, Part.NONE),
        ({"metadata__generation": 2}, Part.SPEC),
        ({"spec": {"size": 2}}, Part.SPEC),
        ({"status": {"size": 2}}, Part.STATUS),
        ({"metadata__labels": {}}, Part.LABELS),
        ({"metadata__annotations": {"a": "b"}}, Part.ANNOTATIONS),
        ({"metadata__finalizers": ["f"]}, Part.FINALIZERS),
        ({"metadata__ownerReferences": [{"uid": "o"}]}, Part.FINALIZERS),
        ({"metadata__deletionTimestamp": "2026-11-20T10:00:00Z", "metadata__generation": 2}, Part.DELETION | Part.SPEC),
        ({"metadata__labels": {}, "status": {}}, Part.LABELS | Part.STATUS),
        ({"metadata__uid": "u2"}, Part.CREATED | Part.DELETED),
    ],
)
def test_what_changed(change: dict[str, Any], parts: Part) -> None:
    made = store()
    first = made.upsert(raw(1))
    assert first is not None
    assert first.parts is Part.CREATED
    second = made.upsert(raw(2, **change))
    assert second is not None
    assert second.parts == parts
    assert second.gone == ("u1" if Part.DELETED in parts else None)


def test_a_change_shows_the_object_before_and_after() -> None:
    made = store()
    created = made.upsert(raw(1))
    changed = made.upsert(raw(2, spec={"size": 2}))
    assert created is not None
    assert changed is not None
    assert created.before() is None
    assert changed.before().spec.size == 1
    assert changed.after().spec.size == 2
    deleted = made.delete(KEY)
    assert deleted is not None
    assert deleted.before().spec.size == 2
    assert deleted.after() is None
    assert deleted.gone == "u1"
    # still what it was, though the object is gone by now
    assert changed.after().spec.size == 2


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_newer_is_dropped(version: int) -> None:
    made = store()
    made.upsert(raw(2))
    assert made.upsert(raw(version, spec={"size": 9})) is None
    assert made.get(Widget, "a", "ns").spec.size == 1


def test_a_late_event_does_not_bring_a_deleted_object_back() -> None:
    made = store()
    made.upsert(raw(3))
    assert made.delete(KEY, "5") is not None
    assert made.upsert(raw(4)) is None
    assert made.get(Widget, "a", "ns") is None
    assert made.upsert(raw(6, metadata__uid="u2")) is not None


def test_a_late_deletion_does_not_take_a_newer_object() -> None:
    made = store()
    made.upsert(raw(7, metadata__uid="u2"))
    assert made.delete(KEY, "5") is None
    assert made.get(Widget, "a", "ns") is not None


def test_tombstones_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOMBSTONES", 10)
    made = store()
    for number in range(50):
        made.delete(Key("Widget", "ns", str(number)), "5")
    assert len(made._tombstones) == 10


def test_prune_spares_what_is_newer_than_the_list() -> None:
    made = store()
    for version, name in enumerate(["a", "b", "c"], start=1):
        made.upsert(raw(version * 10, metadata__name=name, metadata__uid=name))
    gone = made.prune("Widget", {Key("Widget", "ns", "a")}, "25")
    assert [(change.key.name, change.gone) for change in gone] == [("b", "b")]
    assert [widget.metadata.name for widget in made.list(Widget)] == ["a", "c"]


def test_prune_leaves_other_kinds_alone() -> None:
    made = store()
    made.upsert({**raw(1), "kind": "Parent"})
    assert made.prune("Widget", set(), "99") == []
    assert made.size("Parent") == 1


def test_list_is_by_name_and_by_namespace() -> None:
    made = store()
    for version, (namespace, name) in enumerate([("y", "b"), ("x", "c"), ("x", "a")], start=1):
        made.upsert(raw(version, metadata__namespace=namespace, metadata__name=name))
    assert [str(Key.of(widget)) for widget in made.list(Widget)] == ["Widget/x/a", "Widget/x/c", "Widget/y/b"]
    assert [widget.metadata.name for widget in made.list(Widget, "x")] == ["a", "c"]
    assert list(made.list(Widget, "z")) == []


def test_a_cluster_scoped_object_has_no_namespace() -> None:
    made = store()
    without = raw(1)
    del without["metadata"]["namespace"]
    made.upsert(without)
    assert made.get(Widget, "a") is not None
    assert made.uid(Key("Widget", "", "a")) == "u1"


def test_index_follows_the_object() -> None:
    made = store()
    made.upsert(raw(1, spec={"parent": "p"}))
    assert made.keys_by_index(Widget, "parent", "p") == [KEY]
    made.upsert(raw(2, spec={"parent": "q"}))
    assert made.keys_by_index(Widget, "parent", "p") == []
    assert made.by_index(Widget, "parent", "q")[0].metadata.name == "a"
    made.delete(KEY)
    assert made.keys_by_index(Widget, "parent", "q") == []


def test_an_object_that_does_not_fit_its_model() -> None:
    made = store()
    change = made.upsert(raw(1, spec={"size": "many"}))
    assert change is not None
    assert change.after() is None
    with pytest.raises(Unparsable, match="Widget/ns/a does not fit its model"):
        made.get(Widget, "a", "ns")
    with pytest.raises(Unparsable):
        made.checkout(KEY)
    assert list(made.list(Widget)) == []
    assert made.size("Widget") == 1
    made.upsert(raw(2))
    assert made.get(Widget, "a", "ns").spec.size == 1


def test_objects_are_shared_and_checkouts_are_private() -> None:
    made = store()
    made.upsert(raw(1))
    assert made.get(Widget, "a", "ns") is made.get(Widget, "a", "ns")
    taken = made.checkout(KEY)
    assert taken is not None
    mine, status = taken
    mine.status.size = 99
    status["size"] = 99
    assert made.get(Widget, "a", "ns").status.size == 1
    again = made.checkout(KEY)
    assert again is not None
    assert again[0].status.size == 1
    assert again[1] == {"size": 1}


def test_parsed_objects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PARSED_PER_KIND", 5)
    made = store()
    for number in range(20):
        made.upsert(raw(number + 1, metadata__name=f"n{number:02}"))
    assert len(made.list(Widget)) == 20
    assert len(made._kinds["Widget"].parsed) == 5


@pytest.mark.parametrize(
    "strip", [lambda made: made.pop("status"), lambda made: made.pop("spec"), lambda made: made.update(status=None)]
)
def test_missing_parts_are_empty(strip: Callable[[dict[str, Any]], object]) -> None:
    made, bare = store(), raw(1)
    strip(bare)
    made.upsert(copy.deepcopy(bare))
    assert made.get(Widget, "a", "ns").metadata.resource_version == "1"


def test_text_beyond_ascii_survives() -> None:
    made = store()
    made.upsert(raw(1, spec={"parent": "Zürich \ud83c\udf0d".encode("utf-16", "surrogatepass").decode("utf-16")}))
    assert made.get(Widget, "a", "ns").spec.parent == "Zürich 🌍"


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        store().upsert({**raw(1), "kind": "Gadget"})


_READY = {"type": "Ready", "status": "True", "reason": "Running"}
_STALLED = {"type": "Stalled", "status": "True", "reason": "Odd"}


@pytest.mark.parametrize(
    ("generation", "status", "settled"),
    [
        (1, {"observedGeneration": 1, "conditions": [_STALLED, _READY]}, True),
        (2, {"observedGeneration": 1, "conditions": [_READY]}, False),
        (1, {"observedGeneration": 1, "conditions": [_READY | {"status": "False"}]}, False),
        (1, {"observedGeneration": 1, "conditions": [_STALLED]}, False),
        (1, {"observedGeneration": 1}, False),
        (1, {}, False),
    ],
)
def test_what_is_declared_is_so_or_somebody_waits_for_it(generation: int, status: dict[str, Any], settled: bool) -> None:
    have = store()
    have.upsert(raw(metadata__generation=generation, status=status))
    assert have.settled(KEY) is settled


def test_what_does_not_exist_is_not_settled() -> None:
    assert not store().settled(KEY)


def test_what_was_found_out_holds_for_one_version_only() -> None:
    have, well = store(), {"observedGeneration": 1, "conditions": [_READY]}
    versions = [(1, well, True), (1, {}, False), (1, well, True), (2, well, False)]
    for version, (generation, status, settled) in enumerate(versions, start=1):
        have.upsert(raw(version, metadata__generation=generation, status=status))
        assert (have.settled(KEY), have.settled(KEY)) == (settled, settled)
    have.delete(KEY)
    assert not have.settled(KEY)


def test_the_version_before_is_not_parsed_again() -> None:
    have = store()
    have.upsert(raw(1))
    known = have.get(Widget, "a", "ns")
    change = have.upsert(raw(2, spec={"size": 2}))
    assert change is not None
    assert change.before() is known
    assert change.after() is have.get(Widget, "a", "ns")


def test_what_is_found_is_parsed_when_its_turn_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of parsed objects in one list would stay in the process's memory for good."""
    monkeypatch.setattr(module, "_PARSED_PER_KIND", 3)
    made = store()
    for number in range(1, 6):
        made.upsert(raw(number, metadata__name=str(number), metadata__uid=str(number), spec={"parent": "p"}))
    parsed: list[str] = []
    plainly = Widget.model_validate_json
    monkeypatch.setattr(Widget, "model_validate_json", lambda text: parsed.append(text) or plainly(text))
    found = made.by_index(Widget, "parent", "p")
    assert not parsed
    first = next(iter(found))
    assert first.metadata.name == "1"
    assert len(parsed) == 1
    assert [widget.metadata.name for widget in found] == ["1", "2", "3", "4", "5"]
    assert len(made._kinds["Widget"].parsed) <= 3


def test_what_vanishes_or_changes_while_it_is_gone_through() -> None:
    made = store()
    for version, name in enumerate(["a", "b", "c"], start=1):
        made.upsert(raw(version, metadata__name=name, metadata__uid=name))
    going = iter(made.list(Widget))
    assert next(going).metadata.name == "a"
    made.delete(Key("Widget", "ns", "b"))
    made.upsert(raw(9, metadata__name="c", metadata__uid="c", spec={"size": 7}))
    assert [(widget.metadata.name, widget.spec.size) for widget in going] == [("c", 7)]


def test_what_is_found_is_a_sequence() -> None:
    made = store()
    for version, name in enumerate(["a", "b", "c"], start=1):
        made.upsert(raw(version, metadata__name=name, metadata__uid=name))
    made.upsert(raw(4, metadata__name="d", metadata__uid="d", spec={"size": "many"}))
    found = made.list(Widget)
    assert len(found) == 3, "what does not fit its model is left out"
    assert found[-1].metadata.name == "c"
    assert [widget.metadata.name for widget in found[:2]] == ["a", "b"]


def test_an_object_is_indexed_once_under_each_of_its_values() -> None:
    made = Store()
    made.register(Widget, {"twice": lambda widget: [widget.spec.parent] * 2, "never": lambda _: ()})
    made.upsert(raw(1, spec={"parent": "p"}))
    assert made.keys_by_index(Widget, "twice", "p") == [KEY]
    made.upsert(raw(2, spec={"parent": "q"}))
    assert made.keys_by_index(Widget, "twice", "p") == []
    assert made.keys_by_index(Widget, "twice", "q") == [KEY]
    made.delete(KEY)
    assert made._kinds["Widget"].by_value == {"twice": {}, "never": {}}
    assert made._kinds["Widget"].values == {}
