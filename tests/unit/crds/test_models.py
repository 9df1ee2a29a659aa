"""Reading and writing objects: tolerant of what a newer version wrote, exact about the rest."""

import copy
import json
from typing import Any, get_type_hints

import pytest
from pydantic import ValidationError

from crds.base import API_VERSION, Model, Resource, camel
from crds.fields import Quantity
from crds.status import Condition, Job, JobState
from crds.v1alpha1 import KINDS, Host, Network, Template, VirtualMachine, Zone
from crds.v1alpha1.host import HostState
from crds.v1alpha1.virtualmachine import PowerState, RootDisk, StopMode
from crds.v1alpha1.virtualmachinestatus import DiskStatus, PlacementReport, VirtualMachineState
from tests.crds.samples import FULL, MINIMAL, STATUS


def raw(kind: type[Resource], spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind.KIND, "metadata": {"name": "x", "uid": "u"}, "spec": spec, **more}


def vm(**status: Any) -> VirtualMachine:
    return VirtualMachine.parse(raw(VirtualMachine, MINIMAL[VirtualMachine], status=status))


@pytest.mark.parametrize(
    ("python", "json_name"),
    [
        ("name", "name"),
        ("root_disk", "rootDisk"),
        ("ssh_keys", "sshKeys"),
        ("instance_id", "instanceID"),
        ("management_cidr", "managementCIDR"),
        ("ca_secret_ref", "caSecretRef"),
        ("id", "id"),
        ("ip_address", "ipAddress"),
        ("applied_restart_at", "appliedRestartAt"),
    ],
)
def test_field_names(python: str, json_name: str) -> None:
    assert camel(python) == json_name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_an_object_survives_reading_and_writing(kind: type[Resource]) -> None:
    for spec in FULL[kind]:
        read = kind.parse(raw(kind, spec, status=STATUS[kind]))
        written = read.to_json()
        assert written["status"] == STATUS[kind]
        assert {name: written["spec"][name] for name in spec} == textual(spec)
        assert kind.parse(written) == read
        assert kind.model_validate_json(json.dumps(written)) == read


def textual(spec: dict[str, Any]) -> dict[str, Any]:
    """A sample as it is written back: a size that was given as a number becomes text."""
    return spec | {"memory": str(spec["memory"])} if "memory" in spec else spec


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_new_object_has_an_empty_status(kind: type[Resource]) -> None:
    """Reconcilers fill it without asking whether it is there."""
    empty: list[dict[str, Any]] = [{}, {"status": {}}, {"status": {"observedGeneration": -1}}]
    for status in empty:
        read = kind.parse(raw(kind, MINIMAL[kind], **status))
        assert read.status.observed_generation == -1  # type: ignore[attr-defined]
        assert read.status.conditions == []  # type: ignore[attr-defined]
        assert read.metadata.finalizers == []
        assert not read.deleting


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_fields_of_a_newer_version_are_passed_over(kind: type[Resource]) -> None:
    for spec in FULL[kind]:
        known = raw(kind, spec, status=STATUS[kind])
        assert kind.parse(with_unknown(known)) == kind.parse(known)


def with_unknown(value: Any) -> Any:
    """`value` with a field from the future in every structure; labels have any name, so theirs stay."""
    if isinstance(value, list):
        return [with_unknown(item) for item in value]
    if not isinstance(value, dict):
        return value
    free = ("matchLabels", "rejected", "examples")
    below = {name: inner if name in free else with_unknown(inner) for name, inner in value.items()}
    return below | {"fromTheFuture": {"a": [1]}}


def test_states_of_a_newer_version_are_kept_as_text() -> None:
    assert vm(state="Hibernating").status.state == "Hibernating"
    assert vm(state="Hibernating").to_json()["status"]["state"] == "Hibernating"
    assert vm(state="Running").status.state is VirtualMachineState.RUNNING
    assert Host.parse(raw(Host, MINIMAL[Host], status={"state": "Up"})).status.state is HostState.UP


