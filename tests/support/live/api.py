"""The API server as the administrator, without a kubectl process for each request."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import yaml

from crds.v1alpha1 import KINDS

Manifest = dict[str, Any]
NAMESPACE = "shop"
_PLURALS = {kind.KIND: kind.DEFINITION.plural for kind in KINDS}
_GLOBAL = {kind.KIND for kind in KINDS if kind.DEFINITION.scope == "Cluster"}
_CORE = {"Namespace": "namespaces", "Secret": "secrets"}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
_PATCH = {"Content-Type": "application/merge-patch+json"}
_APPLY = {"Content-Type": "application/apply-patch+yaml"}
_PATIENCE = 240.0
"""Seconds for which a request is tried again,"""
_ANSWER = 60.0
"""and for which an answer is waited for."""
_PAUSE = 0.2
_PASSING = {
    httpx.codes.CONFLICT,  # others wrote between: the API server tries a patch five times
    httpx.codes.TOO_MANY_REQUESTS,
    httpx.codes.INTERNAL_SERVER_ERROR,
    httpx.codes.SERVICE_UNAVAILABLE,
    httpx.codes.GATEWAY_TIMEOUT,
}
"""Answers of a server that comes up or is busy."""


class Refused(AssertionError):
    """The API server refused a request; the text is its reason."""


class Api:
    """Requests by kind and name; namespaced objects live in `shop`."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._token = config["users"][0]["user"]["token"]
        self._server = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        self._client = self._connect(_ANSWER)
        self.closed = False

    def _connect(self, timeout: float | None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.Client(base_url=self._server, verify=self._context, headers=headers, timeout=timeout, trust_env=False)

    def path(self, kind: str, name: str = "") -> str:
        """Path of an object, or of all objects of a kind."""
        base = "/api/v1" if kind in _CORE else "/apis/vireo.dev/v1alpha1"
        place = "" if kind in _GLOBAL or kind == "Namespace" else f"/namespaces/{NAMESPACE}"
        plural = _CORE.get(kind) or _PLURALS[kind]
        return f"{base}{place}/{plural}" + (f"/{name}" if name else "")

    def apply(self, *manifests: Manifest) -> None:
        """Server-side apply, unknown fields refused. Raises Refused."""
        for manifest in manifests:
            path = self.path(manifest["kind"], manifest["metadata"]["name"])
            parameters = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
            self._do("PATCH", path, params=parameters, headers=_APPLY, content=json.dumps(manifest))

    def get(self, kind: str, name: str) -> Manifest | None:
        """An object, None if there is none."""
        reply = self._tried("GET", self.path(kind, name))
        if reply.status_code == httpx.codes.NOT_FOUND:
            return None
        found: Manifest = self._checked(reply)
        return found

    def served(self, kind: str) -> bool:
        """Whether there is a way to objects of a kind: the API server makes it some time after it has established the kind."""
        return self._tried("GET", self.path(kind), params={"limit": "1"}).status_code != httpx.codes.NOT_FOUND

    def list(self, kind: str) -> list[Manifest]:
        """All objects of a kind, in the namespace `shop` if it has namespaces."""
        items: list[Manifest] = self._do("GET", self.path(kind))["items"]
        return items

    def patch(self, kind: str, name: str, change: Manifest, *, status: bool = False) -> None:
        """Merge-patch an object, or its status. Raises Refused."""
        self._do("PATCH", self.path(kind, name) + ("/status" if status else ""), headers=_PATCH, content=json.dumps(change))

    def delete(self, kind: str, name: str) -> None:
        """Ask for an object's deletion; one that is gone is no error."""
        reply = self._tried("DELETE", self.path(kind, name))
        if reply.status_code != httpx.codes.NOT_FOUND:
            self._checked(reply)

    def wipe_status(self) -> int:
        """Take the status of every object away, as a restore of etcd without it does; returns how many there were."""
        wiped = 0
        for kind in _PLURALS:
            for found in self.list(kind):
                self.patch(kind, found["metadata"]["name"], {"status": None}, status=True)
                wiped += 1
        return wiped

    def watch(self, kind: str, since: str) -> Iterator[Manifest]:
        """Events of a kind after resource version `since`, until the server ends the stream or the caller stops."""
        with self._connect(None) as client, client.stream("GET", self.path(kind), params=_watching(since)) as stream:
            if stream.status_code in _PASSING:
                time.sleep(_PAUSE)
                return
            for line in stream.iter_lines():
                yield json.loads(line)

    def apply_definition(self, manifest: Manifest) -> None:
        """Apply a CustomResourceDefinition."""
        parameters = {"fieldManager": "tests", "force": "true"}
        self._do(
            "PATCH", _DEFINITIONS + manifest["metadata"]["name"], params=parameters, headers=_APPLY, content=json.dumps(manifest)
        )

    def established(self, name: str) -> bool:
        """Whether the API server serves a CustomResourceDefinition."""
        conditions = self._do("GET", _DEFINITIONS + name).get("status", {}).get("conditions") or []  # null at first
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    def lease(self, name: str) -> str:
        """Who holds the controller's Lease, "" if nobody does."""
        return str(self._lease(name)["spec"].get("holderIdentity") or "")

    def lease_version(self, name: str) -> str:
        """The resource version of the controller's Lease, which each renewal changes."""
        return str(self._lease(name)["metadata"]["resourceVersion"])

    def _lease(self, name: str) -> Any:
        return self._do("GET", f"/apis/coordination.k8s.io/v1/namespaces/vireo-system/leases/{name}")

    def version(self, kind: str) -> str:
        """The resource version of a kind's list now."""
        return str(self._do("GET", self.path(kind), params={"limit": "1"})["metadata"]["resourceVersion"])

    def close(self) -> None:
        """End its connections."""
        self.closed = True
        self._client.close()

    def _do(self, method: str, path: str, **arguments: Any) -> Any:
        return self._checked(self._tried(method, path, **arguments))

    def _tried(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask again, for some minutes, a server that comes up or is busy: each request means the same the second time."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                reply = self._client.request(method, path, **arguments)
                if reply.status_code not in _PASSING or time.monotonic() > deadline:
                    return reply
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE)

    def _checked(self, reply: httpx.Response) -> Any:
        if reply.is_error:
            raise Refused(f"{reply.request.method} {reply.request.url.path}: {reply.status_code} {reply.text[:2000]}")
        return reply.json()


def _watching(since: str) -> dict[str, str]:
    return {"watch": "1", "resourceVersion": since, "timeoutSeconds": "3600"}
