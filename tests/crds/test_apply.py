"""Server-side apply: who owns what when two managers share an object; and no unknown field gets in."""

import json
from typing import Any

import pytest

from crds.base import Resource
from crds.v1alpha1 import KINDS, VirtualMachine, Zone
from tests.crds.api import Api, Object
from tests.crds.conftest import Make
from tests.crds.samples import FULL, KEY, MINIMAL, STATUS
from tests.crds.test_accepted import schema_of, used
from tests.kubectl import Kubectl, KubectlError

OTHER_KEY = "ssh-rsa AAAAB3NzaC1yc2E= other@example.org"


@pytest.fixture
def vm(kubectl: Kubectl, make: Make) -> Object:
    """A VM that the manager `base` applied."""
    manifest = make(VirtualMachine, MINIMAL[VirtualMachine])
    kubectl.apply(manifest, field_manager="base")
    return manifest


def with_spec(manifest: Object, spec: dict[str, Any]) -> Object:
    """An apply configuration with these fields of spec only."""
    return {**manifest, "spec": spec}


def stored(kubectl: Kubectl, manifest: Object) -> Object:
    where = manifest["metadata"]
    return dict(kubectl.json("get", "virtualmachines.vireo.dev", where["name"], "-n", where["namespace"])["spec"])


@pytest.mark.parametrize(
    ("field", "first", "second"),
    [
        ("networks", [{"name": "a", "network": "front"}], [{"name": "b", "network": "back"}]),
        ("sshKeys", [KEY], [OTHER_KEY]),
        ("volumes", [{"name": "data", "volume": "data-1"}], [{"name": "log", "volume": "log-1"}]),
    ],
)
def test_two_managers_share_a_list(kubectl: Kubectl, vm: Object, field: str, first: list[Any], second: list[Any]) -> None:
    """Each owns its entries: neither removes the other's, and what one no longer applies goes."""
    base = MINIMAL[VirtualMachine]
    kubectl.apply(with_spec(vm, base | {field: first}), field_manager="first")
    kubectl.apply(with_spec(vm, base | {field: second}), field_manager="second")
    assert stored(kubectl, vm)[field] == [*first, *second]
    kubectl.apply(with_spec(vm, base), field_manager="first")
    assert stored(kubectl, vm)[field] == second


def test_two_managers_cannot_set_one_field_differently(kubectl: Kubectl, vm: Object) -> None:
    kubectl.apply(with_spec(vm, MINIMAL[VirtualMachine] | {"powerState": "On"}), field_manager="first")
    with pytest.raises(KubectlError, match=r'conflict with "first": \.spec\.powerState'):
        kubectl.apply(with_spec(vm, MINIMAL[VirtualMachine] | {"powerState": "Off"}), field_manager="second")
    assert stored(kubectl, vm)["powerState"] == "On"


def test_two_managers_cannot_set_one_entry_differently(kubectl: Kubectl, vm: Object) -> None:
    def nic(network: str) -> Object:
        return with_spec(vm, MINIMAL[VirtualMachine] | {"networks": [{"name": "a", "network": network}]})

    kubectl.apply(nic("front"), field_manager="first")
    with pytest.raises(KubectlError, match=r'\.spec\.networks\[name="a"\]\.network'):
        kubectl.apply(nic("back"), field_manager="second")


def test_a_manager_may_own_a_single_field(kubectl: Kubectl, vm: Object) -> None:
    """As an autoscaler or a person does beside Git: the rest of spec stays the base manager's."""
    partial = json.dumps(with_spec(vm, {"powerState": "Off"}))
    before = stored(kubectl, vm)
    # kubectl itself misses the required fields, the server doesn't
    kubectl("apply", "--server-side", "--validate=ignore", "--field-manager=switch", "-f", "-", stdin=partial)
    assert stored(kubectl, vm) == before | {"powerState": "Off"}
    kubectl.apply(vm, field_manager="base")
    assert stored(kubectl, vm) == before | {"powerState": "Off"}


