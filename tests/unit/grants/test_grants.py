"""Label selectors and grants, by the rules of metav1.LabelSelector and Gateway API's allowedRoutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.store import Store
from controller.shared.grants import granted, selects
from controller.shared.namespace import Namespace
from crds.references import AllowedNamespaces, LabelSelector
from crds.v1alpha1.template import Template


def selector(**values: Any) -> LabelSelector:
    return LabelSelector.model_validate(values)


def expression(operator: str, *values: str, key: str = "tier") -> LabelSelector:
    return selector(
        matchExpressions=[
            {"key": key, "operator": operator, "values": list(values)} if values else {"key": key, "operator": operator}
        ]
    )


TABLE: list[tuple[LabelSelector, Mapping[str, str], bool]] = [
    (selector(), {}, True),
    (selector(), {"a": "b"}, True),
    (selector(matchLabels={"tier": "web"}), {"tier": "web", "x": "y"}, True),
    (selector(matchLabels={"tier": "web"}), {"tier": "db"}, False),
    (selector(matchLabels={"tier": "web"}), {}, False),
    (expression("In", "web", "db"), {"tier": "db"}, True),
    (expression("In", "web"), {"tier": "db"}, False),
    (expression("In", "web"), {}, False),
    (expression("NotIn", "web"), {"tier": "web"}, False),
    (expression("NotIn", "web"), {"tier": "db"}, True),
    (expression("NotIn", "web"), {}, True),
    (expression("Exists"), {"tier": ""}, True),
    (expression("Exists"), {}, False),
    (expression("DoesNotExist"), {}, True),
    (expression("DoesNotExist"), {"tier": "web"}, False),
    (selector(matchLabels={"a": "b"}, matchExpressions=[{"key": "tier", "operator": "Exists"}]), {"a": "b"}, False),
    (selector(matchLabels={"a": "b"}, matchExpressions=[{"key": "tier", "operator": "Exists"}]), {"a": "b", "tier": "x"}, True),
]


@pytest.mark.parametrize(("selector", "labels", "expected"), TABLE)
def test_selector(selector: LabelSelector, labels: Mapping[str, str], expected: bool) -> None:
    assert selects(selector, labels) is expected


@given(labels=st.dictionaries(st.sampled_from(["tier", "a"]), st.sampled_from(["web", "db"])), value=st.sampled_from(["web", "db"]))
def test_operators_are_each_others_opposite(labels: dict[str, str], value: str) -> None:
    assert selects(expression("In", value), labels) is not selects(expression("NotIn", value), labels)
    assert selects(expression("Exists"), labels) is not selects(expression("DoesNotExist"), labels)
    assert selects(expression("In", value), labels) is selects(selector(matchLabels={"tier": value}), labels)


@pytest.mark.parametrize(
    ("allowed", "namespace", "labels", "expected"),
    [
        ({"from": "Same"}, "images", None, True),
        ({"from": "Same"}, "shop", {}, False),
        ({"from": "All"}, "shop", None, True),
        ({"from": "Selector", "selector": {"matchLabels": {"t": "1"}}}, "shop", {"t": "1"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"t": "1"}}}, "shop", {}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"t": "1"}}}, "shop", None, False),
        ({"from": "Selector", "selector": {"matchLabels": {"t": "1"}}}, "images", None, True),
    ],
)
def test_grant(allowed: dict[str, Any], namespace: str, labels: dict[str, str] | None, expected: bool) -> None:
    """A namespace that is not known has no labels that could be selected."""
    store = Store()
    store.register(Namespace)
    if labels is not None:
        metadata = {"name": namespace, "namespace": "", "uid": "n", "resourceVersion": "1", "generation": 1, "labels": labels}
        store.upsert({"kind": "Namespace", "metadata": metadata})
    spec = {"source": {"url": "https://x.example/y"}}
    metadata = {"name": "debian", "namespace": "images", "uid": "u", "resourceVersion": "1", "generation": 1}
    template = Template.model_validate({"metadata": metadata, "spec": spec})
    assert granted(template, AllowedNamespaces.model_validate(allowed), namespace, store) is expected
