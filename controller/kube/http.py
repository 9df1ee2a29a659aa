"""Requests of the API server: JSON in, JSON out, failures as the runtime's ApiErrors.

The client library carries out the request (credentials and their renewal, TLS, proxy, connections).  Its generated classes are
passed over: they turn each object into Python models, which costs milliseconds and memory and which nobody here needs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from pydantic_core import from_json

from controller.kube.metrics import ApiMetrics
from controller.runtime.ports import ApiError, Conflict, Gone, Rejected, Throttled, Unavailable

_TIMEOUT = 30.0
_MANAGER = "vireo"  # who is noted as the writer of a field
_CONNECTIONS = 16  # each keeps a buffer of 256 KiB
_LONGEST_MESSAGE = 500
_PAUSE = 1.0  # seconds, where the server says "later" and not when
_LONGEST_PAUSE = 60.0


class Http:
    """One connection pool to one API server."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: ApiMetrics,
        connections: int = _CONNECTIONS,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        """Needs a running event loop; of more requests at once than `connections`, the later ones wait.

        `fence` raises what it likes when a write that has its turn must not be sent any more.
        """
        self._client = ApiClient(configuration)
        self._client.user_agent = _MANAGER
        self._metrics = metrics
        self._fence = fence
        # aiohttp's own limit lets whoever just finished go again before those who wait
        self._turns = asyncio.Semaphore(connections)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def get(
        self,
        path: str,
        values: Mapping[str, str] | None = None,
        *,
        query: Sequence[tuple[str, str]] = (),
        accept: str = "application/json",
    ) -> Any:
        """GET `path`, whose {placeholders} are filled from `values`, and return the JSON.  Raises ApiError."""
        return await self._request("GET", path, values, query=query, headers={"Accept": accept})

    async def merge_patch(self, path: str, values: Mapping[str, str], patch: Mapping[str, Any]) -> Any:
        """PATCH with a JSON merge patch and return the new object.  Raises ApiError."""
        headers = {"Accept": "application/json", "Content-Type": "application/merge-patch+json"}
        return await self._request("PATCH", path, values, body=patch, headers=headers)

    async def post(self, path: str, values: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        """POST an object and return it as created.  Raises ApiError."""
        return await self._send("POST", path, values, body)

    async def put(self, path: str, values: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        """PUT an object and return it as stored.  Raises ApiError."""
        return await self._send("PUT", path, values, body)

    async def _send(self, method: str, path: str, values: Mapping[str, str], body: Mapping[str, Any]) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        return await self._request(method, path, values, body=body, headers=headers)

    async def _request(
        self,
        method: str,
        path: str,
        values: Mapping[str, str] | None,
        *,
        headers: dict[str, str],
        body: Mapping[str, Any] | None = None,
        query: Sequence[tuple[str, str]] = (),
    ) -> Any:
        started = time.monotonic()
        code = "<error>"
        try:
            # the body is JSON already: the client would go through it and copy every value
            _, url, sent, _, _ = await self._client.param_serialize(
                method,
                path,
                path_params=dict(values or {}),
                query_params=[*query, *_noted(method)],
                header_params=headers,
                auth_settings=["BearerToken"],
            )
            async with self._turns:
                if method != "GET":
                    self._fence()
                response = await self._client.call_api(method, url, sent, body, _request_timeout=_TIMEOUT)
                code = str(response.status)
                data = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}: {error}") from error
        finally:
            self._metrics.requests.labels(code, method).inc()
            self._metrics.seconds.labels(method).observe(time.monotonic() - started)
        return _content(method, path, response.status, response.headers, data)


def _noted(method: str) -> list[tuple[str, str]]:
    return [] if method == "GET" else [("fieldManager", _MANAGER)]


def _content(method: str, path: str, status: int, headers: Mapping[str, str], data: bytes) -> Any:
    """Return the JSON of a good answer; raise what a bad one means."""
    try:
        content = from_json(data, cache_strings="keys")
    except ValueError as error:
        content = None
        if 200 <= status < 300:
            raise Unavailable(f"{method} {path}: the answer is not JSON") from error
    if 200 <= status < 300:
        return content
    raise failure(status, content, headers, f"{method} {path}")


def failure(status: int, content: Any, headers: Mapping[str, str], what: str) -> ApiError:
    """Return the ApiError for an HTTP status and the metav1.Status that came with it."""
    details = content if isinstance(content, dict) else {}
    text = f"{what}: {status} {str(details.get('message', ''))[:_LONGEST_MESSAGE]}"
    if status in (409, 410):
        return Conflict(text)
    if status == 404 or (status == 403 and _namespace_goes(details)):
        return Gone(text)
    if status == 429 or (status == 503 and "Retry-After" in headers):
        return Throttled(text, _pause(headers.get("Retry-After")))
    if status >= 500 or status in (401, 408):  # 401: credentials are renewed, or will be
        return Unavailable(text)
    return Rejected(text)


def _namespace_goes(status: Mapping[str, Any]) -> bool:
    """Whether something was to be created in a namespace that is being deleted (admission plugin NamespaceLifecycle)."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = causes if isinstance(causes, list) else []
    return any(isinstance(cause, dict) and cause.get("reason") == "NamespaceTerminating" for cause in found)


def _pause(retry_after: str | None) -> float:
    try:
        return min(max(float(retry_after or _PAUSE), 0.0), _LONGEST_PAUSE)
    except ValueError:
        return _PAUSE
