"""YAML in block style, letter for letter as PyYAML writes it.

A start of the controller writes two documents for each VM there is, to compare digests, and PyYAML would take a seventh of all its
time. So documents of words that need no quotes are put together here; PyYAML writes all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

_PLAIN = re.compile(
    r"[a-z][a-z0-9-]{1,62}"  # a name
    r"|[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?"  # an address, with its prefix length or without
    r"|(?=[0-9:]*[a-f])[0-9a-f]{2}(:[0-9a-f]{2}){5}"  # a MAC address; one of digits alone would read as a number to base 60
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # a UUID
)
_NOT_TEXT = frozenset({"yes", "no", "true", "false", "on", "off", "null"})


class _Quoted(Exception):
    """Something here may need quotes, or brackets."""


def text(document: Mapping[str, Any]) -> str:
    """A document of maps, lists, text, numbers and truth values, sorted by key; no map or list may be in it twice."""
    try:
        return "".join(_map(document, ""))
    except _Quoted:
        return str(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False))


def _map(found: Mapping[str, Any], indent: str) -> Iterator[str]:
    if not found:
        raise _Quoted
    for key, value in sorted(found.items()):
        if isinstance(value, dict):
            yield f"{indent}{_word(key)}:\n"
            yield from _map(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{_word(key)}:\n"
            yield from _list(value, indent)
        else:
            yield f"{indent}{_word(key)}: {_word(value)}\n"


def _list(found: Sequence[Any], indent: str) -> Iterator[str]:
    if not found:
        raise _Quoted
    for item in found:
        if isinstance(item, dict):
            yield f"{indent}- {''.join(_map(item, f'{indent}  ')).lstrip()}"
        else:
            yield f"{indent}- {_word(item)}\n"


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value not in _NOT_TEXT:
        return value
    raise _Quoted
