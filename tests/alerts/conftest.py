"""promtool for all tests here."""

from __future__ import annotations

import pytest

from tests.alerts import promtool as build
from tests.alerts.promtool import Promtool


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    return Promtool(build.ensure())
