"""Prometheus' own engine: every alert fires for what it is for, and only then. What promtool tests is in the YAML files here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.alerts import files
from tests.alerts.files import Rule
from tests.alerts.promtool import PROGRAM, VERSION, Promtool
from tests.unit.metrics.test_documented import EVERYWHERE, samples

_FAILED = re.compile(r"alertname: (\w+), time: (\w+)")


@pytest.mark.slow
def test_prometheus_understands_every_rule(promtool: Promtool) -> None:
    assert promtool.check(files.RULES) == ""


@pytest.mark.slow
@pytest.mark.parametrize("path", files.TESTS, ids=lambda path: path.stem)
def test_alerts_fire_for_what_they_are_for(promtool: Promtool, path: Path) -> None:
    assert promtool.test(path) == ""


def test_each_alert_is_seen_to_fire_and_to_be_silent() -> None:
    seen = {(alert, fires) for _, alert, fires in files.cases()}
    assert seen == {(alert, fires) for alert in files.rules() for fires in (True, False)}


def test_series_are_those_of_the_controller() -> None:
    known = samples()
    for name, labels in files.series():
        assert name in known, name
        assert labels.keys() - EVERYWHERE == known[name], name


def _never(rule: Rule) -> None:
    rule["expr"] = "vector(1) > 1"


def _always(rule: Rule) -> None:
    rule["expr"] = "vector(1)"
    rule.pop("for", None)


def _at_once(rule: Rule) -> None:
    rule.pop("for", None)


def _wordless(rule: Rule) -> None:
    rule["annotations"]["summary"] += " "


def _harmless(rule: Rule) -> None:
    rule["labels"]["severity"] = "none"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (_never, {alert for _, alert, fires in files.cases() if fires}),
        (_always, {alert for _, alert, fires in files.cases() if not fires}),
        (_at_once, {alert for alert, rule in files.rules().items() if "for" in rule}),
        (_wordless, set(files.rules())),
        (_harmless, set(files.rules())),
    ],
)
def test_a_rule_that_is_changed_is_noticed(promtool: Promtool, tmp_path: Path, change: object, noticed: set[str]) -> None:
    """All rules are changed at once; the tests of each must fail."""
    assert callable(change)
    said = promtool.test(*files.variant(tmp_path, change))
    assert {alert for alert, _ in _FAILED.findall(said)} == noticed


@pytest.mark.slow
def test_rules_that_nobody_changed_are_as_they_were(promtool: Promtool, tmp_path: Path) -> None:
    """Copied like this they pass: it is the change that the test above sees."""
    assert promtool.test(*files.variant(tmp_path, lambda _: None)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("expression", ["sum by (name (workqueue_depth)", "rate(workqueue_depth)", "no_such_function(up)", "up ="])
def test_what_prometheus_does_not_understand_is_told(promtool: Promtool, tmp_path: Path, expression: str) -> None:
    rule = {"alert": "Broken", "expr": expression}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rule]}]}))
    assert "parse" in promtool.check(tmp_path / "rules.yaml")


def test_the_version_is_the_one_that_is_built() -> None:
    text = (PROGRAM.source / "go.mod").read_text()
    assert re.search(rf"^\s*(?:require )?github\.com/prometheus/prometheus {re.escape(VERSION)}\b", text, re.MULTILINE)
    assert re.search(rf"^tool {re.escape(PROGRAM.package)}$", text, re.MULTILINE)
