"""The rules, the dashboard and the tests of the rules, as they lie in the repository; and variants of them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/observability/alerts.yaml"
DASHBOARD = ROOT / "deploy/observability/dashboard.json"
TESTS = sorted(Path(__file__).parent.glob("*.yaml"))

Rule = dict[str, Any]
_SERIES = re.compile(r"^(\w+)\{(.*)\}$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def rules() -> dict[str, Rule]:
    """All alerting rules by name."""
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def cases() -> Iterator[tuple[str, str, bool]]:
    """Each look of the tests at an alert: the test's name, the alert's, and whether it should fire then."""
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for look in test["alert_rule_test"]:
                yield test["name"], look["alertname"], bool(look.get("exp_alerts"))


def series() -> Iterator[tuple[str, dict[str, str]]]:
    """Metric and labels of all series that the tests are made of. Raises AssertionError for one that this can't read."""
    for path in TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for each in test["input_series"]:
                found = _SERIES.match(each["series"])
                assert found, each["series"]
                yield found[1], dict(_LABEL.findall(found[2]))


def variant(directory: Path, change: Callable[[Rule], None]) -> list[Path]:
    """The tests, on rules each of which was changed; all of it lies in `directory`."""
    content = copy.deepcopy(yaml.safe_load(RULES.read_text()))
    for group in content["groups"]:
        for rule in group["rules"]:
            change(rule)
    (directory / "alerts.yaml").write_text(yaml.safe_dump(content))
    made = []
    for path in TESTS:
        made.append(directory / f"test-{path.name}")
        made[-1].write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"rule_files": ["alerts.yaml"]}))
    return made


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression of all that the dashboard draws, as Grafana sends it when all jobs are shown."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$job", ".*").replace("$__rate_interval", "2m")
