"""The bench's own arithmetic: percentiles, Prometheus text, tables. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: \d+)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Figure:
    """One measured number. `budget` is what the architecture asks for, in words; `samples` are what it was made from."""

    name: str
    value: float
    unit: str
    budget: str = ""
    samples: Sequence[float] = ()


@dataclass(frozen=True)
class Sample:
    """One line of a metrics page."""

    name: str
    labels: Mapping[str, str]
    value: float


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of the values don't exceed (nearest rank). Raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def rate(times: Sequence[float], since: float) -> float:
    """Things per second, from `since` to the last of their times. Raises ValueError when none or no time passed."""
    if not times or max(times) <= since:
        raise ValueError("nothing happened")
    return len(times) / (max(times) - since)


def parse(text: str) -> list[Sample]:
    """The samples of a metrics page in Prometheus text format; comments and what can't be read are left out."""
    matches = (_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#"))
    return [Sample(m["name"], dict(_LABEL.findall(m["labels"] or "")), float(m["value"])) for m in matches if m]


def total(samples: Iterable[Sample], name: str, **labels: str) -> float:
    """Sum of the samples of a metric whose labels match these, each a regular expression for the whole label."""
    return sum(
        each.value
        for each in samples
        if each.name == name and all(re.fullmatch(pattern, each.labels.get(label, "")) for label, pattern in labels.items())
    )


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    rows = [("figure", "value", "budget"), *((f.name, f"{_short(f.value)} {f.unit}".strip(), f.budget) for f in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _short(value: float) -> str:
    """Three digits are all that such a measurement is worth."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
