"""Who gets into the control plane, and how far."""

import base64
import http.client
import json
import socket
import ssl
import stat
from pathlib import Path
from typing import Any

import pytest

from standalone import ports
from standalone.components import Layout
from standalone.plane import ControlPlane
from tests.e2e.test_standalone import eventually
from tests.kubectl import Kubectl


def chosen_ports(plane: ControlPlane) -> ports.Ports:
    found = ports.load(Layout(plane.directory).ports)
    assert found is not None
    return found


def get(port: int, context: ssl.SSLContext, token: str | None = None) -> int:
    """The HTTP status of GET /api."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
    try:
        connection.request("GET", "/api", headers={"Authorization": f"Bearer {token}"} if token else {})
        return connection.getresponse().status
    finally:
        connection.close()


def credentials(path: Path) -> tuple[ssl.SSLContext, str]:
    """What a client finds in a kubeconfig: the authority to verify with and the token."""
    content = json.loads(path.read_text())
    authority = base64.b64decode(content["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    return ssl.create_default_context(cadata=authority), content["users"][0]["user"]["token"]


def test_kubeconfigs_verify_the_server(plane: ControlPlane) -> None:
    for path in (plane.kubeconfig, plane.controller_kubeconfig):
        cluster = json.loads(path.read_text())["clusters"][0]["cluster"]
        assert set(cluster) == {"server", "certificate-authority-data"}, "nothing switches verification off"
        context, token = credentials(path)
        assert get(chosen_ports(plane).api, context, token) == 200


def test_server_is_not_trusted_by_anyone_else(plane: ControlPlane) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        get(chosen_ports(plane).api, ssl.create_default_context())


def test_host_name_is_verified(plane: ControlPlane) -> None:
    context, _ = credentials(plane.kubeconfig)
    address = ("127.0.0.1", chosen_ports(plane).api)
    with socket.create_connection(address) as plain, pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        context.wrap_socket(plain, server_hostname="elsewhere.example")


@pytest.mark.parametrize("token", [None, "", "wrong"])
def test_no_entry_without_a_token(plane: ControlPlane, token: str | None) -> None:
    context, _ = credentials(plane.kubeconfig)
    assert get(chosen_ports(plane).api, context, token) == 401


@pytest.mark.parametrize("port", ["etcd", "peer"])
def test_etcd_refuses_clients_without_a_certificate(plane: ControlPlane, port: str) -> None:
    """Anyone on the machine can connect to its port; Secrets must not be readable there."""
    context, _ = credentials(plane.kubeconfig)
    with pytest.raises((ssl.SSLError, ConnectionError)) as refused:
        get(getattr(chosen_ports(plane), port), context)
    assert "CERTIFICATE_REQUIRED" in str(refused.value).upper() or isinstance(refused.value, ConnectionError)


def test_files_are_the_owners_alone(plane: ControlPlane) -> None:
    layout = Layout(plane.directory)
    for directory in (plane.directory, layout.pki.directory, layout.log, layout.run, plane.directory / "etcd"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700, directory
    secret = [*plane.directory.glob("*.kubeconfig"), *layout.pki.directory.glob("*.key"), layout.tokens]
    assert len(secret) == 3 + 3 + 1
    for file in secret:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_no_token_in_any_log_or_command_line(plane: ControlPlane) -> None:
    tokens = [line.split(",")[0] for line in Layout(plane.directory).tokens.read_text().splitlines()]
    assert len(tokens) == len(set(tokens)) == 3
    assert all(len(token) >= 43 for token in tokens), "256 bits in base64"
    for process in plane.processes():
        visible = process.log_file.read_text() + Path(f"/proc/{process.pid()}/cmdline").read_text()
        assert not [token for token in tokens if token in visible], process.name


MAY = [
    "get virtualmachines.vireo.dev",
    "list hosts.vireo.dev",
    "watch zones.vireo.dev",
    "patch virtualmachines.vireo.dev",
    "patch virtualmachines.vireo.dev/status",
    "get secrets",
    "list namespaces",
    "watch namespaces",
    "create events.events.k8s.io",
    "patch events.events.k8s.io",
    "get leases.coordination.k8s.io",
    "create leases.coordination.k8s.io",
    "update leases.coordination.k8s.io",
]
MAY_NOT = [
    "create virtualmachines.vireo.dev",
    "delete virtualmachines.vireo.dev",
    "deletecollection virtualmachines.vireo.dev",
    "update virtualmachines.vireo.dev",
    "list secrets",
    "watch secrets",
    "create secrets",
    "update secrets",
    "delete secrets",
    "get configmaps",
    "get events",
    "create events",
    "delete events.events.k8s.io",
    "delete leases.coordination.k8s.io",
    "watch customresourcedefinitions.apiextensions.k8s.io",
    "create namespaces",
    "delete namespaces",
    "patch customresourcedefinitions.apiextensions.k8s.io",
    "create pods",
    "create serviceaccounts/token",
    "get clusterroles.rbac.authorization.k8s.io",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "escalate clusterroles.rbac.authorization.k8s.io",
    "impersonate users",
    "create validatingadmissionpolicies.admissionregistration.k8s.io",
]


@pytest.mark.parametrize(("question", "answer"), [(q, True) for q in MAY] + [(q, False) for q in MAY_NOT])
def test_rights_of_the_controller(controller_kubectl: Kubectl, question: str, answer: bool) -> None:
    verb, _, what = question.partition(" ")
    resource, _, subresource = what.partition("/")
    group = resource.partition(".")[2]
    attributes = {
        "verb": verb,
        "resource": resource.partition(".")[0],
        "group": group,
        "subresource": subresource,
        "namespace": "any",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    done = json.loads(controller_kubectl("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    assert done["status"]["allowed"] is answer


def test_the_controller_can_and_can_not(kubectl: Kubectl, controller_kubectl: Kubectl, namespace: str) -> None:
    """The same by deeds, for the rights that matter most."""
    kubectl("create", "secret", "generic", "credentials", "--from-literal=password=x", "-n", namespace)
    secret = controller_kubectl.json("get", "secret", "credentials", "-n", namespace)
    assert base64.b64decode(secret["data"]["password"]) == b"x"
    for forbidden in (
        ["delete", "secret", "credentials", "-n", namespace],
        ["get", "configmaps", "-n", namespace],
        ["create", "namespace", f"{namespace}-other"],
        ["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", "--user=vireo-controller"],
    ):
        done = controller_kubectl.run(*forbidden)
        assert (done.returncode, "forbidden" in done.stderr.lower()) == (1, True), forbidden


def configmap(name: str, namespace: str, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **metadata}}


def test_owner_references_are_collected(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(configmap("owner", namespace))
    uid = kubectl.json("get", "configmap", "owner", "-n", namespace)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    kubectl.apply(configmap("owned", namespace, ownerReferences=[reference]))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=300s")


def test_namespaces_end_and_service_accounts_appear(kubectl: Kubectl, unique: str) -> None:
    kubectl("create", "namespace", unique)
    kubectl("wait", "--for=create", "serviceaccount/default", "-n", unique, "--timeout=300s")
    kubectl("wait", "--for=create", "configmap/kube-root-ca.crt", "-n", unique, "--timeout=300s")
    assert kubectl("create", "token", "default", "-n", unique).count(".") == 2, "a signed token of three parts"
    kubectl("delete", "namespace", unique, "--timeout=300s")
    assert "NotFound" in kubectl.run("get", "namespace", unique).stderr


def test_validating_admission_policies_work(kubectl: Kubectl, namespace: str) -> None:
    api = "admissionregistration.k8s.io/v1"
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    policy = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": "object.metadata.name != 'bad'", "message": "not this name"}],
        },
    }
    binding = {
        "apiVersion": api,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": namespace},
        "spec": {"policyName": namespace, "validationActions": ["Deny"], "matchResources": here},
    }
    kubectl.apply(policy, binding)
    try:

        def refused() -> bool:
            done = kubectl.run("create", "configmap", "bad", "-n", namespace, "--dry-run=server")
            return done.returncode != 0 and "not this name" in done.stderr

        eventually(refused, "the policy is in force")
        kubectl("create", "configmap", "good", "-n", namespace, "--dry-run=server")
    finally:
        kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", namespace)


def test_user_data_of_the_machine_is_left_alone(plane: ControlPlane, kubectl: Kubectl) -> None:
    """kubectl's discovery cache goes below the control plane's directory, not into the user's home."""
    kubectl("api-resources")
    assert (plane.directory / "kubectl-cache").is_dir()
