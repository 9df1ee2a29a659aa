"""Tables that tests fill line by line, printed when the run ends, whichever of its processes a test ran in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

Report = Callable[[str, str], None]
_KEY = "table"


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Adds a line to the table of a title."""
    return lambda title, line: record_property(_KEY, [title, line])


def show(terminal: pytest.TerminalReporter) -> None:
    """Print all tables."""
    tables: dict[str, list[str]] = defaultdict(list)
    reports = [each for kind in ("passed", "failed") for each in terminal.stats.get(kind, [])]
    for name, value in (pair for each in reports if each.when == "call" for pair in each.user_properties):
        if name == _KEY:
            tables[value[0]].append(value[1])
    for title, lines in tables.items():
        terminal.section(title)
        for line in lines:
            terminal.write_line(line)
