"""The manifests that the documentation shows are accepted and name each other."""

from __future__ import annotations

from pathlib import Path

import yaml

from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples/volumes"


def test_examples_are_accepted() -> None:
    volume = Volume.model_validate(yaml.safe_load((EXAMPLES / "10-volume.yaml").read_text()))
    machine = VirtualMachine.model_validate(yaml.safe_load((EXAMPLES / "20-vm.yaml").read_text()))
    assert [each.volume for each in machine.spec.volumes] == [volume.metadata.name]
    assert machine.metadata.namespace == volume.metadata.namespace


def test_what_they_refer_to_is_in_the_first_cloud() -> None:
    first = "".join(path.read_text() for path in sorted((ROOT / "examples/first-cloud").glob("*.yaml")))
    machine = VirtualMachine.model_validate(yaml.safe_load((EXAMPLES / "20-vm.yaml").read_text()))
    for name in (machine.spec.zone, machine.spec.offering, machine.spec.template.name, machine.spec.networks[0].network):
        assert f"name: {name}" in first


def test_every_manifest_is_named_in_the_guide() -> None:
    guide = (ROOT / "docs/how-to/volumes.md").read_text()
    assert all(f"examples/volumes/{path.name}" in guide for path in EXAMPLES.glob("*.yaml"))
