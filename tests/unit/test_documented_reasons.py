"""Whoever reads a reason in a condition finds it in the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.images.errors import Reason as ImageReason
from controller.ipam import Reason as AddressReason
from controller.scheduler import Reason as PlacementReason
from drivers import errors

ROOT = Path(__file__).parents[2]
UNREADY = {"waiting", "failed"}


def unready() -> Iterator[str]:
    """Every literal reason that a reconcile may end with short of Ready."""
    for path in sorted((ROOT / "controller").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(reason)), *_]) if name in UNREADY:
                    yield reason


def known() -> set[str]:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "docs/concepts").glob("*.md")))
    return set(re.findall(r"\w+", text))


def of_drivers() -> list[str]:
    return [each.reason for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.DriverError)]


def test_the_reasons_are_found_in_the_source() -> None:
    assert {"ZoneNotFound", "TemplateSeeding", "InternalError"} <= set(unready())


@pytest.mark.parametrize("reason", sorted({*unready(), *of_drivers(), *ImageReason, *AddressReason, *PlacementReason}))
def test_every_reason_is_documented(reason: str) -> None:
    assert str(reason) in known()
