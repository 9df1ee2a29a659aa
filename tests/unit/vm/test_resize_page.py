"""docs/how-to/resize.md: its patches are accepted, its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import PendingChange
from drivers.kvm.domain.memory import GROWTH, LEAST_WITH_ROOM
from drivers.kvm.domain.platform import CPU_STEP

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/resize.md").read_text()
FIRST = [
    document
    for path in sorted((ROOT / "examples/first-cloud").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text().replace("${SSH_KEY}", "ssh-ed25519 AAAA"))
    if document
]
PATCHES = re.findall(r"^kubectl -n demo patch vvm (\S+) --type merge -p (.+)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("name", "patch"), PATCHES)
def test_a_patch_is_accepted_by_a_vm_of_the_first_cloud(name: str, patch: str) -> None:
    [vm] = [each for each in FIRST if each["kind"] == "VirtualMachine" and each["metadata"]["name"] == name]
    [text] = shlex.split(patch.replace("$(date -u +%FT%TZ)", "2100-01-01T00:00:00Z"))
    changed = VirtualMachine.model_validate({**vm, "spec": {**vm["spec"], **yaml.safe_load(text)["spec"]}})
    assert changed.spec.offering in {each["metadata"]["name"] for each in FIRST if each["kind"] == "ServiceOffering"}
    assert changed.spec != VirtualMachine.model_validate(vm).spec


def test_both_patches_are_there() -> None:
    assert len(PATCHES) == 2


def test_what_is_shown_of_pending_changes_exists() -> None:
    [shown] = re.findall(r"jsonpath='\{range \.status\.pendingChanges\[\*\]\}(.+?)\{end\}'", PAGE)
    fields = set(re.findall(r"\{\.(\w+)\}", shown))
    assert fields == {"field", "current", "desired"}
    assert fields < {str(field.alias or name) for name, field in PendingChange.model_fields.items()}


def test_numbers_are_those_of_the_code() -> None:
    assert f"multiple of {CPU_STEP}" in PAGE
    assert (GROWTH, LEAST_WITH_ROOM) == (4, 1 << 30)
    assert "from 1 GiB on, up to four times" in PAGE