def test_values_of_spec_that_a_newer_version_knows_are_not_guessed() -> None:
    with pytest.raises(ValidationError, match=r"spec\.powerState"):
        VirtualMachine.parse(raw(VirtualMachine, MINIMAL[VirtualMachine] | {"powerState": "Paused"}))


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ({"zone": None}, "zone"),
        ({"zone": "../x"}, "zone"),
        ({"rootDisk": {"size": "ten"}}, "rootDisk.size"),
        ({"networks": [{"name": "a", "network": "n", "ip": "10.0.0.999"}]}, "networks.0.ip"),
        ({"networks": [{"name": str(index), "network": "n"} for index in range(9)]}, "networks"),
        ({"stopTimeout": "soon"}, "stopTimeout"),
        ({"userData": {"inline": "x" * 262145}}, "userData.inline"),
    ],
)
def test_an_object_that_no_server_of_ours_would_store(patch: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VirtualMachine.parse(raw(VirtualMachine, MINIMAL[VirtualMachine] | patch))
    assert all(".".join(map(str, error["loc"])).startswith(f"spec.{place}") for error in caught.value.errors())


def test_unset_and_empty_fields_are_not_written() -> None:
    """A status write stays small, and two equal states have equal JSON."""
    draft = vm()
    assert draft.status.to_json() == {"observedGeneration": -1}
    draft.status.disks = []
    draft.status.placement_report = PlacementReport()
    assert draft.status.to_json() == {"observedGeneration": -1, "placementReport": {"message": ""}}


def test_false_and_zero_are_written() -> None:
    zone = Zone.parse(raw(Zone, {}))
    zone.status.counts.hosts = 3
    assert zone.status.to_json()["counts"] == {"pods": 0, "clusters": 0, "hosts": 3, "hostsUp": 0}
    network = Network.parse(raw(Network, MINIMAL[Network] | {"segment": {"vlan": 7}}))
    assert network.to_json()["spec"]["allowedNamespaces"] == {"from": "Same"}


def test_items_of_a_list_keep_their_place() -> None:
    class Box(Model):
        """A box."""

        things: list[dict[str, Any] | None]
        """Things."""

    assert Box(things=[{}, None, {"a": None, "b": [], "c": 0}]).to_json() == {"things": [{}, None, {"c": 0}]}


def test_objects_can_be_made_by_python_names() -> None:
    disk = DiskStatus(name="root", pool="p", volume_id="v", size=Quantity.of(10 * 2**30))
    assert disk.to_json() == {"name": "root", "pool": "p", "volumeID": "v", "size": "10Gi"}
    assert RootDisk(size=Quantity("1Gi")).to_json() == {"size": "1Gi"}


def test_a_deep_copy_is_a_draft_of_its_own() -> None:
    """What a reconciler changes must not reach the shared object."""
    shared = VirtualMachine.parse(raw(VirtualMachine, MINIMAL[VirtualMachine], status=STATUS[VirtualMachine]))
    before = copy.deepcopy(shared.to_json())
    draft = shared.model_copy(deep=True)
    draft.status.nics.clear()
    draft.status.conditions[0].reason = "Changed"
    draft.metadata.annotations["a"] = "b"
    assert shared.to_json() == before


def test_deletion_is_seen() -> None:
    going = raw(Template, MINIMAL[Template])
    going["metadata"]["deletionTimestamp"] = "2026-11-20T10:00:00Z"
    assert Template.parse(going).deleting


def test_defaults_are_those_of_the_design() -> None:
    spec = vm().spec
    assert (spec.power_state, spec.stop_mode) == (PowerState.ON, StopMode.TRY_SOFT)
    assert spec.stop_timeout.timedelta.total_seconds() == 120
    assert spec.root_disk.size is None
    assert spec.placement.host_tags == []


def condition(**fields: Any) -> Condition:
    defaults = {"type": "Ready", "status": "True", "reason": "Running", "last_transition_time": "2026-11-20T10:00:00Z"}
    return Condition(**(defaults | fields))


@pytest.mark.parametrize("reason", ["", "not ready", "9Lives", "A-b", "A" * 1025])
def test_a_reason_is_one_word_for_programs(reason: str) -> None:
    with pytest.raises(ValidationError):
        condition(reason=reason)


@pytest.mark.parametrize("status", ["true", "Maybe", "", None, True])
def test_a_condition_has_one_of_three_states(status: Any) -> None:
    with pytest.raises(ValidationError):
        condition(status=status)


@pytest.mark.parametrize("length", [0, 1, 32767, 32768, 32769, 10**6])
def test_a_hypervisor_s_long_message_is_cut_to_what_the_server_takes(length: int) -> None:
    job = Job(id="i", command="StopVirtualMachine", status=JobState.FAILED, result_text="ü" * length)
    assert job.result_text is not None
    assert len(job.result_text) == min(length, 32768)
    assert job.result_text.endswith("…") == (length > 32768)


def test_kinds_are_named_once() -> None:
    """Names and short names are how people address the kinds; two kinds must not share one."""
    said = [name for kind in KINDS for name in (kind.DEFINITION.plural, kind.KIND.lower(), *kind.DEFINITION.short_names)]
    assert len(said) == len(set(said))
    for kind in KINDS:
        assert kind.__name__ == kind.KIND
        assert kind.__module__ == f"crds.v1alpha1.{kind.KIND.lower()}"
        assert {"spec", "status"} <= set(get_type_hints(kind))
        assert len(kind.DEFINITION.selectable) <= 8
