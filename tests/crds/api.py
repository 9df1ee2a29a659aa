"""The API server's own answers, with the causes that it lists: what kubectl shows only as text."""

import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from crds.base import GROUP, VERSION, Resource

Object = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """`object` is what the server stored (or would store), or its metav1.Status; `size` its length in bytes."""

    code: int
    object: Object
    size: int

    @property
    def accepted(self) -> bool:
        return self.code < 300

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Field and message of each reason of a refusal."""
        causes = self.object.get("details", {}).get("causes", [])
        return [(cause.get("field", ""), cause.get("message", "")) for cause in causes]


class Api:
    """The administrator's connection. Writes are strict unless said otherwise: an unknown field is refused."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._client = httpx.Client(
            base_url=cluster["server"],
            verify=ssl.create_default_context(cadata=authority),
            headers={"Authorization": f"Bearer {config['users'][0]['user']['token']}"},
            trust_env=False,
            timeout=120.0,
        )

    def close(self) -> None:
        self._client.close()

    def create(self, kind: type[Resource], manifest: Mapping[str, Any], *, keep: bool = True) -> Reply:
        """POST; with keep=False the server only says what it would do."""
        return self._write("POST", collection(kind, manifest), manifest, keep=keep)

    def try_at(self, path: str, manifest: Mapping[str, Any]) -> Reply:
        """POST to any collection; the server only says what it would do."""
        return self._write("POST", path, manifest, keep=False)

    def get(self, kind: type[Resource], manifest: Mapping[str, Any]) -> Reply:
        """GET the object as it is now."""
        return reply(self._client.get(item(kind, manifest)))

    def update(self, kind: type[Resource], manifest: Mapping[str, Any], *, keep: bool = True) -> Reply:
        """PUT the whole object over the stored one."""
        return self._write("PUT", item(kind, manifest), manifest, keep=keep)

    def update_status(self, kind: type[Resource], manifest: Mapping[str, Any], *, keep: bool = True) -> Reply:
        """PUT the status subresource."""
        return self._write("PUT", item(kind, manifest) + "/status", manifest, keep=keep)

    def merge(self, kind: type[Resource], manifest: Mapping[str, Any], patch: Mapping[str, Any]) -> Reply:
        """PATCH the object with a JSON merge patch."""
        return self._write("PATCH", item(kind, manifest), patch)

    def merge_status(
        self, kind: type[Resource], manifest: Mapping[str, Any], patch: Mapping[str, Any], *, strict: bool = True
    ) -> Reply:
        """PATCH the status subresource with a JSON merge patch."""
        return self._write("PATCH", item(kind, manifest) + "/status", patch, strict=strict)

    def delete(self, kind: type[Resource], manifest: Mapping[str, Any]) -> Reply:
        """DELETE the object."""
        return reply(self._client.delete(item(kind, manifest)))

    def _write(self, method: str, path: str, body: Mapping[str, Any], *, keep: bool = True, strict: bool = True) -> Reply:
        query = {"fieldValidation": "Strict" if strict else "Ignore"} | ({} if keep else {"dryRun": "All"})
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}"}
        content = json.dumps(body, ensure_ascii=False).encode()
        return reply(self._client.request(method, path, params=query, content=content, headers=headers))


def reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.json(), len(response.content))


def collection(kind: type[Resource], manifest: Mapping[str, Any]) -> str:
    """Path of the objects of that kind beside this one."""
    namespace = manifest["metadata"].get("namespace")
    middle = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{GROUP}/{VERSION}{middle}/{kind.DEFINITION.plural}"


def item(kind: type[Resource], manifest: Mapping[str, Any]) -> str:
    """Path of the object."""
    return f"{collection(kind, manifest)}/{manifest['metadata']['name']}"


def merged(base: Any, patch: Any) -> Any:
    """`base` with the JSON merge patch `patch` (RFC 7396): maps merge, None removes, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    kept = base if isinstance(base, dict) else {}
    result = {key: value for key, value in kept.items() if key not in patch}
    result |= {key: merged(kept.get(key), value) for key, value in patch.items() if value is not None}
    return result
