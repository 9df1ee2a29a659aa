"""The Kubernetes cluster that the demo's objects live in: the demo's own control plane, or the one that KUBECONFIG names."""

import json
import re
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certificates.files import write_private
from standalone import build
from standalone.cache import Progress
from standalone.demo import rights
from standalone.demo.commands import Kubectl, Runner
from standalone.demo.layout import CRDS, Layout
from standalone.demo.manifests import Key, key
from standalone.demo.record import OWN_CLUSTER
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane

LEASE_NAMESPACE = "vireo-system"
LABEL = "vireo.dev/demo"
"""Marks namespaces and CRDs that the demo made, and may therefore remove."""

OLDEST = (1, 31)
"""Kubernetes' minor version that the CRDs need: selectable fields."""

SERVED_SECONDS = 120.0
"""From when a CRD is established until its objects can be asked for; usually none."""

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Cluster:
    """A cluster that answers. `kubeconfig` is the person's, `controller_kubeconfig` the controller's."""

    name: str
    kubectl: Kubectl
    kubeconfig: Path
    controller_kubeconfig: Path

    @property
    def own(self) -> bool:
        """Whether it is the demo's own control plane."""
        return self.name == OWN_CLUSTER


def foreign_kubeconfig(environ: Mapping[str, str], layout: Layout) -> str | None:
    """What KUBECONFIG says, unless it is unset, empty, or names the demo's own control plane, as `source env` leaves it."""
    said = environ.get("KUBECONFIG", "")
    return said if said and said != str(ControlPlane(layout.plane).kubeconfig) else None


def start_own(layout: Layout, runner: Runner, progress: Progress) -> Cluster:
    """Have the demo's own control plane running. Raises StandaloneError."""
    plane = ControlPlane(layout.plane)
    plane.start(progress)
    return Cluster(OWN_CLUSTER, Kubectl(runner, plane.kubectl()), plane.kubeconfig, plane.controller_kubeconfig)


def read_kubeconfig(runner: Runner, said: str, progress: Progress) -> str:
    """The current context of the kubeconfig files that `said` names, as JSON that holds all it refers to.

    Raises StandaloneError if there is none.
    """
    view = [*kubectl_command(progress), "config", "view", "--raw", "--flatten", "--minify", "-o", "json"]
    return runner.need(f"use KUBECONFIG={said}", ["env", f"KUBECONFIG={said}", *view])


def server(kubeconfig: str) -> str:
    """The URL of the API server in what `read_kubeconfig` gave. Raises StandaloneError if there is none."""
    clusters = json.loads(kubeconfig).get("clusters") or [{}]
    url: str = clusters[0].get("cluster", {}).get("server", "")
    if not url:
        raise StandaloneError("the kubeconfig that KUBECONFIG names has no cluster in its current context")
    return url


def join(layout: Layout, runner: Runner, kubeconfig: str, progress: Progress) -> Cluster:
    """Use a cluster that is not the demo's own, and keep its kubeconfig for the time of the demo.

    Raises StandaloneError, in a sentence, if it does not answer, is too old, lacks rights or has something else of our names.
    """
    candidate = layout.cluster_kubeconfig.with_suffix(".candidate")
    write_private(candidate, kubeconfig.encode())
    url = server(kubeconfig)
    progress(f"looking at {url}")
    check(_foreign(layout, candidate, url, runner, progress).kubectl)
    candidate.replace(layout.cluster_kubeconfig)
    return joined(layout, runner, progress)


def joined(layout: Layout, runner: Runner, progress: Progress) -> Cluster:
    """The cluster that an earlier `join` kept the kubeconfig of. Raises StandaloneError if that is damaged."""
    url = server(layout.cluster_kubeconfig.read_text())
    return _foreign(layout, layout.cluster_kubeconfig, url, runner, progress)


def check(kubectl: Kubectl) -> None:
    """Raise StandaloneError if the cluster can't be used."""
    check_version(kubectl("reach the cluster of KUBECONFIG", "version", "-o", "json"))
    rights.check(kubectl)
    check_names(kubectl)


def running(layout: Layout, runner: Runner) -> Cluster:
    """The cluster of the demo that runs, as an earlier run of `up` left it. Raises StandaloneError if there is none."""
    if layout.cluster_kubeconfig.exists():
        return joined(layout, runner, lambda _: None)
    plane = ControlPlane(layout.plane)
    if not plane.running():
        raise StandaloneError("the demo does not run: start it with `make demo`")
    return Cluster(OWN_CLUSTER, Kubectl(runner, plane.kubectl()), plane.kubeconfig, plane.controller_kubeconfig)


