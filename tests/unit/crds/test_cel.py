"""Rules and how they get into schemas."""

import copy
from typing import Annotated, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from crds.base import Model
from crds.cel import IMMUTABLE, Rule, attach, immutable_optional
from crds.schema import structural

rules = st.builds(Rule, st.sampled_from(["a", "b", "c"]), st.sampled_from(["m", "n"]), st.sampled_from(["", ".x"]))


@settings(deadline=None)
@given(st.lists(rules), st.lists(rules))
def test_attaching_keeps_order_and_repeats_nothing(first: list[Rule], second: list[Rule]) -> None:
    schema = attach(attach({"type": "string"}, first), second)
    listed = schema.get("x-kubernetes-validations", [])
    assert listed == [rule.to_json() for rule in dict.fromkeys([*first, *second])]
    assert schema["type"] == "string"


@settings(deadline=None)
@given(st.lists(rules), st.lists(rules, min_size=1))
def test_attaching_makes_a_new_schema(first: list[Rule], second: list[Rule]) -> None:
    schema = attach({"type": "string"}, first)
    before = copy.deepcopy(schema)
    attach(schema, second)
    assert schema == before


def test_without_rules_nothing_is_added() -> None:
    assert attach({"type": "string"}, ()) == {"type": "string"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("self > 0", "must be positive"), {"rule": "self > 0", "message": "must be positive"}),
        (Rule("has(self.a)", "needed", ".a"), {"rule": "has(self.a)", "message": "needed", "fieldPath": ".a"}),
        (IMMUTABLE, {"rule": "self == oldSelf", "message": "is immutable"}),
    ],
)
def test_a_rule_as_kubernetes_writes_it(rule: Rule, expected: dict[str, str]) -> None:
    assert rule.to_json() == expected


Short = Annotated[str, Field(max_length=9)]


class Base(Model):
    """A structure with a rule."""

    RULES: ClassVar[tuple[Rule, ...]] = (Rule("self.name != ''", "needs a name"),)

    name: Annotated[Short, IMMUTABLE]
    """Name."""


class Derived(Base):
    """One with a rule of its own, which replaces the inherited ones unless it repeats them."""

    RULES = (*Base.RULES, immutable_optional("color"))

    color: Short | None = None
    """Color."""


def test_rules_of_a_derived_structure() -> None:
    schema = structural(Derived)
    assert [rule["message"] for rule in schema["x-kubernetes-validations"]] == ["needs a name", "color is immutable"]
    assert schema["properties"]["name"]["x-kubernetes-validations"] == [IMMUTABLE.to_json()]
    assert "x-kubernetes-validations" not in schema["properties"]["color"]


def test_a_rule_of_one_use_of_a_type_does_not_reach_another() -> None:
    class Two(Model):
        """Two uses of one structure."""

        fixed: Annotated[Base, IMMUTABLE]
        """Cannot change."""
        free: Base
        """Can."""

    properties = structural(Two)["properties"]
    assert [rule["message"] for rule in properties["fixed"]["x-kubernetes-validations"]] == ["needs a name", "is immutable"]
    assert [rule["message"] for rule in properties["free"]["x-kubernetes-validations"]] == ["needs a name"]
