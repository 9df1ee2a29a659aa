"""Types of single fields: names, addresses, sizes, durations, times. Each carries its own bounds and pattern.

Sizes, durations and times stay the strings that the user wrote (so nothing is rewritten) and convert on demand.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from crds.cel import Rule, attach

__all__ = [
    "CIDR",
    "LABEL",
    "MAC",
    "SUBDOMAIN",
    "TAG",
    "VLAN",
    "Count",
    "Duration",
    "IPv4",
    "Label",
    "ListType",
    "Name",
    "NamespaceName",
    "ObservedIPv4",
    "Percent",
    "Quantity",
    "Size",
    "Tag",
    "Tags",
    "Text",
    "Timestamp",
    "TimestampText",
]

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
TAG = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=SUBDOMAIN)]
"""Name of an object: DNS subdomain, RFC 1123, as metadata.name."""

Label = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL)]
"""DNS label, RFC 1123: list keys, host names."""

NamespaceName = Label
"""Name of a namespace: a DNS label."""

Tag = Annotated[str, Field(min_length=1, max_length=63, pattern=TAG)]
"""Host or storage tag: written like a label value."""

Text = Annotated[str, Field(max_length=1024)]
"""Short text for people, one or two sentences."""

MAC = Annotated[str, Field(min_length=17, max_length=17, pattern=r"^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$")]
"""Unicast MAC address, lower case with colons."""

Count = Annotated[int, Field(ge=0)]
"""How many; never negative."""

Percent = Annotated[int, Field(ge=0, le=100)]
"""Whole percent."""

VLAN = Annotated[int, Field(ge=1, le=4094)]
"""VLAN id, IEEE 802.1Q."""

_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """The schema shown to the API server, where a CEL rule explains a refusal better than the pattern used here."""

    max_length: int
    rule: Rule

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A bounded string with the rule."""
        return attach({"type": "string", "maxLength": self.max_length}, (self.rule,))


ObservedIPv4 = Annotated[str, Field(max_length=15, pattern=f"^{_IPV4}$")]
"""IPv4 address in a status, where no rules run."""

IPv4 = Annotated[
    ObservedIPv4,
    _Shown(15, Rule("isIP(self) && ip(self).family() == 4", "must be an IPv4 address such as 10.1.0.20")),
]
"""IPv4 address in dotted decimal."""

CIDR = Annotated[
    str,
    Field(max_length=18, pattern=rf"^{_IPV4}/([12]?[0-9]|3[0-2])$"),
    _Shown(
        18,
        Rule(
            "isCIDR(self) && cidr(self).ip().family() == 4 && cidr(self) == cidr(self).masked()",
            "must be an IPv4 network without host bits such as 10.1.0.0/24",
        ),
    ),
]
"""IPv4 network in CIDR notation, host bits zero."""


