"""CEL rules of the schema (x-kubernetes-validations): what a pattern or a bound cannot say.

Rules run in the API server on every create and update, against a cost budget, so what they look at must be bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["IMMUTABLE", "Rule", "attach", "immutable_optional"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `rule` in CEL over `self` (and `oldSelf` for a transition), refused with `message`.

    Goes into `Annotated[...]` for a field, or into a Model's RULES for a structure; `field_path` then names the field to blame.
    """

    rule: str
    message: str
    field_path: str = ""

    def to_json(self) -> dict[str, str]:
        """The rule as apiextensions.k8s.io/v1 ValidationRule."""
        entry = {"rule": self.rule, "message": self.message}
        return entry | ({"fieldPath": self.field_path} if self.field_path else {})

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the rule to the schema of the annotated field."""
        return attach(dict(handler(core_schema)), (self,))


def attach(schema: JsonSchemaValue, rules: Iterable[Rule]) -> JsonSchemaValue:
    """`schema` with `rules` added behind those it has; one that is there already is not repeated."""
    listed = list(schema.get("x-kubernetes-validations", []))
    for rule in rules:
        if (entry := rule.to_json()) not in listed:
            listed.append(entry)
    return schema | ({"x-kubernetes-validations": listed} if listed else {})


IMMUTABLE = Rule("self == oldSelf", "is immutable")
"""For a field that is always present (required, or with a default): cannot change after creation."""


def immutable_optional(field: str) -> Rule:
    """Rule on the structure around an optional field: neither set, unset nor changed after creation."""
    return Rule(
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} is immutable",
        f".{field}",
    )
