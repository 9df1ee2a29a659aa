"""The examples: variables, which apply where, and that they are what the API and the simulator expect."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crds.v1alpha1 import KINDS
from drivers.simulator.engine.clock import RealClock
from drivers.simulator.engine.settings import Settings
from drivers.simulator.service import Service
from standalone.demo import services
from standalone.demo.layout import EXAMPLES
from standalone.demo.manifests import Key, key, objects, render, write
from standalone.errors import StandaloneError

VARIABLES = {
    "SSH_KEY": "ssh-ed25519 AAAA demo",
    "SIMULATOR_URL": "simulator://127.0.0.1:1",
    "IMAGE_URL": "http://127.0.0.1:2/guest.qcow2",
    "IMAGE_CHECKSUM": "sha256:" + "0" * 64,
    "LIBVIRT_URL": "qemu+unix:///system?socket=/run/x",
    "LIBVIRT_POOL": "/var/lib/pool",
}
BOTH = pytest.mark.parametrize("libvirt", [True, False])


@functools.cache
def example_objects(libvirt: bool) -> list[Mapping[str, Any]]:
    return list(objects(render(EXAMPLES, VARIABLES, libvirt).values()))


def examples(libvirt: bool) -> list[Key]:
    return [key(each) for each in example_objects(libvirt)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "10-all.yaml").write_text('kind: A\nmetadata: {name: "${NAME}"}\n')
    (tmp_path / "20-kvm.yaml").write_text('kind: B\nmetadata: {name: b, namespace: "${PLACE}"}\n')
    (tmp_path / "notes.txt").write_text("${UNKNOWN}")
    return tmp_path


def test_render(directory: Path) -> None:
    texts = render(directory, {"NAME": "a", "PLACE": "p"}, libvirt=True)
    assert list(texts) == ["10-all.yaml", "20-kvm.yaml"]
    assert [key(each) for each in objects(texts.values())] == [Key("A", "", "a"), Key("B", "p", "b")]


def test_without_libvirt_its_variables_need_not_be_known(directory: Path) -> None:
    assert list(render(directory, {"NAME": "a"}, libvirt=False)) == ["10-all.yaml"]
    with pytest.raises(StandaloneError, match="a variable that the demo does not know: 'PLACE'"):
        render(directory, {"NAME": "a"}, libvirt=True)


@pytest.mark.parametrize("text", ["cost: $ 5", "${not a name}", "${"])
def test_a_stray_dollar_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(StandaloneError, match="has a variable that the demo does not know"):
        render(tmp_path, {}, libvirt=True)


@pytest.fixture(scope="module")
def one_variable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("quoted")
    (directory / "a.yaml").write_text('before: 1\npath: "${PATH}"\nafter: 2\n')
    return directory


@given(value=st.text())
def test_any_value_arrives_unchanged_in_quotes(one_variable: Path, value: str) -> None:
    """A path may hold anything, and must not become YAML of its own."""
    text = render(one_variable, {"PATH": value}, libvirt=True)["a.yaml"]
    assert yaml.safe_load(text) == {"before": 1, "path": value, "after": 2}


def test_write_leaves_exactly_these_files(tmp_path: Path) -> None:
    target = tmp_path / "manifests"
    write(target, {"a.yaml": "1", "b.yaml": "2"})
    write(target, {"b.yaml": "3", "c.yaml": "4"})
    assert {path.name: path.read_text() for path in target.iterdir()} == {"b.yaml": "3", "c.yaml": "4"}


def test_objects_of_a_list_one_by_one() -> None:
    text = (
        "kind: List\nitems: [{kind: A, metadata: {name: a}}, {kind: A, metadata: {name: b}}]\n---\nkind: C\nmetadata: {name: c}\n"
    )
    assert [key(each).name for each in objects([text])] == ["a", "b", "c"]


@BOTH
def test_the_examples_are_what_the_api_takes(libvirt: bool) -> None:
    models = {kind.KIND: kind for kind in KINDS}
    for each in example_objects(libvirt):
        if each["kind"] != "Namespace":
            model = models[each["kind"]]
            parsed = model.model_validate(each, strict=False)
            assert parsed.metadata.name == key(each).name
            assert ("namespace" in each["metadata"]) == (model.DEFINITION.scope == "Namespaced")


@BOTH
def test_the_examples_refer_to_nothing_that_is_not_there(libvirt: bool) -> None:
    there = set(examples(libvirt))
    for each in example_objects(libvirt):
        spec, namespace = each.get("spec", {}), each["metadata"].get("namespace", "")
        wanted = [Key(kind, "", spec[field]) for field, kind in CLUSTER_SCOPED.items() if field in spec]
        wanted += [Key("Template", namespace, spec["template"]["name"])] if "template" in spec else []
        wanted += [Key("Network", namespace, nic["network"]) for nic in spec.get("networks", ())]
        wanted += [Key("Cluster", "", spec["placement"]["cluster"])] if "placement" in spec else []
        wanted += [Key("Namespace", "", namespace)] if namespace else []
        assert set(wanted) <= there, f"{key(each)}"


CLUSTER_SCOPED = {"zone": "Zone", "pod": "Pod", "cluster": "Cluster", "host": "Host", "offering": "ServiceOffering"}


@BOTH
def test_names_are_unique(libvirt: bool) -> None:
    found = examples(libvirt)
    assert len(found) == len(set(found))


def test_only_the_libvirt_part_is_left_out() -> None:
    missing = set(examples(True)) - set(examples(False))
    assert missing == {
        Key("Cluster", "", "kvm"),
        Key("Host", "", "kvm-1"),
        Key("StoragePool", "", "kvm-1-local"),
        Key("VirtualMachine", "demo", "web-1"),
    }


def test_each_simulated_host_is_declared_once() -> None:
    simulated = Service(Settings(hosts=services.HOSTS), RealClock()).dc.hosts
    assert sorted(each.name for each in examples(False) if each.kind == "Host") == sorted(simulated)
