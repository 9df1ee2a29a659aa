"""What every kind has in common: camelCase on the wire, metadata, and the definition that the CRD is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from crds.cel import Rule, attach

__all__ = ["API_VERSION", "GROUP", "VERSION", "Column", "Definition", "Model", "ObjectMeta", "Resource"]

GROUP = "vireo.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
_UPPER = {"id": "ID", "cidr": "CIDR", "iops": "IOPS"}


def camel(name: str) -> str:
    """`root_disk` → `rootDisk`, `instance_id` → `instanceID`: the API convention for field names."""
    first, *rest = name.split("_")
    return first + "".join(_UPPER.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """Base of every structure of the API.

    Reading ignores fields that this version does not know, so that a controller works beside a newer CRD; the schema that the
    API server enforces allows none. The docstring under a field is its description; `RULES` are CEL rules on the structure.
    """

    model_config = ConfigDict(alias_generator=camel, populate_by_name=True, extra="ignore", use_attribute_docstrings=True)

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add the structure's rules to its schema."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        return attach(schema, cls.RULES)

    def to_json(self) -> dict[str, Any]:
        """The structure as the API wants it: camelCase, without what is unset or empty; False, 0 and "" stay."""
        dumped = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        _prune(dumped)
        return dumped


def _prune(found: dict[str, Any]) -> None:
    """Take blank entries out of the map, all the way down: None, an empty list, and a map with nothing but blank entries.

    In place, since a status is dumped for every look at an object. List items are kept, empty or not.
    """
    blank = []
    for key, value in found.items():
        if type(value) is dict:
            _prune(value)
        elif type(value) is list:
            _prune_items(value)
        elif value is not None:
            continue
        if not value:
            blank.append(key)
    for key in blank:
        del found[key]


def _prune_items(items: list[Any]) -> None:
    for item in items:
        if type(item) is dict:
            _prune(item)
        elif type(item) is list:
            _prune_items(item)


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that Vireo reads. Times are RFC 3339 UTC."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    finalizers: list[str] = Field(default_factory=list)
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`; `wide` ones show with `-o wide` only. `path` is a JSONPath in the object."""

    name: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What a CRD says beside the schema. `selectable` are JSONPaths usable in `--field-selector` (at most 8)."""

    plural: str
    scope: Literal["Cluster", "Namespaced"]
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()


class Resource(Model):
    """Base of every kind. Subclasses declare `spec`, `status`, `KIND` and `DEFINITION`.

    `status` is always present, empty when the API has none, and is the draft that a reconciler changes.
    """

    KIND: ClassVar[str]
    DEFINITION: ClassVar[Definition]

    api_version: str = API_VERSION
    kind: str = ""
    metadata: ObjectMeta

    @property
    def deleting(self) -> bool:
        """True once deletion was requested; the object stays until its finalizers are gone."""
        return self.metadata.deletion_timestamp is not None

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read an object as the API server gives it. Raises pydantic.ValidationError."""
        return cls.model_validate(raw)
