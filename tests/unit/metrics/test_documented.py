"""The reference, the dashboard and the alerts name metrics and labels that there are; each metric is in the reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.kube.metrics import ApiMetrics
from controller.runtime.clock import SystemClock
from controller.runtime.lanes import LaneMetrics
from controller.runtime.metrics import Metrics
from controller.telemetry.metrics import DriverMetrics, EndpointMetrics, LifeMetrics

ROOT = Path(__file__).parents[3]
REFERENCE = (ROOT / "docs/reference/metrics.md").read_text()
HOW_TO = (ROOT / "docs/how-to/observe.md").read_text()
ALERTS = yaml.safe_load((ROOT / "deploy/observability/alerts.yaml").read_text())
DASHBOARD = json.loads((ROOT / "deploy/observability/dashboard.json").read_text())

EVERYWHERE = {"job", "instance"}
"""Labels that Prometheus adds itself."""

_SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count", "_created")}


def metrics() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of every metric that the controller makes, by the name that the reference uses."""
    registry = CollectorRegistry()
    Metrics(registry)
    LaneMetrics(registry)
    ApiMetrics(registry)
    LifeMetrics(registry, SystemClock())
    DriverMetrics(registry)
    EndpointMetrics(registry, list)
    found: dict[str, tuple[str, set[str]]] = {}
    for collector in registry._collector_to_names:
        for family in collector.collect():
            labels = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, set(labels))
    return found


def samples() -> dict[str, set[str]]:
    """Labels by the names that PromQL knows."""
    found: dict[str, set[str]] = {name: set() for name in _process()}
    for name, (type, labels) in metrics().items():
        base = name.removesuffix("_total") if type == "counter" else name
        for suffix in _SUFFIXES[type]:
            found[base + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


def _process() -> set[str]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return {sample.name for family in registry.collect() for sample in family.samples}


def documented() -> dict[str, tuple[str, set[str]]]:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \| ([a-z_, ]*)\|", REFERENCE, re.MULTILINE)
    return {name: (type, set(filter(None, labels.replace(" ", "").split(",")))) for name, type, labels in rows}


def test_names_that_promql_knows_are_those_that_are_exported() -> None:
    registry = CollectorRegistry()
    made = {"counter": Counter("c", "text", registry=registry), "gauge": Gauge("g", "text", registry=registry)}
    made["histogram"] = Histogram("h", "text", registry=registry)
    page = generate_latest(registry).decode()
    exported = {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}
    assert exported == {f"{type[0]}{suffix}" for type in made for suffix in _SUFFIXES[type]}


def test_the_reference_has_every_metric_as_it_is() -> None:
    assert documented() == metrics()


def test_metrics_are_named_as_prometheus_wants() -> None:
    for name, (type, _) in metrics().items():
        assert name.endswith("_total") == (type == "counter"), name
        assert type != "histogram" or name.endswith("_seconds"), name
        assert name.startswith(("vireo_", "controller_runtime_", "workqueue_", "rest_client_", "leader_election_")), name


_FUNCTIONS = {"sum", "max", "min", "rate", "increase", "histogram_quantile", "absent", "label_values"}
_WORDS = {"by", "without", "and", "or", "unless", "on", "ignoring"}


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics that a PromQL expression uses, with the labels that it asks of them or groups them by.

    Good enough for the expressions here: it knows no subqueries, and what groups a part of an expression counts for all of it.
    """
    grouped = {label.strip() for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in group.split(",")}
    bare = re.sub(r"\b(?:by|on) \([^)]*\)", "", expression)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    for name, selector in re.findall(r"([a-zA-Z_][a-zA-Z0-9_]*)(\{[^}]*\})?(?!\w)(?!\s*\()", bare):
        if name in _WORDS or name in _FUNCTIONS or not _is_metric(name, bare):
            continue
        asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", selector))
        yield name, asked | grouped


def _is_metric(name: str, expression: str) -> bool:
    outside = re.sub(r"\{[^}]*\}", "", expression)
    return bool(re.search(rf"\b{name}\b", outside))


def expressions() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for group in ALERTS["groups"] for rule in group["rules"]]
    for panel in DASHBOARD["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    variables = [each for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    return found + [(each["name"], each["query"].replace(", job)", ")")) for each in variables]


@pytest.mark.parametrize(("where", "expression"), expressions(), ids=lambda text: text[:40])
def test_what_is_asked_for_is_there(where: str, expression: str) -> None:
    known = samples()
    asked = list(used(expression))
    assert asked, "no metric found"
    for name, labels in asked:
        assert name in known, where
        assert labels - EVERYWHERE <= known[name], f"{where}: {name}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", [("up", set())]),
        ('sum by (a, b) (rate(x_total{c="d", e!~"f"}[5m])) > 3', [("x_total", {"a", "b", "c", "e"})]),
        ("x and on (a) (y > 1)", [("x", {"a"}), ("y", {"a"})]),
        ("max(x) < 1 or absent(y)", [("x", set()), ("y", set())]),
        ("histogram_quantile(0.95, sum by (le)\n(rate(x_bucket[$__rate_interval]))) > 10", [("x_bucket", {"le"})]),
        ("rate(x[5m]) / rate(y[5m]) > 0.2 and z > 1e9", [("x", set()), ("y", set()), ("z", set())]),
    ],
)
def test_the_reader_of_expressions(expression: str, expected: list[tuple[str, set[str]]]) -> None:
    assert list(used(expression)) == expected


def test_brackets_match() -> None:
    for where, expression in expressions():
        for one, other in ("()", "[]", "{}"):
            assert expression.count(one) == expression.count(other), where


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def test_each_alert_says_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    section = HOW_TO.partition("## What to do about an alert")[2]
    described = set(re.findall(r"Vireo\w+", section))
    assert described == set(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_alerts_show_labels_that_their_expression_has() -> None:
    for rule in rules():
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
        assert shown <= grouped, rule["alert"]


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    """But for those that another says better."""
    asked = {name for where, expression in expressions() for name, _ in used(expression)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert set(metrics()) - bases <= {"workqueue_work_duration_seconds"}


def test_panels_do_not_overlap_and_have_their_own_ids() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not mine & cells, panel["title"]
        assert all(x < 24 for x, _ in mine)
        cells |= mine
