"""Prometheus' own engine: it understands what the dashboard asks, and has an answer to it from the controller's metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts import files
from tests.alerts.promtool import Promtool
from tests.unit.metrics.test_documented import samples

_ASKED = re.compile(r'(\w+)="([^"]+)"')
_SCRAPED = {"job": ["vireo"], "instance": ["a"]}
_FAILED = re.compile(r'expr: "(.*)", time: ')


def exported(expressions: Iterable[str]) -> Iterator[dict[str, str]]:
    """Every series of the controller, as promtool takes it; labels have the values that are asked for, and one more."""
    asked: dict[str, set[str]] = {}
    for label, value in (found for each in expressions for found in _ASKED.findall(each)):
        asked.setdefault(label, set()).add(value)
    for name, labels in samples().items():
        values = _SCRAPED | {label: ["1.0", "+Inf"] if label == "le" else ["other", *asked.get(label, ())] for label in labels}
        for combined in product(*values.values()):
            pairs = ", ".join(f'{label}="{value}"' for label, value in zip(values, combined, strict=True))
            grows = name.endswith(("_total", "_count", "_sum", "_bucket"))
            yield {"series": f"{name}{{{pairs}}}", "values": "0+60x30" if grows else "2x30"}


def unanswered(promtool: Promtool, directory: Path, expressions: list[str]) -> set[str]:
    """Those of the expressions that have no number for an answer, when the controller exports all that it can."""
    looks: list[dict[str, Any]] = [
        {"expr": f"count(({each}) >= 0) > bool 0", "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for each in expressions
    ]
    test = {"interval": "1m", "input_series": list(exported(expressions)), "promql_expr_test": looks}
    (directory / "test.yaml").write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    said = promtool.test(directory / "test.yaml").replace('\\"', '"')
    failed = set(_FAILED.findall(said))
    assert bool(said) == bool(failed), said
    return {each for each, look in zip(expressions, looks, strict=True) if look["expr"] in failed}


@pytest.mark.slow
def test_prometheus_understands_every_panel(promtool: Promtool, tmp_path: Path) -> None:
    rules = [{"record": f"panel:number_{number}", "expr": expr} for number, (_, expr) in enumerate(files.panels())]
    assert len(rules) > 30
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    assert promtool.check(tmp_path / "panels.yaml") == ""


def test_all_variables_of_the_dashboard_are_replaced() -> None:
    assert not [expr for _, expr in files.panels() if "$" in expr]


@pytest.mark.slow
def test_every_panel_shows_something(promtool: Promtool, tmp_path: Path) -> None:
    panels = {expr: title for title, expr in files.panels()}
    assert [panels[each] for each in unanswered(promtool, tmp_path, list(panels))] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "expression",
    [
        'sum(vireo_no_such_metric{job=~".*"})',
        'sum(workqueue_depth{no_such_label=~".+"})',
        'sum(workqueue_depth{job="somebody-elses"}) / 0',
        "histogram_quantile(0.95, sum by (name) (rate(workqueue_queue_duration_seconds_bucket[2m])))",
        "vireo_endpoint_host and on (host) vireo_lane_saturation",
        "vireo_lane_saturation > 2",
        "vireo_store_objects / on (kind) workqueue_depth",
    ],
)
def test_what_shows_nothing_is_noticed(promtool: Promtool, tmp_path: Path, expression: str) -> None:
    assert unanswered(promtool, tmp_path, ["sum(workqueue_depth)", expression]) == {expression}