def test_the_servers_defaults_do_not_fight_git(kubectl: Kubectl, vm: Object) -> None:
    """Applying the same again changes nothing: no difference for a GitOps tool, no new version of the object."""

    def versions() -> tuple[str, int]:
        where = vm["metadata"]
        metadata = kubectl.json("get", "virtualmachines.vireo.dev", where["name"], "-n", where["namespace"])["metadata"]
        return metadata["resourceVersion"], metadata["generation"]

    kubectl.apply(vm, field_manager="base")  # the first write after creation stores status.observedGeneration's default
    before = versions()
    done = kubectl.run("diff", "--server-side", "--field-manager=base", "-f", "-", stdin=json.dumps(vm))
    assert (done.returncode, done.stdout) == (0, "")
    kubectl.apply(vm, field_manager="base")
    assert versions() == before
    assert before[1] == 1


def test_two_managers_share_conditions(kubectl: Kubectl, api: Api, vm: Object) -> None:
    """Conditions are a list-map by type: a second writer's condition survives the controller's."""

    def apply(manager: str, type: str) -> None:
        condition = {"type": type, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-11-20T10:00:00Z"}
        status = {key: vm[key] for key in ("apiVersion", "kind", "metadata")} | {"status": {"conditions": [condition]}}
        kubectl(
            "apply",
            "--server-side",
            "--subresource=status",
            f"--field-manager={manager}",
            "-f",
            "-",
            stdin=json.dumps(status),
        )

    apply("first", "Ready")
    apply("second", "BackedUp")
    answer = kubectl.json("get", "virtualmachines.vireo.dev", vm["metadata"]["name"], "-n", vm["metadata"]["namespace"])
    assert [condition["type"] for condition in answer["status"]["conditions"]] == ["Ready", "BackedUp"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_unknown_fields_are_refused_by_name(api: Api, make: Make, kind: type[Resource]) -> None:
    """At every level: a misspelt field is never silently dropped when the client asks for strictness, as kubectl does."""
    for path in sorted({path.rpartition(".")[0] for spec in FULL[kind] for path in used(spec, "spec")} | {"spec"}):
        if path.endswith(".matchLabels"):  # labels have any name
            continue
        for spec in FULL[kind]:
            manifest = {**make(kind, None), **planted({"spec": spec}, path)}
            if manifest["spec"] != spec:
                reply = api.create(kind, manifest, keep=False)
                assert reply.code == 400, path
                assert 'unknown field "' in reply.object["message"], reply.object
                assert "misspelt" in reply.object["message"]


def planted(value: Any, path: str) -> Any:
    """`value` with a field `misspelt` in the objects at `path`."""
    if isinstance(value, list):
        return [planted(item, path) for item in value]
    if not isinstance(value, dict):
        return value
    if not path:
        return value | {"misspelt": 1}
    head, _, rest = path.partition(".")
    return {key: planted(inner, rest) if key == head else inner for key, inner in value.items()}


def test_kubectl_refuses_a_misspelt_field(kubectl: Kubectl, make: Make) -> None:
    refusal = kubectl.refused(make(VirtualMachine, MINIMAL[VirtualMachine] | {"powerstate": "Off"}))
    assert 'unknown field "powerstate"' in refusal


def test_without_strictness_unknown_fields_are_pruned(kubectl: Kubectl, make: Make, unique: str) -> None:
    manifest = make(Zone, {"color": "blue"})
    kubectl("create", "--validate=ignore", "-f", "-", stdin=json.dumps(manifest))
    try:
        assert kubectl.json("get", "zones.vireo.dev", unique)["spec"] == {"allocationState": "Enabled"}
    finally:
        kubectl("delete", "zones.vireo.dev", unique)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_status_has_no_place_for_unknown_fields(api: Api, make: Make, kind: type[Resource]) -> None:
    created = api.create(kind, make(kind, MINIMAL[kind])).object
    try:
        reply = api.update_status(kind, created | {"status": STATUS[kind] | {"lastSeen": "2026-11-20T10:00:00Z"}})
        assert reply.code == 400
        assert 'unknown field "status.lastSeen"' in reply.object["message"]
    finally:
        assert api.delete(kind, created).accepted


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_status_states_are_those_declared(api: Api, make: Make, kind: type[Resource]) -> None:
    if "state" not in schema_of(kind, "status")["properties"]:
        assert "state" not in STATUS[kind]
        return
    created = api.create(kind, make(kind, MINIMAL[kind])).object
    try:
        reply = api.update_status(kind, created | {"status": {"state": "Sleeping"}})
        assert reply.code == 422
        assert reply.causes[0][0] == "status.state"
        assert reply.causes[0][1].startswith('Unsupported value: "Sleeping": supported values: ')
    finally:
        assert api.delete(kind, created).accepted
