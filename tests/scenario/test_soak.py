"""Two minutes of what `make soak` does for two hours: users work while anything goes wrong, and in the end all is as declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.run import Soak, dump
from tests.soak.site import site
from tests.support.tables import Report

SEED = 8
MINUTES = 2.0


@pytest.mark.timeout(1200)
def test_all_is_as_declared_whenever_it_is_calm(tmp_path: Path, report: Report) -> None:
    with site(tmp_path / "site") as built:
        soak = Soak(built, SEED, lambda line: report(f"Soak with seed {SEED}", line))
        try:
            soak.run(MINUTES)
        finally:
            dump(soak, tmp_path)
    assert sum(each.operations for each in soak.rounds) > 20
    assert any(each.troubles for each in soak.rounds)
