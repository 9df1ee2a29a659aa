"""What a person sees through kubectl: columns, short names, selectors, explanations."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from crds.base import API_VERSION, Resource
from crds.v1alpha1 import (
    KINDS,
    Cluster,
    Host,
    Network,
    Pod,
    ServiceOffering,
    Snapshot,
    SnapshotRestore,
    StoragePool,
    Template,
    VirtualMachine,
    Volume,
    Zone,
)
from tests.crds.api import Api, Object
from tests.crds.conftest import Make
from tests.crds.samples import FULL, STATUS
from tests.crds.test_accepted import declared, schema_of, used
from tests.kubectl import FOUND_LIMIT, Kubectl

URL = "http://images.example.org/d.qcow2?x=1"

# what `kubectl get` and `kubectl get -o wide` show of the first full sample with its full status, without NAME and AGE
SHOWN: dict[type[Resource], tuple[dict[str, str], dict[str, str]]] = {
    Zone: (
        {"ALLOCATION": "Disabled", "HOSTS": "3", "UP": "2", "READY": "True"},
        {"PODS": "1", "CLUSTERS": "2", "VLANS": "100", "VLANS-USED": "7", "REASON": "Running"},
    ),
    Pod: (
        {"ZONE": "z", "ALLOCATION": "Disabled", "HOSTS": "3", "UP": "2", "READY": "True"},
        {"MANAGEMENT": "10.0.0.0/16", "CLUSTERS": "2", "REASON": "Running"},
    ),
    Cluster: (
        {"ZONE": "z", "POD": "p", "HYPERVISOR": "KVM", "HOSTS": "3", "UP": "2", "READY": "True"},
        {"ALLOCATION": "Disabled", "CPUS": "8", "MEMORY": "32Gi", "VMS": "1", "REASON": "Running"},
    ),
    Host: (
        {"CLUSTER": "c", "STATE": "Up", "RESOURCE": "Enabled", "READY": "True", "VMS": "1"},
        {
            "CPUS": "8",
            "MEMORY": "32Gi",
            "CPUS-USED": "2",
            "MEMORY-USED": "4Gi",
            "HYPERVISOR": "QEMU",
            "VERSION": "QEMU 7.2.22",
            "REASON": "Running",
        },
    ),
    StoragePool: (
        {"ZONE": "z", "SCOPE": "Cluster", "TYPE": "Directory", "STATE": "Up", "SIZE": "100Gi", "FREE": "60Gi", "READY": "True"},
        {
            "ALLOCATED": "80Gi",
            "CLUSTER": "c",
            "HOST": "",
            "HOSTS-MOUNTED": "2",
            "ORPHANS": "101",
            "REASON": "Running",
        },
    ),
    ServiceOffering: (
        {"CPUS": "2", "MEMORY": "2147483648", "READY": "True"},
        {"DISPLAY-NAME": "Small", "HOST-TAGS": '["ssd"]', "STORAGE-TAGS": '["fast"]'},
    ),
    Template: (
        {"STATE": "DownloadInProgress", "PROGRESS": "40", "SIZE": "2Gi", "READY": "True"},
        {"FORMAT": "VMDK", "FIRMWARE": "UEFI", "OS": "Debian 12", "URL": URL, "REASON": "Running"},
    ),
    Network: (
        {"ZONE": "z", "TYPE": "Shared", "STATE": "Implemented", "VLAN": "120", "CIDR": "10.1.0.0/24", "READY": "True"},
        {"ADDRESSES": "80", "ADDRESSES-USED": "3", "GATEWAY": "10.1.0.1", "REASON": "Running"},
    ),
    VirtualMachine: (
        {"STATE": "Running", "READY": "True", "HOST": "h1", "IP": "10.1.0.20"},
        {"OFFERING": "small", "TEMPLATE": "debian-12", "JOB": "DeployVirtualMachine", "REASON": "Running"},
    ),
    Volume: (
        {"STATE": "Ready", "READY": "True", "SIZE": "20Gi", "VM": "web-1", "POOL": "p1"},
        {"HOST": "kvm-1", "JOB": "DeployVirtualMachine", "REASON": "Running"},
    ),
    Snapshot: (
        {"STATE": "Ready", "READY": "True", "VM": "web-1", "VOLUME": ""},
        {
            "MEMORY": "true",
            "PARENT": "before-upgrade",
            "SIZE": "20Gi",
            "HOST": "h1",
            "JOB": "DeployVirtualMachine",
            "REASON": "Running",
        },
    ),
    SnapshotRestore: (
        {"STATE": "Completed", "READY": "True", "SNAPSHOT": "before-upgrade"},
        {"JOB": "DeployVirtualMachine", "REASON": "Running"},
    ),
}

SHORT = {
    Zone: "vzone",
    Pod: "vpod",
    Cluster: "vcluster",
    Host: "vhost",
    StoragePool: "vpool",
    ServiceOffering: "voffering",
    Template: "vtemplate",
    Network: "vnet",
    VirtualMachine: "vvm",
    Volume: "vvol",
    Snapshot: "vsnap",
    SnapshotRestore: "vrestore",
}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.KIND)
def kind(request: pytest.FixtureRequest) -> type[Resource]:
    """Each kind in turn."""
    value: type[Resource] = request.param
    return value


@pytest.fixture
def shown(api: Api, make: Make, kind: type[Resource]) -> Iterator[Object]:
    """The first full sample of the kind, stored with its full status."""
    created = api.create(kind, make(kind, FULL[kind][0])).object
    stored = api.update_status(kind, created | {"status": STATUS[kind]})
    assert stored.accepted, stored.object
    yield stored.object
    assert api.delete(kind, created).accepted


def place(manifest: Object) -> list[str]:
    """Arguments that select the object's namespace."""
    namespace = manifest["metadata"].get("namespace")
    return ["-n", namespace] if namespace else []


