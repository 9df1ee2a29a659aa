"""Which cluster the demo uses, whether it can, and that it takes away nothing but its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from standalone.demo import cluster
from standalone.demo.cluster import LABEL
from standalone.demo.commands import Runner
from standalone.demo.layout import CRDS, Layout
from standalone.demo.manifests import Key
from standalone.errors import StandaloneError
from tests.unit.demo.fake import FakeKubectl, named, objects

OURS = {"labels": {LABEL: "true"}}


def version(major: str, minor: str, git: str = "v1.x") -> dict[str, Any]:
    return {"clientVersion": {}, "serverVersion": {"major": major, "minor": minor, "gitVersion": git}}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"KUBECONFIG": ""}, None),
        ({"KUBECONFIG": "/d/plane/admin.kubeconfig"}, None),
        ({"KUBECONFIG": "/srv/me/.kube/config"}, "/srv/me/.kube/config"),
        ({"KUBECONFIG": "/a:/b"}, "/a:/b"),
    ],
)
def test_which_cluster(environ: dict[str, str], expected: str | None) -> None:
    assert cluster.foreign_kubeconfig(environ, Layout(Path("/d"))) == expected


@pytest.mark.parametrize(("major", "minor"), [("1", "31"), ("1", "31+"), ("1", "40"), ("2", "0")])
def test_new_enough(major: str, minor: str) -> None:
    cluster.check_version(json.dumps(version(major, minor)))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (version("1", "30", "v1.30.9"), "v1.30.9"),
        (version("1", "30+", "v1.30.9-gke"), "v1.30.9-gke"),
        (version("0", "99", "v0.99"), "v0.99"),
        (version("", "", "v?"), "v?"),
        ({"clientVersion": {}}, "an unknown version of Kubernetes"),
    ],
)
def test_too_old(said: dict[str, Any], shown: str) -> None:
    with pytest.raises(StandaloneError) as caught:
        cluster.check_version(json.dumps(said))
    assert str(caught.value) == f"the cluster of KUBECONFIG runs {shown}; Vireo needs 1.31 or newer"


@pytest.mark.parametrize("text", ["{}", '{"clusters": null}', '{"clusters": []}', '{"clusters": [{"name": "a"}]}'])
def test_a_kubeconfig_without_a_cluster(text: str) -> None:
    with pytest.raises(StandaloneError, match="has no cluster in its current context"):
        cluster.server(text)


def test_server() -> None:
    assert cluster.server('{"clusters": [{"cluster": {"server": "https://c.example"}}]}') == "https://c.example"


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ([], None),
        ([named("Namespace", "demo", **OURS), named("Namespace", "vireo-system", **OURS)], None),
        ([named("Namespace", "demo", **OURS), named("Namespace", "vireo-system")], "vireo-system"),
        ([named("Namespace", "demo", labels={"team": "a"})], "demo"),
    ],
)
def test_namespaces_of_somebody_else(tmp_path: Path, found: list[dict[str, Any]], taken: str | None) -> None:
    fake = FakeKubectl(tmp_path, {"get namespaces": (0, objects(*found))})
    if taken is None:
        cluster.check_names(fake.kubectl)
        return
    with pytest.raises(StandaloneError, match=f"has a namespace {taken} that is not the demo's"):
        cluster.check_names(fake.kubectl)


def installed(*names: str) -> tuple[int, Any]:
    return 0, objects(*(named("CustomResourceDefinition", name) for name in names))


@pytest.mark.parametrize(("there", "marked"), [([], ["a.vireo.dev", "b.vireo.dev"]), (["a.vireo.dev"], ["b.vireo.dev"])])
def test_only_crds_that_the_demo_brought_are_marked(tmp_path: Path, there: list[str], marked: list[str]) -> None:
    """The first look finds `there`, the next ones all."""
    fake = FakeKubectl(tmp_path, {"": (0, "")})
    all_of_them = json.dumps(installed("a.vireo.dev", "b.vireo.dev")[1])
    fake.program.write_text(
        f"""#!/bin/sh
