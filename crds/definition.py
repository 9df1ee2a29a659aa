"""The CustomResourceDefinition of a kind, and its YAML."""

from __future__ import annotations

from typing import Any

import yaml

from crds.base import GROUP, VERSION, Column, Resource
from crds.schema import resource_schema

__all__ = ["custom_resource_definition", "to_yaml"]

_HEADER = "# Generated from crds/{version}/{module}.py by `python -m crds generate`; edit the model instead.\n"


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts in full: anchors are hard to read and to review."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never use an alias."""
        return True


def custom_resource_definition(kind: type[Resource]) -> dict[str, Any]:
    """The apiextensions.k8s.io/v1 CustomResourceDefinition of `kind`. Raises SchemaError if a field cannot be expressed."""
    definition = kind.DEFINITION
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": definition.scope,
            "names": {
                "kind": kind.KIND,
                "listKind": f"{kind.KIND}List",
                "plural": definition.plural,
                "singular": kind.KIND.lower(),
                "shortNames": list(definition.short_names),
                "categories": ["vireo"],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: type[Resource]) -> dict[str, Any]:
    """The one served and stored version."""
    selectable = [{"jsonPath": path} for path in kind.DEFINITION.selectable]
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.DEFINITION.columns],
        **({"selectableFields": selectable} if selectable else {}),
        "schema": {"openAPIV3Schema": resource_schema(kind)},
    }


def _column(column: Column) -> dict[str, Any]:
    """A printer column; priority 1 shows with `-o wide` only."""
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        **({"priority": 1} if column.wide else {}),
    }


def to_yaml(kind: type[Resource]) -> str:
    """The definition as YAML: the same text for the same model, always."""
    header = _HEADER.format(version=VERSION, module=kind.KIND.lower())
    body = yaml.dump(
        custom_resource_definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True, default_flow_style=False
    )
    return header + body