def table(text: str) -> dict[str, str]:
    """Header to value of the only row of a kubectl table, by the columns' positions."""
    header, row = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    ends = [*starts[1:], max(len(header), len(row))]
    return {header[a:b].strip(): row[a:b].strip() for a, b in zip(starts, ends, strict=True)}


def test_columns(kubectl: Kubectl, kind: type[Resource], shown: Object) -> None:
    narrow, wide = SHOWN[kind]
    name = shown["metadata"]["name"]
    brief = table(kubectl("get", SHORT[kind], name, *place(shown)))
    assert list(brief) == ["NAME", *narrow, "AGE"]
    assert brief | narrow | {"NAME": name} == brief
    full = table(kubectl("get", SHORT[kind], name, *place(shown), "-o", "wide"))
    assert list(full) == ["NAME", *narrow, "AGE", *wide]
    assert full | narrow | wide == full


def test_vms_of_all_namespaces(kubectl: Kubectl, api: Api, make: Make) -> None:
    """The command that people type most."""
    created = api.create(VirtualMachine, make(VirtualMachine, FULL[VirtualMachine][0])).object
    try:
        header, *rows = kubectl("get", "vvm", "-A").splitlines()
        assert header.split() == ["NAMESPACE", "NAME", "STATE", "READY", "HOST", "IP", "AGE"]
        assert [row.split()[:2] for row in rows if created["metadata"]["name"] in row] == [
            [created["metadata"]["namespace"], created["metadata"]["name"]]
        ]
    finally:
        assert api.delete(VirtualMachine, created).accepted


def test_the_category_lists_every_kind(kubectl: Kubectl, shown: Object) -> None:
    names = kubectl("get", "vireo", "-A", "-o", "name").split()
    plural = next(kind.DEFINITION.plural for kind in KINDS if shown["kind"] == kind.KIND)
    assert f"{plural[:-1]}.vireo.dev/{shown['metadata']['name']}" in names


def test_selectable_fields(kubectl: Kubectl, kind: type[Resource], shown: Object) -> None:
    """Each finds the object by its value, and not by another one."""
    for path in kind.DEFINITION.selectable:
        value: Any = shown
        for step in path[1:].split("."):
            value = value.get(step, "") if value != "" else value
        found = [f"{path[1:]}={value}", f"metadata.name={shown['metadata']['name']}"]
        plural = f"{kind.DEFINITION.plural}.vireo.dev"
        assert kubectl("get", plural, *place(shown), "-o", "name", f"--field-selector={','.join(found)}")
        lost = [f"{path[1:]}=nothing-like-it", *found[1:]]
        assert not kubectl("get", plural, *place(shown), "-o", "name", f"--field-selector={','.join(lost)}")


