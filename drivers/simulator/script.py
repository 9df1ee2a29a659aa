"""Fault files: rules that hold from the start, and acts at their time.

faults:
  - {kind: error, method: compute.create, object: "h1*", count: 2, probability: 0.5, error: Busy, after: 10, until: 60}
actions:
  - {at: 30, act: crash-host, target: host-00003}
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from drivers.errors import InvalidSpec

from .engine.actions import Action
from .engine.faults import Fault
from .service import Service

__all__ = ["action", "fault", "load_script", "run_script"]


@with_config(ConfigDict(extra="forbid"))
class Script(TypedDict, total=False):
    """A fault file as it is read."""

    faults: list[dict[str, Any]]
    actions: list[dict[str, Any]]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def fault(values: Mapping[str, Any]) -> Fault:
    """A fault from its fields as text. Raises InvalidSpec."""
    made: Fault = _read(Fault, values)
    return made


def action(values: Mapping[str, Any]) -> Action:
    """An action from its fields as text. Raises InvalidSpec."""
    made: Action = _read(Action, values)
    return made


def _read(kind: Any, values: Any) -> Any:
    unknown = set(values) - set(getattr(kind, "__dataclass_fields__", values))
    if unknown:
        raise InvalidSpec(f"{kind.__name__.lower()}: unknown field {sorted(unknown)[0]!r}")
    try:
        return _adapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidSpec(f"{kind.__name__.lower()}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def load_script(path: Path) -> Script:
    """Read a fault file. Raises InvalidSpec, OSError."""
    try:
        document = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise InvalidSpec(f"{path.name} is not YAML") from error
    if not isinstance(document, dict):
        raise InvalidSpec(f"{path.name} is no fault file: it needs `faults` or `actions`")
    script: Script = _read(Script, document)
    return script


def run_script(service: Service, script: Script) -> None:
    """Put the faults in force and the acts on the clock. Raises InvalidSpec before anything of it holds."""
    faults = [fault(entry) for entry in script.get("faults", [])]
    actions = [_timed(entry) for entry in script.get("actions", [])]
    for one in faults:
        service.faults.add(one, service.clock.now())
    for at, act in actions:
        service.schedule(at, act)


def _timed(entry: Mapping[str, Any]) -> tuple[float, Action]:
    """An act and after how many seconds it comes."""
    what = {name: value for name, value in entry.items() if name != "at"}
    try:
        return float(entry.get("at", 0.0)), action(what)
    except (TypeError, ValueError) as error:
        raise InvalidSpec(f"action: at: {entry['at']!r} is not a number of seconds") from error
