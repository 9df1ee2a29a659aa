"""What counts as a change of spec: the ground that observedGeneration, and health computed from it, stands on."""

from collections.abc import Iterator

import pytest

from crds.base import Resource
from crds.v1alpha1 import KINDS, VirtualMachine
from tests.crds.api import Api, Object, merged
from tests.crds.conftest import Make
from tests.crds.samples import FULL, MINIMAL, STATUS
from tests.kubectl import Kubectl


@pytest.fixture(params=KINDS, ids=lambda kind: kind.KIND)
def kind(request: pytest.FixtureRequest) -> type[Resource]:
    value: type[Resource] = request.param
    return value


@pytest.fixture
def stored(api: Api, make: Make, kind: type[Resource]) -> Iterator[Object]:
    """The first full sample of the kind, held by a finalizer until the test is over."""
    manifest = merged(make(kind, FULL[kind][0]), {"metadata": {"finalizers": ["vireo.dev/finalizer"]}})
    created = api.create(kind, manifest).object
    yield created
    api.merge(kind, created, {"metadata": {"finalizers": None}})
    api.delete(kind, created)


def generation(api: Api, kind: type[Resource], stored: Object) -> int:
    return int(api.get(kind, stored).object["metadata"]["generation"])


def test_labels_annotations_and_status_do_not_count(api: Api, kind: type[Resource], stored: Object) -> None:
    held = {"finalizers": ["vireo.dev/finalizer", "example.org/other"]}
    for patch in ({"labels": {"a": "b"}}, {"annotations": {"vireo.dev/paused": "true"}}, held):
        assert api.merge(kind, stored, {"metadata": patch}).accepted
        assert generation(api, kind, stored) == 1
    assert api.merge_status(kind, stored, {"status": STATUS[kind]}).accepted
    assert generation(api, kind, stored) == 1


def test_a_write_that_says_the_same_is_no_write(api: Api, kind: type[Resource], stored: Object) -> None:
    """A controller that writes status only when it differs, and a retry of a write, cost no event."""
    first = api.merge_status(kind, stored, {"status": STATUS[kind]}).object
    second = api.merge_status(kind, stored, {"status": STATUS[kind]}).object
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_spec_written_through_status_is_passed_over(api: Api, kind: type[Resource], stored: Object) -> None:
    """The controller writes through the status subresource alone, so it cannot change spec even by mistake."""
    changed = api.merge_status(kind, stored, {"spec": None, "status": {"observedGeneration": 1}})
    assert changed.accepted, changed.object
    assert changed.object["spec"] == stored["spec"]


def test_deletion_counts_and_waits_for_the_finalizer(api: Api, kind: type[Resource], stored: Object) -> None:
    assert api.delete(kind, stored).accepted
    going = api.get(kind, stored).object
    assert kind.parse(going).deleting
    assert going["metadata"]["generation"] == 2
    assert api.merge_status(kind, stored, {"status": {"observedGeneration": 2}}).accepted
    assert api.merge(kind, stored, {"metadata": {"finalizers": None}}).accepted
    assert api.get(kind, stored).code == 404


def test_status_of_another_incarnation_is_refused(api: Api, make: Make, kind: type[Resource]) -> None:
    """Deleted and created anew under its name: what was observed of the old one must not reach the new one.

    The uid alone doesn't prevent that, the server passes over it in a status; the resourceVersion does.
    """
    manifest = make(kind, MINIMAL[kind])
    old = api.create(kind, manifest).object
    assert api.delete(kind, old).accepted
    new = api.create(kind, manifest).object
    try:
        seen = {name: old["metadata"][name] for name in ("uid", "resourceVersion")}
        assert api.merge_status(kind, old, {"metadata": seen, "status": STATUS[kind]}).code == 409
        assert api.get(kind, new).object["status"] == {"observedGeneration": -1}
        finalizer = {"finalizers": ["vireo.dev/finalizer"]}
        assert api.merge(kind, old, {"metadata": {"uid": old["metadata"]["uid"]} | finalizer}).code in (409, 422)
        assert "finalizers" not in api.get(kind, new).object["metadata"]
    finally:
        assert api.delete(kind, new).accepted


def test_an_outdated_status_is_refused(api: Api, kind: type[Resource], stored: Object) -> None:
    """With the resourceVersion that was read: someone else wrote in between."""
    outdated = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}, "status": STATUS[kind]}
    assert api.merge(kind, stored, {"metadata": {"labels": {"a": "b"}}}).accepted
    assert api.merge_status(kind, stored, outdated).code == 409


def test_wait_for_ready(kubectl: Kubectl, api: Api, make: Make) -> None:
    """kubectl wait ends when the condition is there, and not before."""
    created = api.create(VirtualMachine, make(VirtualMachine, MINIMAL[VirtualMachine])).object
    where = ["vvm/" + created["metadata"]["name"], "-n", created["metadata"]["namespace"]]
    try:
        early = kubectl.run("wait", "--for=condition=Ready", "--timeout=0s", *where)
        assert early.returncode != 0
        assert api.merge_status(VirtualMachine, created, {"status": STATUS[VirtualMachine]}).accepted
        assert "condition met" in kubectl("wait", "--for=condition=Ready", "--timeout=200s", *where)
        assert "condition met" in kubectl("wait", "--for=jsonpath={.status.state}=Running", "--timeout=200s", *where)
    finally:
        assert api.delete(VirtualMachine, created).accepted


def test_a_newer_controller_beside_this_crd(api: Api, make: Make) -> None:
    """Fields that the CRD doesn't know yet are dropped from a status patch, the rest is stored: an upgrade may go in any order."""
    created = api.create(VirtualMachine, make(VirtualMachine, MINIMAL[VirtualMachine])).object
    try:
        patch = {"status": {"state": "Running", "powerMeter": {"watts": 40}}}
        reply = api.merge_status(VirtualMachine, created, patch, strict=False)
        assert reply.accepted, reply.object
        assert reply.object["status"] == {"observedGeneration": -1, "state": "Running"}
    finally:
        assert api.delete(VirtualMachine, created).accepted
