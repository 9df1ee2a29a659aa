"""Drivers are found by their hypervisor's name; one that can't be loaded says what is missing or wrong."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from drivers import loader
from drivers.errors import Unsupported


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Installs a driver `Odd` whose module has this source."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(source: str) -> None:
        module = f"odd_driver_{abs(hash(source))}"
        (tmp_path / f"{module}.py").write_text(source)
        point = EntryPoint("Odd", f"{module}:Driver", loader.GROUP)
        monkeypatch.setattr(loader, "entry_points", lambda **wanted: [point] if wanted.get("name", "Odd") == "Odd" else [])

    return installed


def test_one_that_loads_is_made(install: Any) -> None:
    install("class Driver:\n    mark = 1\n")
    assert loader.load("Odd").mark == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "told", "untold"),
    [
        ("import no_such_package_anywhere", "needs a package that is not installed: no_such_package_anywhere", "loaded"),
        ("import json.no_such_part", "needs a package that is not installed: json.no_such_part", "loaded"),
        ("from json import no_such_name", "can't be loaded: cannot import name 'no_such_name' from 'json'", "not installed"),
        (
            "raise ImportError('libodd.so.0: cannot open shared object file')",
            "can't be loaded: libodd.so.0: cannot open shared object file",
            "None",
        ),
    ],
)
def test_one_that_does_not_load_says_why(install: Any, source: str, told: str, untold: str) -> None:
    install(source)
    with pytest.raises(Unsupported) as refused:
        loader.load("Odd")
    assert str(refused.value).startswith("the Odd driver ")
    assert told in str(refused.value)
    assert untold not in str(refused.value)


def test_one_that_is_not_there_is_told_with_those_that_are(install: Any) -> None:
    install("class Driver: pass")
    with pytest.raises(Unsupported, match="no driver for hypervisor Other; installed: Odd"):
        loader.load("Other")
