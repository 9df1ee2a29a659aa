"""Small multiples as SVG: one panel for each figure over the number of VMs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT, COLUMNS = 380, 230, 2
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 34, 34
"""Margins of a panel, for its title and the numbers at its axes."""
_LEAST = 1e-9
_TEXT = 'font-family="sans-serif" font-size="11" fill="#333"'


@dataclass(frozen=True)
class Panel:
    """One figure: its name in the data, its title, and its budget in words and as a number if it has one."""

    name: str
    title: str
    budget: str
    limit: float | None


def draw(points: Sequence[Mapping[str, float]], panels: Sequence[Panel], caption: str) -> str:
    """The picture of all panels. Both axes begin at 0. Raises ValueError without points."""
    if not points:
        raise ValueError("no points")
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        lines += [f'<g transform="translate({x},{y})">', *_panel(points, panel), "</g>"]
    lines += [f'<text x="8" y="{height - 8}" {_TEXT}>VMs on the horizontal axes; {escape(caption)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def ceiling(value: float) -> float:
    """The next number of the form 1, 2, 2.5 or 5 × 10ⁿ that is not less; 1 for what is 0, as good as 0, or less."""
    if value < _LEAST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value), 10 * power)


def _panel(points: Sequence[Mapping[str, float]], panel: Panel) -> Iterator[str]:
    most = ceiling(max(point["vms"] for point in points))
    values = [point[panel.name] for point in points]
    top = ceiling(1.05 * max([*values, panel.limit or 0.0]))
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def across(vms: float) -> float:
        return LEFT + vms / most * (right - LEFT)

    def up(value: float) -> float:
        return bottom - value / top * (bottom - TOP)

    budget = f" (budget {panel.budget})" if panel.budget else ""
    yield f'<text x="{LEFT}" y="20" {_TEXT} font-weight="bold">{escape(panel.title + budget)}</text>'
    for part in (0.0, 0.5, 1.0):
        at, value = up(part * top), part * top
        yield f'<line x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" {_TEXT} text-anchor="end">{value:g}</text>'
    if panel.limit is not None:
        at = up(panel.limit)
        yield f'<line x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#c33" stroke-dasharray="5 4"/>'
    path = " ".join(f"{across(point['vms']):.1f},{up(value):.1f}" for point, value in zip(points, values, strict=True))
    yield f'<polyline points="{path}" fill="none" stroke="#1565c0" stroke-width="2"/>'
    for point, value in zip(points, values, strict=True):
        x, y = across(point["vms"]), up(value)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1565c0"/>'
        yield f'<text x="{x:.1f}" y="{y - 7:.1f}" {_TEXT} text-anchor="middle">{value:.3g}</text>'
        yield f'<text x="{x:.1f}" y="{bottom + 16}" {_TEXT} text-anchor="middle">{point["vms"]:g}</text>'
