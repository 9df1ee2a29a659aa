"""The converter: each construct of a model as the structural schema it must become, and what it must refuse."""

from enum import StrEnum
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, create_model

from crds.base import Model
from crds.cel import IMMUTABLE, Rule, immutable_optional
from crds.fields import CIDR, MAC, Duration, IPv4, ListType, Quantity, Size, Tags, Timestamp
from crds.lint import problems
from crds.schema import SchemaError, resource_schema, structural
from crds.status import Conditions, Known
from crds.v1alpha1 import KINDS, VirtualMachine


class Color(StrEnum):
    """Colors."""

    RED = "Red"
    BLUE = "Blue"


class Inner(Model):
    """An inner structure."""

    RULES = (Rule("self.size > 0", "must not be empty"),)

    size: Annotated[int, Field(ge=0, le=9)] = 1
    """How big."""
    label: Annotated[str, Field(max_length=5)] | None = None
    """What it says."""


def schema_of(annotation: Any, **field: Any) -> dict[str, Any]:
    """The schema of one field of that type."""
    model = create_model("Probe", __base__=Model, probe=(annotation, Field(description="A field.", **field)))
    return dict(structural(model)["properties"]["probe"])


TEXT = {"type": "string", "maxLength": 5}
WHOLE = {"type": "integer"}
INNER = {
    "type": "object",
    "properties": {
        "size": {"description": "How big.", "default": 1, "type": "integer", "minimum": 0, "maximum": 9},
        "label": {"description": "What it says.", **TEXT},
    },
    "x-kubernetes-validations": [{"rule": "self.size > 0", "message": "must not be empty"}],
}
Short = Annotated[str, Field(max_length=5)]
KnownColor = Known[Color]

