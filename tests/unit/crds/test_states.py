"""No state is in the API that nothing ever sets, unless its field says why."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.v1alpha1 import host, network, snapshot, snapshotrestore, storagepool, template, virtualmachinestatus, volume

ROOT = Path(__file__).parents[3]
STATES: list[type[StrEnum]] = [
    host.HostState,
    network.NetworkState,
    storagepool.PoolState,
    template.TemplateState,
    virtualmachinestatus.VirtualMachineState,
    volume.VolumeState,
    snapshot.SnapshotState,
    snapshotrestore.RestoreState,
]


def used() -> set[tuple[str, str]]:
    """Attributes of names in the controller's source, as (name, attribute)."""
    nodes = (node for path in (ROOT / "controller").rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return {(node.value.id, node.attr) for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}


def fields(schema: Any) -> Iterator[dict[str, Any]]:
    """Every field of a schema that takes certain values only."""
    if isinstance(schema, dict):
        if isinstance(schema.get("enum"), list):
            yield schema
        for each in schema.values():
            yield from fields(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from fields(each)


def reserved(values: list[str]) -> list[str]:
    """Those that every field with just these values calls reserved."""
    definitions = (each for path in (ROOT / "crds" / "manifests").glob("*.yaml") for each in yaml.safe_load_all(path.read_text()))
    texts = [field["description"] for each in definitions for field in fields(each) if sorted(field["enum"]) == sorted(values)]
    assert texts, f"no field has {values}"
    told = [[sentence for sentence in " ".join(text.split()).split(". ") if "reserved" in sentence] for text in texts]
    return [value for value in values if all(any(re.search(rf"\b{value}\b", each) for each in sentences) for sentences in told)]


@pytest.mark.parametrize("states", STATES, ids=lambda each: each.__name__)
def test_each_state_is_set_or_said_to_be_reserved(states: type[StrEnum]) -> None:
    names = used()
    unset = [each.value for each in states if (states.__name__, each.name) not in names]
    assert reserved([each.value for each in states]) == unset