@pytest.fixture(scope="module")
def document(kubectl: Kubectl, crds: list[str]) -> Object:
    """The server's own OpenAPI document, which kubectl explain reads. It is made some time after a kind is served."""
    end = time.monotonic() + FOUND_LIMIT
    while True:
        done = kubectl.run("get", "--raw", f"/openapi/v3/apis/{API_VERSION}")
        found: Object = json.loads(done.stdout) if done.returncode == 0 else {}
        schemas = found.get("components", {}).get("schemas", {})
        if all(f"dev.vireo.v1alpha1.{kind.KIND}" in schemas for kind in KINDS):
            return found
        assert time.monotonic() < end, f"{done.stderr}; it has {sorted(schemas)}"
        time.sleep(0.1)


@pytest.mark.usefixtures("document")
def test_explain_lists_every_field_of_spec(kubectl: Kubectl, kind: type[Resource]) -> None:
    text = kubectl("explain", f"{kind.KIND.lower()}.spec", "--recursive", f"--api-version={API_VERSION}")
    listed = re.findall(r"^ +(\w+)\t<", text, re.MULTILINE)
    assert sorted(listed) == sorted(path.rpartition(".")[2] for path in declared(schema_of(kind, "spec"), "spec"))


@pytest.mark.usefixtures("document")
def test_explain_reads_like_documentation(kubectl: Kubectl) -> None:
    text = " ".join(kubectl("explain", "virtualmachine.spec.rootDisk").split())
    assert "Size, a quantity in bytes; grows only. Default: the template's virtual size." in text
    text = " ".join(kubectl("explain", "virtualmachine.spec").split())
    assert "enum: On, Off" in text
    assert "Time that the guest has to stop, a duration from 1s to 1h. Default 120s." in text
    assert "-required-" in text


def test_every_served_field_has_a_description(document: Object) -> None:
    for kind in KINDS:
        schema = document["components"]["schemas"][f"dev.vireo.v1alpha1.{kind.KIND}"]
        assert schema["description"]
        assert list(undescribed({part: schema["properties"][part] for part in ("spec", "status")}, kind.KIND)) == []


def undescribed(properties: Object, path: str) -> Iterator[str]:
    for name, field in properties.items():
        if len(field.get("description", "")) < 5:
            yield f"{path}.{name}"
        yield from undescribed(field.get("items", field).get("properties", {}), f"{path}.{name}")


UNION = {  # of each pair one has to be set
    "VirtualMachine.spec.userData.inline",
    "VirtualMachine.spec.userData.secretRef",
    "Volume.spec.source.snapshot",
    "Volume.spec.source.template",
    "Snapshot.spec.virtualMachine",
    "Snapshot.spec.volume",
}


def test_a_description_of_an_optional_field_says_what_holds_without_it() -> None:
    """Either a default, or with what other field it goes."""
    silent = []
    for kind in KINDS:
        for path, field in optional(schema_of(kind, "spec"), f"{kind.KIND}.spec"):
            if not re.search(r"[Dd]efault|\bonly\b|[Rr]equired for", field["description"]) and path not in UNION:
                silent.append(path)
    assert silent == []


def optional(schema: Object, path: str) -> Iterator[tuple[str, Object]]:
    for name, field in schema.get("properties", {}).items():
        if name not in schema.get("required", []):
            yield f"{path}.{name}", field
        yield from optional(field.get("items", field), f"{path}.{name}")


def test_samples_have_no_field_that_the_schema_lacks() -> None:
    """The other direction of test_the_samples_use_every_field; labels have any name."""
    for kind in KINDS:
        known = set(declared(schema_of(kind, "spec"), "spec"))
        for spec in FULL[kind]:
            assert {path for path in used(spec, "spec") if ".matchLabels." not in path} <= known
