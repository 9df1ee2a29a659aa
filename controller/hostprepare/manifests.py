"""The objects that belong to a prepared host, as YAML. Pure."""

from __future__ import annotations

import base64
from typing import Any

import yaml

from certificates import Pair
from controller.hostprepare.login import Login
from controller.hostprepare.wanted import Wanted

_VERSION = "vireo.dev/v1alpha1"


def host(wanted: Wanted) -> str:
    """The Host and a StoragePool on its own disk."""
    reference = {"secretRef": {"namespace": wanted.namespace, "name": wanted.secret}}
    pool = {"zone": wanted.zone, "scope": "Host", "host": wanted.name, "type": "Directory", "path": wanted.pool_path}
    return _yaml(
        _object("Host", wanted.name, {"cluster": wanted.cluster, "endpoint": {"url": wanted.url, "credentials": reference}}),
        _object("StoragePool", f"{wanted.name}-local", pool),
    )


def secret(wanted: Wanted, client: Pair, authority: Pair, login: Login | None) -> str:
    """The controller's certificate and key, and the authority of the hosts: the keys of a kubernetes.io/tls Secret.

    With a login also its key, as in a kubernetes.io/ssh-auth Secret, and the known hosts.
    """
    data = {"ca.crt": authority.certificate, "tls.crt": client.certificate, "tls.key": client.key}
    if login is not None:
        data |= {"ssh-privatekey": login.key, "known_hosts": login.known_hosts.encode()}
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": wanted.namespace, "name": wanted.secret},
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
    )


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _yaml(*objects: dict[str, Any]) -> str:
    return "---\n".join(yaml.safe_dump(each, sort_keys=False) for each in objects)
