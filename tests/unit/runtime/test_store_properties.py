"""The Store against the API server's truth, whatever order events, lists and replies come in."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from controller.runtime.keys import Key
from controller.runtime.store import Store

from .models import Widget

NAMES = ["a", "b", "c"]
PARENTS = ["", "p", "q"]


class StoreMachine(RuleBasedStateMachine):
    """Events are kept when they happen, and reach the Store late, repeated, out of order, or never; a list repairs all that."""

    messages = Bundle("messages")
    lists = Bundle("lists")

    @initialize()
    def start(self) -> None:
        self.version = 0
        self.objects: dict[str, dict[str, Any]] = {}
        self.newest: dict[str, int] = {}
        self.store = Store()
        self.store.register(Widget, {"parent": lambda widget: [widget.spec.parent] if widget.spec.parent else []})

    @rule(target=messages, name=st.sampled_from(NAMES), parent=st.sampled_from(PARENTS))
    def write(self, name: str, parent: str) -> tuple[str, dict[str, Any]]:
        self.version += 1
        old = self.objects.get(name)
        uid = old["metadata"]["uid"] if old else f"uid-{self.version}"
        metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(self.version), "generation": self.version}
        self.objects[name] = {"kind": "Widget", "metadata": metadata, "spec": {"parent": parent}}
        return "MODIFIED", copy.deepcopy(self.objects[name])

    @rule(target=messages, name=st.sampled_from(NAMES))
    def remove(self, name: str) -> tuple[str, dict[str, Any]]:
        self.version += 1
        raw = self.objects.pop(name, None) or {"kind": "Widget", "metadata": {"name": name, "namespace": "ns"}}
        raw["metadata"]["resourceVersion"] = str(self.version)
        return "DELETED", raw

    @rule(message=messages)
    def deliver(self, message: tuple[str, dict[str, Any]]) -> None:
        type, raw = message
        version = raw["metadata"]["resourceVersion"]
        name = raw["metadata"]["name"]
        if type == "DELETED":
            self.store.delete(Key("Widget", "ns", name), version)
        else:
            self.store.upsert(copy.deepcopy(raw))
        self.newest[name] = max(self.newest.get(name, 0), int(version))

    @rule(target=lists)
    def list(self) -> tuple[int, list[dict[str, Any]]]:
        return self.version, copy.deepcopy(list(self.objects.values()))

    @rule(found=lists)
    def apply_list(self, found: tuple[int, list[dict[str, Any]]]) -> None:
        version, raws = found
        for raw in raws:
            self.store.upsert(copy.deepcopy(raw))
        seen = {Key("Widget", "ns", raw["metadata"]["name"]) for raw in raws}
        self.store.prune("Widget", seen, str(version))
        for name in NAMES:
            self.newest[name] = max(self.newest.get(name, 0), version)

    @invariant()
    def never_older_than_what_was_seen(self) -> None:
        for widget in self.store.list(Widget) if hasattr(self, "store") else []:
            have = int(widget.metadata.resource_version)
            assert have <= self.version
            current = self.objects.get(widget.metadata.name)
            if current is not None and int(current["metadata"]["resourceVersion"]) <= self.newest.get(widget.metadata.name, 0):
                assert have == int(current["metadata"]["resourceVersion"])

    @invariant()
    def a_deletion_that_was_seen_is_not_undone(self) -> None:
        if not hasattr(self, "store"):
            return
        for name in NAMES:
            if name not in self.objects and self.newest.get(name, 0) == self.version:
                assert self.store.get(Widget, name, "ns") is None

    @invariant()
    def indexes_agree_with_objects(self) -> None:
        if not hasattr(self, "store"):
            return
        widgets = self.store.list(Widget)
        for parent in PARENTS[1:]:
            expected = [widget.metadata.name for widget in widgets if widget.spec.parent == parent]
            assert [widget.metadata.name for widget in self.store.by_index(Widget, "parent", parent)] == expected
            assert [key.name for key in self.store.keys_by_index(Widget, "parent", parent)] == expected
        assert not self.store.by_index(Widget, "parent", "")
        assert self.store.size("Widget") == len(widgets)

    def teardown(self) -> None:
        """After one fresh list the Store holds exactly what the server does."""
        if not hasattr(self, "store"):
            return
        self.apply_list((self.version, copy.deepcopy(list(self.objects.values()))))
        held = {widget.metadata.name: widget.metadata.uid for widget in self.store.list(Widget)}
        assert held == {name: raw["metadata"]["uid"] for name, raw in self.objects.items()}


StoreMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestStore = StoreMachine.TestCase
