"""Our own rules on schemas: each finds what it is for, in any depth, and says where."""

from typing import Any

import pytest

from crds.files import schema_problems
from crds.lint import problems
from crds.v1alpha1 import KINDS

GOOD_TEXT = {"type": "string", "maxLength": 5, "description": "Text."}
GOOD_ENUM = {"type": "string", "enum": ["a"], "description": "One."}
GOOD_LIST = {"type": "array", "maxItems": 2, "x-kubernetes-list-type": "atomic", "items": GOOD_TEXT, "description": "List."}
GOOD_MAP = {"type": "object", "maxProperties": 2, "additionalProperties": GOOD_TEXT, "description": "Map."}
GOOD_ITEM = {"type": "object", "required": ["name"], "properties": {"name": GOOD_TEXT}}
GOOD_KEYED = GOOD_LIST | {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": GOOD_ITEM}


def without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


BAD = [
    (without(GOOD_TEXT, "description"), "has no description"),
    (GOOD_TEXT | {"description": ""}, "has no description"),
    (without(GOOD_TEXT, "type"), "has no type"),
    (without(GOOD_TEXT, "maxLength"), "is a string without maxLength"),
    ({"x-kubernetes-int-or-string": True, "description": "Size."}, "is a string without maxLength"),
    (without(GOOD_LIST, "maxItems"), "is a list without maxItems"),
    (without(GOOD_LIST, "x-kubernetes-list-type", "items"), "is a list without items, x-kubernetes-list-type"),
    (GOOD_LIST | {"items": without(GOOD_TEXT, "maxLength")}, "is a string without maxLength"),
    (GOOD_KEYED | {"items": without(GOOD_ITEM, "required")}, "list key name is not required in its items"),
    (without(GOOD_MAP, "maxProperties"), "is a map without maxProperties"),
    (GOOD_MAP | {"additionalProperties": without(GOOD_TEXT, "maxLength")}, "is a string without maxLength"),
    ({"type": "object", "description": "Anything."}, "is an object without fields"),
    (GOOD_TEXT | {"x-kubernetes-validations": [{"rule": "true"}]}, "rule without a message: true"),
]


@pytest.mark.parametrize(("field", "problem"), BAD)
def test_a_problem_is_found_at_any_depth(field: dict[str, Any], problem: str) -> None:
    inner = {"type": "object", "properties": {"field": field}, "description": "Inner."}
    nested = {"type": "object", "properties": {"inner": inner, "fine": GOOD_KEYED}}
    found = problems(nested, "Kind.spec")
    assert [line.partition(": ")[2] for line in found] == [problem]
    assert found[0].startswith("Kind.spec.inner.field")


@pytest.mark.parametrize("field", [GOOD_TEXT, GOOD_LIST, GOOD_MAP, GOOD_KEYED, GOOD_ENUM])
def test_a_good_field_has_no_problem(field: dict[str, Any]) -> None:
    assert problems({"type": "object", "properties": {"field": field}}, "Kind.spec") == []


def test_all_problems_are_listed() -> None:
    bad = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "array", "description": "B."}}}
    assert problems(bad, "K") == [
        "K.a: has no description",
        "K.a: is a string without maxLength",
        "K.b: is a list without maxItems, items, x-kubernetes-list-type",
    ]


def test_our_kinds_have_no_problem() -> None:
    assert schema_problems(KINDS) == []