echo "$*" >> {tmp_path}/seen
case "$*" in
get*) if grep -q '^apply' {tmp_path}/seen; then echo '{all_of_them}'; else echo '{json.dumps(installed(*there)[1])}'; fi ;;
esac
"""
    )
    cluster.install(fake.kubectl)
    labels = [line for line in (tmp_path / "seen").read_text().splitlines() if line.startswith("label")]
    names = " ".join(f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in marked)
    assert labels == [f"label --overwrite {names} {LABEL}=true"]


def serving_after(tmp_path: Path, looks: int) -> tuple[FakeKubectl, Path]:
    """A server whose clients find what a CRD defines only when they look for so many times; and the looks."""
    fake, seen = FakeKubectl(tmp_path, {}), tmp_path / "seen"
    fake.program.write_text(
        f"""#!/bin/sh
case "$*" in
*a.vireo.dev*--all-namespaces*) echo "$*" >> {seen}
    [ $(wc -l < {seen}) -ge {looks} ] || {{ echo "error: the server doesn't have a resource type" >&2; exit 1; }} ;;
get*) echo '{json.dumps(installed("a.vireo.dev", "b.vireo.dev")[1])}' ;;
esac
"""
    )
    return fake, seen


def test_nothing_is_applied_before_the_kinds_can_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.01)
    fake, seen = serving_after(tmp_path, 3)
    cluster.install(fake.kubectl)
    assert seen.read_text().splitlines() == ["get a.vireo.dev,b.vireo.dev --all-namespaces -o name"] * 3


def test_kinds_that_are_never_found_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "SERVED_SECONDS", 0.0)
    fake, _ = serving_after(tmp_path, 1000)
    with pytest.raises(StandaloneError, match="cannot use the CRDs: the server doesn't have a resource type"):
        cluster.install(fake.kubectl)


def leave(tmp_path: Path, crds: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[tuple[list[str], str]]:
    """What kubectl was told when the demo left a cluster where it had applied Zone z and VM demo/v; no looking."""
    fake = FakeKubectl(
        tmp_path,
        {
            f"get -f {CRDS}": installed("zones.vireo.dev"),
            "get zones.vireo.dev": (0, objects(*found)),
            f"get customresourcedefinitions --selector={LABEL}": (0, objects(*crds)),
            f"get namespaces --selector={LABEL}": (0, objects(named("Namespace", "demo"))),
            "delete": (0, ""),
            "patch": (0, ""),
        },
    )
    cluster.leave(fake.kubectl, {Key("Zone", "", "z"), Key("VirtualMachine", "demo", "v")})
    return [call for call in fake.calls if call[0][0] != "get"]


FOUND = [
    named("Zone", "z"),
    named("Zone", "theirs"),
    named("VirtualMachine", "v", "demo"),
    named("VirtualMachine", "own", "demo"),
    named("VirtualMachine", "v", "theirs"),
]


def test_leaving_a_cluster_that_had_the_crds(tmp_path: Path) -> None:
    told = leave(tmp_path, [], FOUND)
    assert [words[:2] for words, _ in told] == [["delete", "--wait=false"], ["patch", "--type=merge"], ["delete", "namespaces"]]
    for _, stdin in told[:2]:
        gone = [(each["metadata"].get("namespace"), each["metadata"]["name"]) for each in json.loads(stdin)["items"]]
        assert gone == [(None, "z"), ("demo", "v"), ("demo", "own")], "what is in the demo's namespace is the demo's"


def test_leaving_a_cluster_that_got_the_crds_from_the_demo(tmp_path: Path) -> None:
    told = leave(tmp_path, [named("CustomResourceDefinition", "zones.vireo.dev")], FOUND)
    assert [words[:3] for words, _ in told[2:]] == [
        ["delete", "namespaces", "demo"],
        ["delete", "customresourcedefinitions", "zones.vireo.dev"],
    ]
    assert len(json.loads(told[0][1])["items"]) == len(FOUND)


def test_leaving_a_cluster_with_nothing_in_it(tmp_path: Path) -> None:
    assert [words[:2] for words, _ in leave(tmp_path, [], [])] == [["delete", "namespaces"]]


def test_no_demo_runs(tmp_path: Path) -> None:
    with pytest.raises(StandaloneError, match="the demo does not run: start it with `make demo`"):
        cluster.running(Layout(tmp_path / "demo"), Runner(tmp_path / "log"))