@dataclass(frozen=True, slots=True)
class ListType:
    """How server-side apply merges a list: `map` by `keys`, `set` by value, or `atomic` as a whole."""

    kind: Literal["map", "set", "atomic"]
    keys: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add x-kubernetes-list-type and its keys."""
        keys = {"x-kubernetes-list-map-keys": list(self.keys)} if self.keys else {}
        return handler(core_schema) | {"x-kubernetes-list-type": self.kind} | keys


Tags = Annotated[list[Tag], Field(max_length=32), ListType("set")]
"""Host or storage tags, each once."""


_FACTOR = {s: 1024**i for i, s in enumerate(("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"))} | {
    s: 1000**i for i, s in enumerate(("", "k", "M", "G", "T", "P", "E"))
}


class Quantity(str):
    """A size as a Kubernetes quantity, in bytes: `2Gi`, `500M`, `1.5Gi`, `1e9`, `1073741824`.

    Not signed and not below one unit (no `m`, `u`, `n`). Compare `.bytes`, not the text: `1Gi` and `1024Mi` are one size.
    """

    __slots__ = ()

    PATTERN = r"^[0-9]{1,19}(\.[0-9]{1,9})?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|[eE][0-9]{1,2})?$"

    @classmethod
    def of(cls, size: int) -> Self:
        """`size` bytes in the largest binary unit that keeps it whole: 2147483648 → `2Gi`. Raises ValueError when negative."""
        if size < 0:
            raise ValueError(f"a size is not negative: {size}")
        suffix = next(
            s
            for s, f in reversed(_FACTOR.items())
            if s in ("", "Ei", "Pi", "Ti", "Gi", "Mi", "Ki") and size % f == 0 and size >= f * bool(s)
        )
        return cls(f"{size // _FACTOR[suffix]}{suffix}")

    @property
    def bytes(self) -> int:
        """The size in bytes, a fraction rounded up, as Kubernetes does. Raises ValueError on text that is no quantity."""
        return _bytes(str(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A matching string, or a whole number of bytes, which YAML writes without quotes."""
        text = core_schema.str_schema(pattern=cls.PATTERN, max_length=32, strict=True)
        union = core_schema.union_schema([text, core_schema.int_schema(ge=0, strict=True)])
        return core_schema.no_info_after_validator_function(cls, union, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """An int-or-string, as Kubernetes' own quantities."""
        return {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": cls.PATTERN,
            "maxLength": 32,
            "minimum": 0,
        }


@lru_cache(maxsize=1024)
def _bytes(text: str) -> int:
    """See `Quantity.bytes`; thousands of objects share few sizes."""
    match = re.fullmatch(r"([0-9.]+)([A-Za-z]{0,2})([0-9]*)", text)
    if not match or not re.fullmatch(Quantity.PATTERN[1:-1], text):
        raise ValueError(f"not a quantity: {text[:64]!r}; write 2Gi, 500M or a number of bytes")
    number, suffix, exponent = match.groups()
    factor = 10 ** int(exponent) if exponent else _FACTOR[suffix]
    return int((Decimal(number) * factor).to_integral_value(ROUND_CEILING))


Size = Annotated[
    Quantity,
    Rule(
        "quantity(string(self)).isGreaterThan(quantity('0')) && quantity(string(self)).isLessThan(quantity('1Ei'))",
        "must be more than 0 and less than 1Ei",
    ),
]
"""A size that a user asks for: never zero."""


class Duration(str):
    """A duration as in Gateway API (GEP-2257): up to four of `1h`, `30m`, `90s`, `500ms`, added up."""

    __slots__ = ()

    PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
    _UNIT: ClassVar[dict[str, str]] = {"h": "hours", "m": "minutes", "s": "seconds", "ms": "milliseconds"}

    @property
    def timedelta(self) -> dt.timedelta:
        """The duration. Raises ValueError on text that is no duration."""
        if not re.fullmatch(self.PATTERN[1:-1], self):
            raise ValueError(f"not a duration: {str(self)[:64]!r}; write 90s, 5m or 1h30m")
        parts = re.findall(r"([0-9]+)(ms|h|m|s)", self)
        return sum((dt.timedelta(**{self._UNIT[unit]: int(number)}) for number, unit in parts), dt.timedelta())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A matching string."""
        text = core_schema.str_schema(pattern=cls.PATTERN, max_length=32, strict=True)
        return core_schema.no_info_after_validator_function(cls, text)


class Timestamp(str):
    """A point in time, RFC 3339 in UTC: `2026-11-20T10:00:00Z`."""

    __slots__ = ()

    PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z$"

    @classmethod
    def at(cls, when: dt.datetime) -> Self:
        """`when` to the second, as metav1.Time has it. Raises ValueError for a time without a zone."""
        if when.tzinfo is None:
            raise ValueError("a timestamp needs a time zone")
        return cls(when.astimezone(dt.UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z")

    @property
    def datetime(self) -> dt.datetime:
        """The time, in UTC. Raises ValueError on text that is no time."""
        return dt.datetime.fromisoformat(self).astimezone(dt.UTC)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A matching string. Not `format: date-time`: with that the API server lets any list through."""
        text = core_schema.str_schema(pattern=cls.PATTERN, max_length=32, strict=True)
        return core_schema.no_info_after_validator_function(cls, text)


TimestampText = Annotated[str, Field(max_length=32, pattern=Timestamp.PATTERN)]
"""A Timestamp as plain text, where nothing computes with it."""
