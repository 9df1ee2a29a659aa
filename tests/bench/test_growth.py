"""The drawing of growth: what is in the picture is what was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.beside import killed
from tests.bench.figures import Figure
from tests.bench.growth import PANELS, main, of_fill
from tests.bench.measures import WRITES_PER_CREATE
from tests.bench.plot import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, ceiling, draw
from tests.support.live.killed import Outcome

SVG = "{http://www.w3.org/2000/svg}"
POINTS = [{"vms": 1000.0, "a": 10.0, "b": 0.5}, {"vms": 5000.0, "a": 40.0, "b": 0.25}]
TWO = [Panel("a", "Rate", "≥ 30", 30.0), Panel("b", "Wait <s>", "", None)]


def circles(picture: str) -> list[tuple[float, float]]:
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in ET.fromstring(picture).iter(f"{SVG}circle")]


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(picture).iter(f"{SVG}text")]


@given(st.floats(1e-9, 1e12))
def test_the_ceiling_is_round_and_near(value: float) -> None:
    found = ceiling(value)
    assert value <= found <= 2.5 * value * (1 + 1e-9)
    assert f"{found:.1e}"[:3] in ("1.0", "2.0", "2.5", "5.0")


@pytest.mark.parametrize("value", [0.0, -3.0, 5e-324])
def test_an_axis_of_nothing_has_a_length(value: float) -> None:
    assert ceiling(value) == 1.0


def test_every_point_is_drawn_at_its_place() -> None:
    """The axes end at the next round numbers: 5000 VMs, and 50 for a figure of 40."""
    first, second, *_ = circles(draw(POINTS, TWO, "here"))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    assert second == pytest.approx((right, bottom - 40 / 50 * (bottom - TOP)), abs=0.1)
    assert first == pytest.approx((LEFT + (right - LEFT) / 5, bottom - 10 / 50 * (bottom - TOP)), abs=0.1)


def test_titles_budgets_and_values_are_written() -> None:
    said = texts(draw(POINTS, TWO, "200 hosts & more"))
    assert {"Rate (budget ≥ 30)", "Wait <s>", "40", "0.25", "1000", "5000"} <= set(said)
    assert "200 hosts & more" in said[-1]


def test_a_budget_is_a_line() -> None:
    lines = [each for each in ET.fromstring(draw(POINTS, TWO, "")).iter(f"{SVG}line") if "stroke-dasharray" in each.attrib]
    bottom = HEIGHT - BOTTOM
    assert [float(each.attrib["y1"]) for each in lines] == pytest.approx([bottom - 30 / 50 * (bottom - TOP)], abs=0.1)


@given(st.lists(st.tuples(st.floats(1, 1e5), st.floats(0, 1e6)), min_size=1, max_size=6))
def test_nothing_is_drawn_outside_its_panel(values: Sequence[tuple[float, float]]) -> None:
    found = circles(draw([{"vms": vms, "a": value} for vms, value in sorted(values)], [Panel("a", "t", "", None)], ""))
    assert len(found) == len(values)
    assert all(LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1 and TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1 for x, y in found)


def test_nothing_measured_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no points"):
        draw([], TWO, "")


def test_what_was_measured_before_can_be_drawn_again(tmp_path: Path) -> None:
    points = [{"vms": vms, **{panel.name: 1.0 for panel in PANELS}} for vms in (1000, 2500)]
    machine = {"cpus": 2, "load_at_start": 0.25}
    kept = {"date": "2026-11-21T08:00:00+00:00", "commit": "0123456789ab", "hosts": 200, "machine": machine, "points": points}
    (tmp_path / "growth.json").write_text(json.dumps(kept))
    assert main(["--draw", "--output", str(tmp_path / "growth")]) == 0
    picture = (tmp_path / "growth.svg").read_text()
    assert len(circles(picture)) == 2 * len(PANELS)
    assert "200 hosts; 2026-11-21 0123456789ab, 2 cores, load 0.25 at the start" in texts(picture)[-1]


def test_data_of_before_a_figure_was_measured_is_drawn_without_it(tmp_path: Path) -> None:
    points = [{"vms": vms, "create": 1.0} for vms in (1000, 2500)]
    kept = {"date": "2026-11-21T08:00:00+00:00", "hosts": 200, "machine": {"cpus": 2, "load_at_start": 0.25}, "points": points}
    (tmp_path / "growth.json").write_text(json.dumps(kept))
    assert main(["--draw", "--output", str(tmp_path / "growth")]) == 0
    picture = (tmp_path / "growth.svg").read_text()
    assert len(circles(picture)) == 2
    assert "200 hosts; 2026-11-21, 2 cores" in texts(picture)[-1]


def test_what_a_fill_showed_is_drawn() -> None:
    filled = [
        Figure("create → Running, 20 VMs", 40.0, "VM/s"),
        Figure("CPU of controller per VM created", 9.0, "ms"),
        Figure(WRITES_PER_CREATE, 4.0, ""),
        Figure("controller memory at 20 VMs", 120.0, "MiB"),
    ]
    assert of_fill(filled) == {"create": 40.0, "controller_cpu": 9.0, "writes": 4.0, "memory": 120.0}


def outcome(running: int = 50, failed: int = 0, seconds: float = 1.0) -> Outcome:
    return Outcome(50, running, ["x"] * failed, [], [], seconds, 2 * seconds)


def test_of_some_kills_the_worst_counts_and_the_median_time() -> None:
    found = {each.name.partition(": ")[2]: each.value for each in killed([outcome(49, 0, 3.0), outcome(50, 2, 1.0), outcome()])}
    assert (found["VMs Running, at least"], found["jobs that failed"], found["at work again"], found["all Running"]) == (
        49,
        2,
        1,
        2,
    )
