"""The few requests that starting a control plane needs, over TLS verified against its own authority alone."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from standalone.errors import StandaloneError
from standalone.ports import LOOPBACK

_SECONDS = 60.0
_READY_SECONDS = 10.0  # one that does not answer is taken for dead; on a busy machine an answer takes seconds


class Client:
    """The administrator's connection to the API server on `port`."""

    def __init__(self, port: int, authority: Path, token: str) -> None:
        self._base = f"https://{LOOPBACK}:{port}"
        self._context = ssl.create_default_context(cafile=str(authority))
        self._headers = {"Authorization": f"Bearer {token}"}

    def ready(self) -> bool:
        """Whether `/readyz` says ok: etcd answers, every start hook is done. False also if nobody listens."""
        try:
            reply = self._request("GET", "/readyz", timeout=_READY_SECONDS)
        except httpx.HTTPError:
            return False
        return reply.status_code == httpx.codes.OK and reply.text == "ok"

    def apply(self, path: str, manifest: Mapping[str, Any]) -> None:
        """Server-side apply `manifest` at the object's `path`. Raises StandaloneError if it is refused."""
        try:
            reply = self._request(
                "PATCH",
                f"{path}?fieldManager=vireo-standalone&force=true",
                content=json.dumps(manifest),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
        except httpx.HTTPError as error:
            raise StandaloneError(f"the API server at {self._base} doesn't answer: {type(error).__name__}") from error
        if reply.is_error:
            raise StandaloneError(f"the API server refused {path}: {reply.status_code} {reply.text[:300]}")

    def _request(
        self, method: str, path: str, content: str | None = None, headers: Mapping[str, str] = {}, timeout: float = _SECONDS
    ) -> httpx.Response:
        # trust_env=False: a proxy from the environment has no business between two ports of this machine
        with httpx.Client(verify=self._context, trust_env=False, timeout=timeout) as client:
            return client.request(method, self._base + path, content=content, headers={**self._headers, **headers})