def kubectl_command(progress: Progress) -> list[str]:
    """The machine's kubectl, else the one that is part of the standalone control plane."""
    found = shutil.which("kubectl")
    return [found] if found else [str(build.ensure(progress)), "kubectl"]


def check_version(text: str) -> None:
    """Raise StandaloneError if what `kubectl version` says shows a server that is too old."""
    server = json.loads(text).get("serverVersion", {})
    major, minor = (int(re.match(r"\d*", server.get(part, ""))[0] or 0) for part in ("major", "minor"))  # type: ignore[index]
    if (major, minor) < OLDEST:
        found = server.get("gitVersion", "an unknown version of Kubernetes")
        raise StandaloneError(f"the cluster of KUBECONFIG runs {found}; Vireo needs {OLDEST[0]}.{OLDEST[1]} or newer")


def check_names(kubectl: Kubectl) -> None:
    """Raise StandaloneError if a namespace of the demo's names is there that the demo did not make."""
    found = kubectl.objects("look for namespaces", "namespaces", LEASE_NAMESPACE, "demo")
    if taken := [each["metadata"]["name"] for each in found if LABEL not in each["metadata"].get("labels", {})]:
        raise StandaloneError(
            f"the cluster of KUBECONFIG has a namespace {taken[0]} that is not the demo's: use another cluster, or unset KUBECONFIG"
        )


def install(kubectl: Kubectl) -> None:
    """Have the CRDs and the Lease's namespace in the cluster. Raises StandaloneError."""
    there = _names(kubectl, "-f", str(CRDS))
    kubectl("install the CRDs", "apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    names = _names(kubectl, "-f", str(CRDS))
    if new := sorted(names - there):
        kubectl("mark the CRDs", "label", "--overwrite", *new, f"{LABEL}=true")
    kubectl("install the CRDs", "wait", "--for=condition=Established", "--timeout=60s", *sorted(names))
    _await_served(kubectl, sorted(name.partition("/")[2] for name in names))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE, "labels": {LABEL: "true"}}}
    kubectl(f"make namespace {LEASE_NAMESPACE}", "apply", "--server-side", "-f", "-", stdin=json.dumps(namespace))


def _await_served(kubectl: Kubectl, kinds: Collection[str]) -> None:
    """Wait until kubectl finds the kinds: a server calls a CRD established some time before clients can find what it defines."""
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            kubectl("use the CRDs", "get", ",".join(kinds), "--all-namespaces", "-o", "name")
        except StandaloneError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def leave(kubectl: Kubectl, applied: Collection[Key]) -> None:
    """Remove what the demo put into a cluster that is not its own, when its controller and its hosts are gone.

    Nobody is left to carry out the finalizers, nor anything to carry them out on: they are taken away.
    """
    crds = _ours(kubectl, "customresourcedefinitions")
    namespaces = _ours(kubectl, "namespaces")
    for verb in (["delete", "--wait=false"], ["patch", "--type=merge", '--patch={"metadata":{"finalizers":null}}']):
        if left := [each for each in _vireo_objects(kubectl) if crds or _of_demo(key(each), applied)]:
            kubectl(
                "remove the demo's objects", *verb, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": left})
            )
    for kind, names in (("namespaces", namespaces), ("customresourcedefinitions", crds)):
        if names:
            kubectl(f"remove the demo's {kind}", "delete", kind, *names, "--timeout=90s")


def _foreign(layout: Layout, kubeconfig: Path, url: str, runner: Runner, progress: Progress) -> Cluster:
    options = [f"--kubeconfig={kubeconfig}", f"--cache-dir={layout.kubectl_cache}", "--request-timeout=30s"]
    return Cluster(url, Kubectl(runner, [*kubectl_command(progress), *options]), kubeconfig, kubeconfig)


def _vireo_objects(kubectl: Kubectl) -> list[Mapping[str, Any]]:
    there = kubectl.objects("look for CRDs", "-f", str(CRDS))
    kinds = ",".join(each["metadata"]["name"] for each in there)
    return kubectl.objects("look for the demo's objects", kinds, "--all-namespaces") if kinds else []


def _of_demo(name: Key, applied: Collection[Key]) -> bool:
    return name in applied or name.namespace in {each.namespace for each in applied if each.namespace}


def _ours(kubectl: Kubectl, kind: str) -> list[str]:
    return [each["metadata"]["name"] for each in kubectl.objects(f"look for {kind}", kind, f"--selector={LABEL}")]


def _names(kubectl: Kubectl, *arguments: str) -> set[str]:
    found: list[Mapping[str, Any]] = kubectl.objects("look for CRDs", *arguments)
    return {f"customresourcedefinition.apiextensions.k8s.io/{each['metadata']['name']}" for each in found}
