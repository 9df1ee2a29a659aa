"""Every CRD is served, and every field of every kind can be written and comes back as it was."""

from collections.abc import Iterator
from typing import Any

import pytest

from crds.base import Resource
from crds.definition import custom_resource_definition
from crds.v1alpha1 import KINDS
from tests.crds.api import Api
from tests.crds.conftest import Make
from tests.crds.samples import FULL, MINIMAL, STATUS
from tests.kubectl import Kubectl

EXAMPLES = [(kind, spec) for kind in KINDS for spec in FULL[kind]]


def schema_of(kind: type[Resource], part: str) -> dict[str, Any]:
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    return dict(version["schema"]["openAPIV3Schema"]["properties"][part])


def declared(schema: dict[str, Any], path: str) -> Iterator[str]:
    """Paths of all fields below a schema."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from declared(field.get("items", field), f"{path}.{name}")


def used(value: Any, path: str) -> Iterator[str]:
    """Paths of all fields in an object."""
    for item in value if isinstance(value, list) else [value]:
        for name, inner in item.items() if isinstance(item, dict) else ():
            yield f"{path}.{name}"
            yield from used(inner, f"{path}.{name}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_the_samples_use_every_field(kind: type[Resource]) -> None:
    """Else a new field would be without a trial."""
    written = {path for spec in FULL[kind] for path in used(spec, "spec")} | set(used(STATUS[kind], "status"))
    assert {*declared(schema_of(kind, "spec"), "spec"), *declared(schema_of(kind, "status"), "status")} - written == set()


def test_every_kind_is_established_with_names_and_category(kubectl: Kubectl, crds: list[str]) -> None:
    assert sorted(crds) == sorted(f"{kind.DEFINITION.plural}.vireo.dev" for kind in KINDS)
    for crd in kubectl.json("get", "crd", *crds)["items"]:
        conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
        assert conditions == {"Established": "True", "NamesAccepted": "True"}, crd["metadata"]["name"]
        assert crd["spec"]["names"]["categories"] == ["vireo"]
        assert not crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].get("x-kubernetes-preserve-unknown-fields")


@pytest.mark.parametrize(("kind", "spec"), EXAMPLES, ids=lambda value: getattr(value, "KIND", ""))
def test_a_full_spec_comes_back_as_written(api: Api, make: Make, kind: type[Resource], spec: dict[str, Any]) -> None:
    reply = api.create(kind, make(kind, spec), keep=False)
    assert reply.accepted, reply.object
    stored = reply.object["spec"]
    assert {name: stored[name] for name in spec} == spec


@pytest.mark.parametrize(("kind", "spec"), EXAMPLES, ids=lambda value: getattr(value, "KIND", ""))
def test_the_model_reads_what_the_server_stores(api: Api, make: Make, kind: type[Resource], spec: dict[str, Any]) -> None:
    """The model knows every field, and its defaults are the server's."""
    stored = api.create(kind, make(kind, spec), keep=False).object
    local = kind.parse(make(kind, spec))
    assert kind.parse(stored).to_json()["spec"] == local.to_json()["spec"]
    assert kind.parse(stored).metadata.uid == stored["metadata"]["uid"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_full_status_comes_back_as_written(api: Api, make: Make, kind: type[Resource]) -> None:
    stored = api.create(kind, make(kind, MINIMAL[kind])).object
    try:
        reply = api.update_status(kind, stored | {"status": STATUS[kind]})
        assert reply.accepted, reply.object
        assert reply.object["status"] == STATUS[kind]
        assert reply.object["metadata"]["generation"] == 1, "writing status must not count as a change of spec"
        assert kind.parse(reply.object).to_json()["status"] == STATUS[kind]
    finally:
        assert api.delete(kind, stored).accepted
