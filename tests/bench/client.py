"""An asyncio client of the API server with nothing between it and the wire, and a watch on VirtualMachines."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import yaml

_VMS = "/apis/vireo.dev/v1alpha1/namespaces/{}/virtualmachines"
_MERGE = {"Content-Type": "application/merge-patch+json"}
_HOURS = "36000"
_GATHER = 0.05  # seconds of news looked at together; when a thing happened is taken from the news itself
GONE = "Gone"


class BenchError(Exception):
    """The cloud didn't do what is to be measured."""


class Client:
    """Requests about VirtualMachines as the administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=128)
        self._server = cluster["server"]
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def create(self, manifest: Mapping[str, Any], namespace: str = "shop") -> Any:
        """POST a VM."""
        return await self._json("POST", _VMS.format(namespace), manifest)

    async def patch(self, name: str, change: Mapping[str, Any], namespace: str = "shop", part: str = "") -> Any:
        """Merge-patch a VM, or a part of it such as /status."""
        return await self._json("PATCH", f"{_VMS.format(namespace)}/{name}{part}", change, _MERGE)

    async def get(self, name: str) -> Any:
        """GET a VM."""
        return await self._json("GET", f"{_VMS.format('shop')}/{name}")

    async def delete(self, name: str) -> None:
        """Ask for a VM's deletion."""
        await self._json("DELETE", f"{_VMS.format('shop')}/{name}")

    async def delete_all(self, namespace: str) -> None:
        """Ask for the deletion of all VMs of a namespace."""
        await self._json("DELETE", _VMS.format(namespace))

    async def version(self) -> str:
        """Resource version now."""
        return str((await self._json("GET", _VMS.format("shop") + "?limit=1"))["metadata"]["resourceVersion"])

    async def metrics(self) -> str:
        """The API server's metrics page."""
        async with self._session.get(f"{self._server}/metrics") as reply:
            return await reply.text()

    def stream(self, version: str) -> Any:
        """A watch on all VMs of `shop` since a resource version: an async context manager of a response."""
        query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": _HOURS}
        return self._session.get(self._server + _VMS.format("shop"), params=query)

    async def _json(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        kind = headers or {"Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self._server + path, data=data, headers=kind) as reply:
            text = await reply.read()
            if reply.status >= 300:
                raise BenchError(f"{method} {path}: {reply.status} {text[:500].decode()}")
            return json.loads(text)


class Watch:
    """When VMs came to be in the state they are in: Running and Stopped count only when Ready, Gone when deleted."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[str, float]] = {}
        self.hosts: dict[str, str] = {}
        self._news = asyncio.Event()
        self._version = ""
        self._failure = ""

    async def run(self, client: Client, version: str) -> None:
        """Follow the VMs until cancelled, anew wherever the API server ends the stream; what goes wrong is raised by `until`."""
        self._version = version
        try:
            while True:
                await self._follow(client)
        except (BenchError, aiohttp.ClientError) as error:
            self._failure = f"the watch broke: {error}"
            self._news.set()

    async def _follow(self, client: Client) -> None:
        rest = b""
        async with client.stream(self._version) as reply:
            async for chunk in reply.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))

    async def until(self, happened: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something that only news can bring. Raises BenchError."""
        try:
            async with asyncio.timeout(seconds):
                while not happened():
                    self._news.clear()
                    await self._news.wait()
                    await asyncio.sleep(_GATHER)
                    if self._failure:
                        raise BenchError(self._failure)
        except TimeoutError:
            raise BenchError(f"not within {seconds:.0f} s: {what}") from None

    async def all(self, names: Collection[str], state: str, seconds: float) -> list[float]:
        """Wait until all these are in a state; return when each came to be."""
        await self.until(lambda: self.count(names, state) == len(names), f"{len(names)} VMs {state}", seconds)
        return [self.states[name][1] for name in names]

    def count(self, names: Collection[str], state: str) -> int:
        """How many of these are in a state."""
        return sum(self.states.get(name, ("",))[0] == state for name in names)

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
            raise BenchError(str(event))
        found = event["object"]
        self._version = found["metadata"]["resourceVersion"]
        name, state = found["metadata"]["name"], GONE if event["type"] == "DELETED" else state_of(found)
        host = found.get("status", {}).get("host", "")
        if self.hosts.get(name) != host:
            self.hosts[name] = host
            self._news.set()
        if self.states.get(name, ("",))[0] != state:
            self.states[name] = state, time.monotonic()
            self._news.set()


def state_of(found: Mapping[str, Any]) -> str:
    """The state of a VM that is Ready at its latest generation; otherwise nothing."""
    status = found.get("status", {})
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", ()))
    return str(status.get("state", "")) if ready and status.get("observedGeneration") == found["metadata"]["generation"] else ""