CONSTRUCTS: list[tuple[Any, dict[str, Any]]] = [
    (bool, {"type": "boolean"}),
    (Short, TEXT),
    (Short | None, TEXT),
    (Annotated[str, Field(min_length=1, max_length=5, pattern="^a+$")], TEXT | {"minLength": 1, "pattern": "^a+$"}),
    (Annotated[int, Field(ge=1, le=4094)], {"type": "integer", "minimum": 1, "maximum": 4094}),
    (Annotated[int, Field(ge=1)] | None, {"type": "integer", "minimum": 1}),
    (Color, {"type": "string", "enum": ["Red", "Blue"]}),
    (Color | None, {"type": "string", "enum": ["Red", "Blue"]}),
    (KnownColor, {"type": "string", "enum": ["Red", "Blue"]}),
    (KnownColor | None, {"type": "string", "enum": ["Red", "Blue"]}),
    (Inner, INNER),
    (Inner | None, INNER),
    (
        Annotated[dict[str, int], Field(max_length=3)],
        {"type": "object", "maxProperties": 3, "additionalProperties": WHOLE},
    ),
    (
        Annotated[list[Short], Field(min_length=1, max_length=3), ListType("atomic")],
        {"type": "array", "minItems": 1, "maxItems": 3, "x-kubernetes-list-type": "atomic", "items": TEXT},
    ),
    (
        Annotated[list[Inner], Field(max_length=3), ListType("map", ("size",))],
        {
            "type": "array",
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["size"],
            "items": {"description": "An inner structure."} | INNER,
        },
    ),
    (
        Annotated[Short, IMMUTABLE],
        TEXT | {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
    ),
    (
        Annotated[Short, IMMUTABLE] | None,
        TEXT | {"x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "is immutable"}]},
    ),
]


@pytest.mark.parametrize(("annotation", "expected"), CONSTRUCTS, ids=lambda value: str(value)[:60])
def test_a_construct(annotation: Any, expected: dict[str, Any]) -> None:
    assert schema_of(annotation) == {"description": "A field."} | expected


def test_rules_of_a_structure_and_of_its_use_add_up() -> None:
    used = schema_of(Annotated[Inner, IMMUTABLE])
    assert [rule["message"] for rule in used["x-kubernetes-validations"]] == ["must not be empty", "is immutable"]


def test_the_description_of_the_field_wins_over_the_type_s() -> None:
    assert schema_of(Inner)["description"] == "A field."
    assert schema_of(Color)["description"] == "A field."


@pytest.mark.parametrize(
    ("annotation", "kept"),
    [
        (Quantity, {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "maxLength": 32}),
        (Duration, {"type": "string", "maxLength": 32, "pattern": Duration.PATTERN}),
        (Timestamp, {"type": "string", "maxLength": 32, "pattern": Timestamp.PATTERN}),
        (MAC, {"type": "string", "minLength": 17, "maxLength": 17}),
        (IPv4, {"type": "string", "maxLength": 15}),
        (CIDR, {"type": "string", "maxLength": 18}),
        (Tags, {"type": "array", "maxItems": 32, "x-kubernetes-list-type": "set"}),
        (Conditions, {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ],
)
def test_field_types(annotation: Any, kept: dict[str, Any]) -> None:
    schema = schema_of(annotation)
    assert schema | kept == schema
    assert schema_of(annotation | None) == schema


def test_addresses_are_explained_by_a_rule_instead_of_a_pattern() -> None:
    for annotation in (IPv4, CIDR):
        schema = schema_of(annotation)
        assert "pattern" not in schema
        assert len(schema["x-kubernetes-validations"]) == 1


def test_an_address_in_a_status_has_its_pattern() -> None:
    """No rules run there."""
    ip = resource_schema(VirtualMachine)["properties"]["status"]["properties"]["ipAddress"]
    assert "pattern" in ip
    assert "x-kubernetes-validations" not in ip


def test_a_size_has_its_rule_also_when_optional() -> None:
    assert "1Ei" in schema_of(Size | None)["x-kubernetes-validations"][0]["rule"]


class Outer(Model):
    """An outer structure."""

    present: Inner = Field(default_factory=Inner)
    """Always there."""
    absent: Inner | None = None
    """There or not."""
    needed: Inner
    """Must be given."""
    many: Annotated[list[Short], Field(max_length=2), ListType("set")] = Field(default_factory=list)
    """Some."""


def test_a_structure_that_is_always_there_is_defaulted_in_full() -> None:
    """The server checks rules on the default as written, before it fills in what is below."""
    properties = structural(Outer)["properties"]
    assert properties["present"]["default"] == {"size": 1}
    assert [name for name, field in properties.items() if "default" in field] == ["present"]
    assert structural(Outer)["required"] == ["needed"]


def test_falsy_defaults_are_kept_and_null_is_not() -> None:
    assert schema_of(bool, default=False)["default"] is False
    assert schema_of(Annotated[int, Field(ge=0)], default=0)["default"] == 0
    assert "default" not in schema_of(Short | None, default=None)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Inner | Color, "a union has no structural schema"),
        (Short | int, "a union has no structural schema"),
        (Color | Inner | None, "a union has no structural schema"),
        (Annotated[int, Field(multiple_of=2)], "multipleOf is not part of a structural schema"),
        (Annotated[int, Field(gt=2)], "exclusiveMinimum is not part of a structural schema"),
        (tuple[int, int], "prefixItems is not part of a structural schema"),
    ],
)
def test_what_has_no_structural_schema_is_refused_with_its_place(annotation: Any, reason: str) -> None:
    with pytest.raises(SchemaError, match=rf"Probe\.probe: .*{reason}"):
        schema_of(annotation)


def test_an_optional_immutable_field_is_guarded_by_the_structure_around() -> None:
    rule = immutable_optional("firmware").to_json()
    assert rule["fieldPath"] == ".firmware"
    assert "has(self.firmware) == has(oldSelf.firmware)" in rule["rule"]


FORBIDDEN = {
    "$ref",
    "$defs",
    "title",
    "oneOf",
    "allOf",
    "nullable",
    "const",
    "exclusiveMinimum",
    "x-kubernetes-preserve-unknown-fields",
}


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema and all below it."""
    below = [*schema.get("properties", {}).values(), *(schema[key] for key in ("items", "additionalProperties") if key in schema)]
    return [schema, *(node for inner in below for node in nodes(inner))]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_every_kind_is_structural(kind: Any) -> None:
    for node in nodes(resource_schema(kind)):
        assert not FORBIDDEN & set(node)
        assert "anyOf" not in node or node["x-kubernetes-int-or-string"]
        assert {"properties", "additionalProperties"} - set(node), "an object has fields or is a map"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_status_has_one_default_and_no_rules(kind: Any) -> None:
    status = resource_schema(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    below = [node for field in status["properties"].values() for node in nodes(field)]
    assert [node["default"] for node in below if "default" in node] == [-1]
    assert not [node for node in below if "x-kubernetes-validations" in node]


def listed(kind: Any) -> Any:
    """The type of a list of `kind`."""
    return Annotated[list[kind], Field(max_length=4), ListType("atomic")]


names = st.sampled_from(["alpha", "beta_gamma", "delta", "instance_id", "a_b_c"])
scalars = st.sampled_from([bool, Short, Annotated[int, Field(ge=0)], Color, Quantity, Timestamp, IPv4, KnownColor, Inner])
shapes: st.SearchStrategy[Any] = scalars | scalars.map(listed)
types = shapes | shapes.map(lambda shape: shape | None)


@settings(deadline=None)
@given(st.dictionaries(names, types, min_size=1, max_size=5))
def test_any_model_of_our_types_converts_to_a_clean_schema(fields: dict[str, Any]) -> None:
    described = {name: (annotation, Field(description="A field.")) for name, annotation in fields.items()}
    schema = structural(create_model("Random", __base__=Model, **described))  # type: ignore[call-overload]
    assert len(schema["properties"]) == len(fields)
    assert all(not FORBIDDEN & set(node) for node in nodes(schema))
    assert problems(schema, "Random") == []


@settings(deadline=None)
@given(st.dictionaries(names, types, min_size=1, max_size=5))
def test_conversion_leaves_its_source_alone(fields: dict[str, Any]) -> None:
    """Two conversions give equal schemas that share nothing: changing one does not change the other."""
    described = {name: (annotation, Field(description="A field.")) for name, annotation in fields.items()}
    model = create_model("Random", __base__=Model, **described)  # type: ignore[call-overload]
    first, second = structural(model), structural(model)
    assert first == second
    for node in nodes(first):
        node.clear()
    assert second == structural(model)
