"""Tables that tests fill line by line, printed when the run ends, whichever of its processes a test ran in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

Report = Callable[[str, str], None]
Cell = Callable[[str, str, str, str], None]
Grid = dict[str, dict[str, str]]
_KEY = "table"
_CELL = "cell"


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Adds a line to the table of a title."""
    return lambda title, line: record_property(_KEY, [title, line])


@pytest.fixture
def cell(record_property: Callable[[str, object], None]) -> Cell:
    """Sets what stands in the table of a title in a row and a column; in "TEXT - WHY", WHY is told below it."""
    return lambda title, row, column, text: record_property(_CELL, [title, row, column, text])


def show(terminal: pytest.TerminalReporter) -> None:
    """Print all tables."""
    tables: dict[str, list[str]] = defaultdict(list)
    grids: dict[str, Grid] = defaultdict(lambda: defaultdict(dict))
    reports = [each for kind in ("passed", "failed") for each in terminal.stats.get(kind, [])]
    for name, value in (pair for each in reports if each.when == "call" for pair in each.user_properties):
        if name == _KEY:
            tables[value[0]].append(value[1])
        elif name == _CELL:
            grids[value[0]][value[1]][value[2]] = value[3]
    for title, lines in [*tables.items(), *((title, drawn(grid)) for title, grid in grids.items())]:
        terminal.section(title)
        for line in lines:
            terminal.write_line(line)


def drawn(grid: Grid) -> list[str]:
    """Lines of a table of cells, what they mean below it; in the order of names, whichever test ended first."""
    columns = sorted({column for row in grid.values() for column in row})
    first = max(map(len, grid))
    whys: dict[str, list[str]] = defaultdict(list)
    lines = [" ".join([" " * first, *(f"{column:>9}" for column in columns)])]
    for name, row in sorted(grid.items()):
        lines.append(" ".join([f"{name:{first}}", *(f"{_short(row.get(column, '')):>9}" for column in columns)]))
        for column, text in sorted(row.items()):
            if " - " in text:
                whys[text].append(f"{name} / {column}")
    return lines + [f"{text} ({'; '.join(places)})" for text, places in whys.items()]


def _short(text: str) -> str:
    return text.partition(" - ")[0]
