"""What hypervisors and guests say is cut to what the API server takes: else the status could never be written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from controller.runtime.conditions import Conditions
from controller.runtime.store import Store
from controller.vm import report
from crds.status import Condition
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineStatus
from drivers.types import GuestInfo, ObservedVM

from .things import as_made, wanted

WEB = {
    "apiVersion": "vireo.dev/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "generation": 1},
    "spec": {"zone": "z", "offering": "small", "template": {"name": "debian"}},
}


def reported(seen: ObservedVM) -> VirtualMachineStatus:
    vm = VirtualMachine.model_validate(WEB)
    report.observed(vm, seen, Conditions(vm.status.conditions, cast("Any", Condition), 1, datetime.now(UTC)), Store())
    return vm.status


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
