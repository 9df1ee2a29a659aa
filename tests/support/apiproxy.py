"""A TLS proxy before an API server that makes it as unreliable as it is told to, and records what was asked of it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.ports import reserved

T = TypeVar("T")
_LIMIT = re.compile(r"\blimit=\d+")
_HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "content-encoding", "keep-alive"}
_LONGEST_LINE = 1 << 24


@dataclass
class Asked:
    """A request: when it came (monotonic), what it was, and the API server's answer (0: it has none, or never heard of it)."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    status: int = 0
    lease: tuple[str, str] | None = None
    """The Lease that it writes, and whom it names as its holder."""

    @property
    def watches(self) -> bool:
        return "watch" in self.query

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def about_lease(self) -> bool:
        return "/leases" in self.path

    @property
    def accepted(self) -> bool:
        """Whether the API server did it."""
        return 200 <= self.status < 400


def done(asked: Iterable[Asked]) -> list[Asked]:
    """What the API server did of it, but for the first Event.

    A controller writes its Events one after the other, so one may be on its way when it stands still. It tells of what was done
    before, and has no resourceVersion that could make it void.
    """
    accepted = [each for each in asked if each.accepted]
    event = next((each for each in accepted if "/events" in each.path), None)
    return [each for each in accepted if each is not event]


def everything(_: Asked) -> bool:
    """Means each request."""
    return True


@dataclass
class Fault:
    """What happens to the requests that it means, each with a probability. Times are seconds."""

    means: Callable[[Asked], bool] = everything
    probability: float = 1.0
    times: int = 1 << 30
    """After so many it is over."""
    delay: float = 0.0
    """Before anything else happens."""
    hang: bool = False
    """No answer ever comes."""
    status: int = 0
    """The proxy answers with this instead of the API server,"""
    retry_after: str = ""
    late: bool = False
    """or in its place, after it carried the request out."""
    cut: bool = False
    """The API server carries it out, and the connection breaks before the answer."""
    lasts: float | None = None
    """A watch ends after so long,"""
    error: int = 0
    """with an ERROR event of this code,"""
    broken: bool = False
    """or in the middle of the connection."""
    struck: int = field(default=0, init=False)

    def strike(self, asked: Asked, random: Random) -> bool:
        """Whether it happens to this request; counts that."""
        happens = self.struck < self.times and self.means(asked) and random.random() < self.probability
        self.struck += happens
        return happens


NOTHING = Fault()
"""What happens when nothing does."""


