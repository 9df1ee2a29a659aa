"""What hypervisors and guests say is cut to what the API server takes: else the status could never be written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from controller.ipam import snapshot_id
from controller.runtime.conditions import Conditions
from controller.runtime.store import Store
from controller.shared.lookups import register_all
from controller.vm import report
from crds.status import Condition
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineStatus
from drivers.types import GuestInfo, ObservedSnapshot, ObservedVM

from .things import as_made, wanted

WEB = {
    "apiVersion": "vireo.dev/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 1},
    "spec": {"zone": "z", "offering": "small", "template": {"name": "debian"}},
}


def reported(seen: ObservedVM, *others: dict[str, Any]) -> VirtualMachineStatus:
    """What is said of the VM beside these objects."""
    vm, store = VirtualMachine.model_validate(WEB), Store()
    register_all(store)
    for version, each in enumerate(others):
        store.upsert({**each, "metadata": {**each["metadata"], "resourceVersion": str(version)}})
    report.observed(vm, seen, Conditions(vm.status.conditions, cast("Any", Condition), 1, datetime.now(UTC)), store)
    return vm.status


def snapshot(uid: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": uid, "namespace": "shop", "uid": uid, "generation": 1}
    return {"apiVersion": "vireo.dev/v1alpha1", "kind": "Snapshot", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], "OrphanedSnapshots"),
        ([snapshot("u2", virtualMachine="web")], "AsDeclared"),
        ([snapshot("u3", virtualMachine="web")], "OrphanedSnapshots"),
        ([snapshot("u2", virtualMachine="web", includeMemory="sometimes")], "AsDeclared"),
    ],
    ids=["none", "one", "another", "one that does not fit its model"],
)
def test_a_snapshot_is_declared_by_its_object_alone(others: list[dict[str, Any]], reason: str) -> None:
    """Also by one that was written for another version of Vireo: else somebody deletes what is needed."""
    taken = ObservedSnapshot(snapshot_id("u2"), None, False, 0.0)
    status = reported(replace(as_made(wanted()), snapshots=(taken,)), *others)
    assert [each.reason for each in status.conditions if each.type == "InSync"] == [reason]


@pytest.mark.parametrize("length", [1, 255, 256, 100_000])
def test_whatever_is_said_fits_the_schema(length: int) -> None:
    text = "x" * length
    disks = tuple(replace(disk, volume_id=text) for disk in as_made(wanted()).disks)
    seen = replace(as_made(wanted()), name=text, disks=disks, guest=GuestInfo(True, text, (text, "10.0.0.5") * 50))
    status = reported(seen)
    assert VirtualMachineStatus.model_validate(status.model_dump(by_alias=True, exclude_none=True)) == status
    assert status.hypervisor_name is not None
    assert text.startswith(status.hypervisor_name)
    assert status.guest is not None
    assert "10.0.0.5" in status.guest.addresses
