"""The manifest that the documentation shows is accepted, and the page goes through it."""

from __future__ import annotations

from pathlib import Path

import yaml

from crds.v1alpha1.virtualmachine import AdoptMode, VirtualMachine
from drivers.simulator.engine.foreign import foreign_vm
from drivers.types import HostID, InstanceID

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples/adoption/10-legacy.yaml"
PAGE = (ROOT / "docs/how-to/adopt.md").read_text()


def test_the_example_is_accepted_and_changes_nothing() -> None:
    vm = VirtualMachine.model_validate(yaml.safe_load(EXAMPLE.read_text()))
    assert vm.spec.adopt is not None
    assert (vm.spec.adopt.mode, vm.spec.template, vm.spec.deletion_policy) == (AdoptMode.REPORT, None, None)


def test_the_page_names_the_example_and_makes_the_vm_that_it_is_about() -> None:
    vm = VirtualMachine.model_validate(yaml.safe_load(EXAMPLE.read_text()))
    assert f"examples/adoption/{EXAMPLE.name}" in PAGE
    assert vm.spec.adopt is not None
    instance, host = vm.spec.adopt.instance_id, vm.spec.placement.host
    _, _, text = PAGE.partition(f"foreign-vm {host}/{instance} \\\n")
    made = foreign_vm(HostID(str(host)), InstanceID(instance), text.strip().partition('"')[2].partition('"')[0])
    assert made.guest.addresses == ((next(iter(made.nics)), (vm.spec.networks[0].ip,)),)


def test_what_it_refers_to_is_in_the_first_cloud() -> None:
    first = "".join(path.read_text() for path in sorted((ROOT / "examples/first-cloud").glob("*.yaml")))
    vm = VirtualMachine.model_validate(yaml.safe_load(EXAMPLE.read_text()))
    for name in (vm.spec.zone, vm.spec.offering, vm.spec.networks[0].network):
        assert f"name: {name}" in first
