"""A pydantic model as the structural schema that a CustomResourceDefinition holds.

pydantic's own JSON Schema is the source. The API server takes a subset (apiextensions.k8s.io/v1 JSONSchemaProps, "structural"): no
references, no unions but int-or-string, no titles, no null. Optional fields become plain ones that may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from crds.base import Model, Resource

__all__ = ["SchemaError", "resource_schema", "structural"]

Schema = dict[str, Any]

_KEPT = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_DROPPED = {"title", "$defs"}
_HANDLED = {"$ref", "anyOf", "description", "default", "properties", "required", "items", "additionalProperties"}
_RULES = "x-kubernetes-validations"


class SchemaError(ValueError):
    """A model says something that a structural schema cannot."""


def structural(model: type[Model]) -> Schema:
    """The structural schema of `model`. Raises SchemaError with the place when there is none."""
    source = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(source, source.get("$defs", {}), model.__name__)


def resource_schema(kind: type[Resource]) -> Schema:
    """The schema of a whole object: spec from the model, status without rules or defaults but observedGeneration's -1.

    That default closes the gap between creation and the first write of status: until then kstatus sees "in progress".
    """
    source = kind.model_json_schema(by_alias=True, mode="validation")
    fields, defs = source["properties"], source["$defs"]
    status = _observed(_convert(fields["status"], defs, f"{kind.KIND}.status"))
    status["properties"]["observedGeneration"]["default"] = -1
    return {
        "description": _text(kind.__doc__),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "Version of the API, vireo.dev/v1alpha1.", "type": "string"},
            "kind": {"description": f"Kind of the object, {kind.KIND}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": _convert(fields["spec"], defs, f"{kind.KIND}.spec"),
            "status": {"default": _defaults(status)} | status,
        },
    }


def _convert(node: Schema, defs: Mapping[str, Schema], where: str) -> Schema:
    """`node` without references and unions, all the way down."""
    node = _resolve(node, defs, where)
    if unknown := set(node) - set(_KEPT) - _DROPPED - _HANDLED - {_RULES}:
        raise SchemaError(f"{where}: {', '.join(sorted(unknown))} is not part of a structural schema")
    out: Schema = {"description": _text(node["description"])} if "description" in node else {}
    if node.get("default") is not None:
        out["default"] = deepcopy(node["default"])
    out |= {key: deepcopy(node[key]) for key in _KEPT if key in node}
    if node.get("x-kubernetes-int-or-string"):
        out["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "items" in node:
        out["items"] = _convert(node["items"], defs, f"{where}[]")
    if "additionalProperties" in node:
        out["additionalProperties"] = _convert(node["additionalProperties"], defs, f"{where}.*")
    if "properties" in node:
        out |= _object(node, defs, where)
    if _RULES in node:
        out[_RULES] = deepcopy(node[_RULES])
    return out


def _object(node: Schema, defs: Mapping[str, Schema], where: str) -> Schema:
    """The properties of an object; a nested one that is always present is there with its defaults when left out.

    The API server checks rules on a default as it is written, so it is written out in full.
    """
    required = node.get("required", [])
    properties = {}
    for name, field in node["properties"].items():
        converted = _convert(field, defs, f"{where}.{name}")
        always = "anyOf" not in field and name not in required
        if always and (inner := _defaults(converted)):
            converted = {"default": inner} | converted
        properties[name] = converted
    return ({"required": list(required)} if required else {}) | {"properties": properties}


def _defaults(node: Schema) -> Schema:
    """The fields of an object that have defaults, with these."""
    return {name: deepcopy(field["default"]) for name, field in node.get("properties", {}).items() if "default" in field}


def _resolve(node: Schema, defs: Mapping[str, Schema], where: str) -> Schema:
    """`node` with its reference or its one real alternative merged in; what stands beside them wins, rules add up."""
    if "$ref" in node:
        target = defs[node["$ref"].rpartition("/")[2]]
    elif "anyOf" in node and not node.get("x-kubernetes-int-or-string"):
        target = _alternative(node["anyOf"], defs, where)
    else:
        return node
    target = _resolve(target, defs, where)
    beside = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    merged = target | beside
    if rules := target.get(_RULES, []) + beside.get(_RULES, []):
        merged[_RULES] = rules
    return merged


def _alternative(options: list[Schema], defs: Mapping[str, Schema], where: str) -> Schema:
    """The one alternative beside null; of an enum and text (`Known`) the enum, as this version writes nothing else."""
    real = [_resolve(option, defs, where) for option in options if option.get("type") != "null"]
    enums = [option for option in real if "enum" in option]
    if len(real) == 2 and len(enums) == 1 and all(option.get("type") == "string" for option in real):
        return enums[0]
    if len(real) != 1:
        raise SchemaError(f"{where}: a union has no structural schema")
    return real[0]


def _observed(node: Schema) -> Schema:
    """`node` as part of a status: no defaults, no rules, all the way down; only the controller writes there."""
    out = {key: value for key, value in node.items() if key not in ("default", _RULES)}
    if "properties" in out:
        out["properties"] = {name: _observed(field) for name, field in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = _observed(out[key])
    return out


def _text(docstring: str | None) -> str:
    """A docstring as one line."""
    return " ".join((docstring or "").split())