class ApiProxy:
    """One proxy; its methods are for the test's thread. `certificate` and `key` must be good for 127.0.0.1."""

    def __init__(self, kubeconfig: Path, certificate: Path, key: Path, directory: Path) -> None:
        self._config = json.loads(kubeconfig.read_text())
        self._server = self._config["clusters"][0]["cluster"]["server"]
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        self._authority = certificate.with_name("ca.crt")
        self._directory = directory
        self._random = Random(7)
        self._loop = asyncio.new_event_loop()
        self._faults: tuple[Fault, ...] = ()
        self._dark = False
        self._holder = reserved()
        self._site: web.TCPSite | None = None
        self._carried: set[asyncio.Task[web.Response]] = set()
        self.asked: list[Asked] = []
        self.struck = 0
        """Requests that something happened to."""
        self.page = 0
        """Lists have pages of so many; 0: as many as are asked for."""

    @property
    def kubeconfig(self) -> Path:
        """The way to the API server through this proxy."""
        return self._directory / "proxied.kubeconfig"

    def set(self, *faults: Fault) -> None:
        """Put faults in force, of which the first that strikes counts, and break what is open: they hold for watches too."""
        self._faults = faults
        self._call(self._abort())

    def refuse(self) -> None:
        """Break all connections and refuse new ones, as a server that is down."""
        self._call(self._close_door())

    def darken(self) -> None:
        """Let nothing through and say nothing, as a firewall; what is open now never hears from the server again."""
        self._dark = True

    def restore(self) -> None:
        """End every fault; new connections work."""
        self._faults, self._dark, self.page = (), False, 0
        self._call(self._open_door())

    def writes(self, since: float) -> list[Asked]:
        """What was to be written since then, the Lease apart. What the API server answers is noted, also if who asked has gone."""
        return [each for each in list(self.asked) if each.at >= since and each.writes and not each.about_lease]

    @contextmanager
    def running(self) -> Iterator[ApiProxy]:
        """Serve within the block."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        served = self._serve()
        try:
            self._call(served.__aenter__())
            try:
                yield self
            finally:
                self._call(served.__aexit__(None, None, None))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(120)
            self._loop.run_until_complete(_ended(asyncio.all_tasks(self._loop)))  # what the server cancels it does not wait for
            self._loop.close()
            self._holder.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)

    @asynccontextmanager
    async def _serve(self) -> Any:
        app = web.Application(client_max_size=_LONGEST_LINE)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(self._authority)), limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=_LONGEST_LINE) as self._upstream:
            await self._open_door()
            self._directory.mkdir(parents=True, exist_ok=True)
            self._config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self._port()}"
            self.kubeconfig.write_text(json.dumps(self._config))
            yield
            await self._abort()
            await self._runner.cleanup()
            await _ended(self._carried)

    def _port(self) -> int:
        """Its own whether the door is open or not."""
        chosen: int = self._holder.getsockname()[1]
        return chosen

    async def _open_door(self) -> None:
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self._port(), ssl_context=self._tls)
            await self._site.start()

    async def _close_door(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None
        await self._abort()

    async def _abort(self) -> None:
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(time.monotonic(), request.method, request.path, dict(request.query))
        self.asked.append(asked)
        fault = next((each for each in self._faults if each.strike(asked, self._random)), NOTHING)
        self.struck += fault is not NOTHING or self._dark
        await asyncio.sleep(fault.delay)
        if fault.hang or self._dark:
            await asyncio.Event().wait()
        if fault.status and not fault.late:
            return _answer(fault)
        try:
            return await self._forward(request, asked, fault)
        except (aiohttp.ClientError, OSError):  # either side has gone
            _break(request)
            return web.Response(status=502)

    async def _forward(self, request: web.Request, asked: Asked, fault: Fault) -> web.StreamResponse:
        path = _LIMIT.sub(f"limit={self.page}", request.raw_path) if self.page else request.raw_path
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        body, url = await request.read(), URL(self._server + path, encoded=True)
        if asked.about_lease and asked.method in ("POST", "PUT"):
            asked.lease = _lease(json.loads(body))
        ask = self._upstream.request(asked.method, url, headers=headers, data=body or None)
        if asked.watches:
            async with ask as reply:
                asked.status = reply.status
                return await self._stream(request, reply, fault) if reply.ok else await _copied(reply)
        answer = await self._carry(asked, ask)
        if self._dark:
            await asyncio.Event().wait()
        if fault.cut:
            _break(request)
        return _answer(fault) if fault.status else answer

    async def _carry(self, asked: Asked, ask: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> web.Response:
        """What is asked reaches the API server, and its answer is noted, even if who asked goes away meanwhile."""

        async def carry() -> web.Response:
            async with ask as reply:
                answer = await _copied(reply)
                asked.status = reply.status
                return answer

        task = asyncio.ensure_future(carry())
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)
        return await asyncio.shield(task)

    async def _stream(self, request: web.Request, reply: aiohttp.ClientResponse, fault: Fault) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.lasts):
                async for line in reply.content:
                    if self._dark:
                        await asyncio.Event().wait()
                    await response.write(line)
        if fault.broken:
            _break(request)
        if fault.error:
            await response.write(json.dumps({"type": "ERROR", "object": _status(fault.error)}).encode() + b"\n")
        return response


async def _ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """None of these is left: one that is under way when its loop closes would fail in whichever test comes next."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _copied(reply: aiohttp.ClientResponse) -> web.Response:
    kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP}
    return web.Response(status=reply.status, body=await reply.read(), headers=kept)


def _lease(manifest: dict[str, Any]) -> tuple[str, str]:
    return manifest["metadata"]["name"], manifest["spec"]["holderIdentity"]


def _break(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _answer(fault: Fault) -> web.Response:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return web.json_response(_status(fault.status), status=fault.status, headers=headers)


def _status(code: int) -> dict[str, Any]:
    message = "as the test has it"
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code}


@contextmanager
def api_proxy(kubeconfig: Path, plane: Path, directory: Path) -> Iterator[ApiProxy]:
    """A proxy before the control plane in the directory `plane`, whose certificate it shows, being on the same address."""
    pki = plane / "pki"
    with ApiProxy(kubeconfig, pki / "apiserver.crt", pki / "apiserver.key", directory).running() as proxy:
        yield proxy
