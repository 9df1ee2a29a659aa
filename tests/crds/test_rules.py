"""Every CEL rule accepts and refuses what it says, on the real API server."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from crds.base import Resource
from tests.conftest import MANIFESTS
from tests.crds.api import Api, Object, Reply, merged
from tests.crds.cases import Case
from tests.crds.conftest import Make
from tests.crds.rules import CASES

PREAMBLE = re.compile(r'^Invalid value: (?:(?:"[^"]*"|-?\d+|true|false): )?')


def rules_in(schema: Object, kind: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Kind, field and message of every rule below a schema, as the server will name them."""
    for rule in schema.get("x-kubernetes-validations", []):
        yield kind, path + rule.get("fieldPath", ""), rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from rules_in(field, kind, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from rules_in(schema["items"], kind, f"{path}[]")


def rules_of(manifest: Object) -> set[tuple[str, str, str]]:
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return set(rules_in(schema, manifest["spec"]["names"]["kind"], ""))


def test_every_rule_of_the_manifests_is_tried() -> None:
    declared = {rule for path in MANIFESTS.glob("*.yaml") for rule in rules_of(yaml.safe_load(path.read_text()))}
    tried = {case.rule for case in CASES}
    assert tried == declared


def refusals(reply: Reply) -> list[tuple[str, str]]:
    """Field without indexes, and message without the server's preamble, of each cause."""
    return [(re.sub(r"\[\d+\]", "[]", field), PREAMBLE.sub("", message)) for field, message in reply.causes]


@pytest.mark.parametrize("case", [case for case in CASES if not case.transition], ids=str)
def test_rule_on_an_object(api: Api, make: Make, case: Case) -> None:
    accepted = api.create(case.kind, make(case.kind, merged(case.old, case.good)), keep=False)
    assert accepted.accepted, accepted.object["message"]
    refused = api.create(case.kind, make(case.kind, merged(case.old, case.bad)), keep=False)
    assert_refused_by(case, refused)


@pytest.mark.parametrize("case", [case for case in CASES if case.transition], ids=str)
def test_rule_on_a_change(api: Api, make: Make, case: Case) -> None:
    created = api.create(case.kind, make(case.kind, case.old))
    assert created.accepted, created.object["message"]
    try:
        accepted = api.update(case.kind, changed(created.object, case.good), keep=False)
        assert accepted.accepted, accepted.object["message"]
        assert_refused_by(case, api.update(case.kind, changed(created.object, case.bad), keep=False))
    finally:
        assert api.delete(case.kind, created.object).accepted


def changed(stored: Object, patch: dict[str, Any]) -> Object:
    return dict(merged(stored, {"spec": patch}))


def assert_refused_by(case: Case, reply: Reply) -> None:
    """The rule, and nothing else, refuses: so the good object differs from the bad one by this rule."""
    assert reply.code == 422, reply.object
    assert refusals(reply) == [(case.field, case.message)], reply.object["message"]


def test_no_two_kinds_share_a_name_in_the_table() -> None:
    """The ids of the table name the case that failed."""
    kinds: dict[str, type[Resource]] = {}
    for case in CASES:
        assert kinds.setdefault(case.kind.KIND, case.kind) is case.kind
