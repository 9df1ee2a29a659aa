"""The rights that the demo needs in somebody's cluster, and that it asks for before it changes anything."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from standalone import rbac
from standalone.demo import rights
from standalone.demo.rights import Right
from standalone.errors import StandaloneError
from tests.unit.demo.fake import FakeKubectl


def answered(tmp_path: Path, *refused: Right) -> FakeKubectl:
    return FakeKubectl(tmp_path, {"create": (0, "".join(f"{str(each not in refused).lower()}\n" for each in rights.needed()))})


def asked(fake: FakeKubectl) -> list[dict[str, Any]]:
    ((words, stdin),) = fake.calls
    assert words[:4] == ["create", "--validate=ignore", "-f", "-"]
    return [each["spec"]["resourceAttributes"] for each in json.loads(stdin)["items"]]


def test_each_right_is_asked_for_once_in_one_call(tmp_path: Path) -> None:
    fake = answered(tmp_path)
    rights.check(fake.kubectl)
    found = [Right(each["verb"], each["group"], each["resource"]) for each in asked(fake)]
    assert found == rights.needed()
    assert len(set(found)) == len(found)


def test_in_all_namespaces(tmp_path: Path) -> None:
    fake = answered(tmp_path)
    rights.check(fake.kubectl)
    assert not any("namespace" in each for each in asked(fake))


def test_missing_rights_are_named(tmp_path: Path) -> None:
    fake = answered(tmp_path, Right("delete", "", "namespaces"), Right("patch", "events.k8s.io", "events"))
    with pytest.raises(StandaloneError) as caught:
        rights.check(fake.kubectl)
    named = "delete namespaces, patch events.events.k8s.io"
    assert str(caught.value) == (f"the demo lacks rights in the cluster of KUBECONFIG: {named} (all it needs: {rights.MANIFEST})")


def test_many_missing_rights_are_counted(tmp_path: Path) -> None:
    fake = answered(tmp_path, *rights.needed())
    with pytest.raises(StandaloneError, match=rf"customresourcedefinitions.* and {len(rights.needed()) - rights.SHOWN} more \("):
        rights.check(fake.kubectl)


def test_a_cluster_that_does_not_say(tmp_path: Path) -> None:
    fake = FakeKubectl(tmp_path, {"create": (1, "Forbidden: no reviews")})
    with pytest.raises(StandaloneError, match="cannot ask the cluster for rights: "):
        rights.check(fake.kubectl)


def test_it_covers_all_that_the_controller_may_do() -> None:
    """The demo's controller runs with the same kubeconfig."""
    (role,) = (each for each in rbac.manifests() if each["kind"] == "ClusterRole")
    controllers = {
        Right(verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert controllers <= set(rights.needed())


def test_the_manifest_can_be_applied() -> None:
    manifest = yaml.safe_load(rights.MANIFEST.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("rbac.authorization.k8s.io/v1", "ClusterRole")
