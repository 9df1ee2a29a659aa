"""Rules that every schema of ours keeps, beyond what the API server asks.

Bounds keep objects small and CEL within the API server's cost budget; descriptions make `kubectl explain` a manual; explicit list
types make server-side apply predictable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["problems"]

Schema = dict[str, Any]
Check = Callable[[Schema], str | None]


def problems(schema: Schema, where: str) -> list[str]:
    """Everything that is wrong below `schema`, each with its place; empty when all is well."""
    return list(_walk(schema, where))


def _walk(node: Schema, where: str) -> Iterator[str]:
    """Problems of `node`, then of what is in it."""
    yield from (f"{where}: {problem}" for check in _CHECKS if (problem := check(node)))
    for name, field in node.get("properties", {}).items():
        place = f"{where}.{name}"
        if not field.get("description"):
            yield f"{place}: has no description"
        yield from _walk(field, place)
    if "items" in node:
        yield from _walk(node["items"], f"{where}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _walk(node["additionalProperties"], f"{where}.*")


def _has_type(node: Schema) -> str | None:
    """Every node has one type, or is an int-or-string."""
    if "type" in node or node.get("x-kubernetes-int-or-string"):
        return None
    return "has no type"


def _string_bound(node: Schema) -> str | None:
    """Strings have maxLength or are enums."""
    is_text = node.get("type") == "string" or node.get("x-kubernetes-int-or-string")
    return "is a string without maxLength" if is_text and not {"maxLength", "enum"} & set(node) else None


def _list_bound(node: Schema) -> str | None:
    """Lists have maxItems, items and a list type."""
    if node.get("type") != "array":
        return None
    missing = [key for key in ("maxItems", "items", "x-kubernetes-list-type") if key not in node]
    return f"is a list without {', '.join(missing)}" if missing else None


def _list_keys(node: Schema) -> str | None:
    """The keys of a list-map are required fields of its items."""
    required = node.get("items", {}).get("required", [])
    missing = [key for key in node.get("x-kubernetes-list-map-keys", []) if key not in required]
    return f"list key {', '.join(missing)} is not required in its items" if missing else None


def _map_bound(node: Schema) -> str | None:
    """Maps have maxProperties; objects have fields."""
    if node.get("type") != "object" or "properties" in node:
        return None
    if "additionalProperties" not in node:
        return "is an object without fields"
    return "is a map without maxProperties" if "maxProperties" not in node else None


def _rule_messages(node: Schema) -> str | None:
    """CEL rules say in words what is wrong."""
    silent = [rule["rule"] for rule in node.get("x-kubernetes-validations", []) if not rule.get("message")]
    return f"rule without a message: {silent[0]}" if silent else None


_CHECKS: tuple[Check, ...] = (_has_type, _string_bound, _list_bound, _list_keys, _map_bound, _rule_messages)
