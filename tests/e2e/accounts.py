"""An account in a cluster with the rights that the demo says it needs, and no others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from standalone.demo import rights
from tests.kubectl import Kubectl

NAMESPACE = "default"
NAME = "vireo-demo-account"
SUBJECT = f"--serviceaccount={NAMESPACE}:{NAME}"


@contextmanager
def account(kubectl: Kubectl, kubeconfig: str) -> Iterator[str]:
    """A kubeconfig (JSON) like the one given, for that account; `kubectl` is an administrator's. The account goes afterwards."""
    ours = (("serviceaccount", NAME), ("clusterrole", "vireo-demo"), ("clusterrolebinding", NAME))
    kubectl("create", "--namespace", NAMESPACE, "serviceaccount", NAME)
    try:
        kubectl("create", "-f", str(rights.MANIFEST))
        kubectl("create", "clusterrolebinding", NAME, "--clusterrole=vireo-demo", SUBJECT)
        token = kubectl("create", "--namespace", NAMESPACE, "token", NAME, "--duration=2h").strip()
        access = json.loads(kubeconfig)
        access["users"][0]["user"] = {"token": token}
        yield json.dumps(access)
    finally:
        for kind, name in ours:
            kubectl("delete", "--namespace", NAMESPACE, kind, name, "--ignore-not-found")
