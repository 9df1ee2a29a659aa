"""Serves a Service over TCP: real sockets, so that hangs, resets and lost replies are real."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from typing import Any

from drivers.errors import DriverError, InvalidSpec, Transient
from drivers.simulator.engine.datacentre import Scope
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.methods import METHODS, News, Problem, codec, problem_adapter
from drivers.simulator.service import Service

from .state import StateFile

__all__ = ["Listener"]

MAX_REQUEST = 16 * 1024 * 1024
MAX_WAIT = 300.0
"""Seconds that a wait for events may ask for."""

_LENGTH = struct.Struct(">I")
_log = logging.getLogger("vireo.simulator")


class _Silence(Exception):
    """The call is never answered."""


class _Cut(Exception):
    """The connection breaks instead of an answer."""


class Listener:
    """One server. `state` takes over every change before the reply is sent."""

    def __init__(self, service: Service, state: StateFile | None = None) -> None:
        self._service = service
        self._state = state
        self._waiting: dict[Scope, set[asyncio.Event]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for port 0. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=4096, limit=1 << 20)
        self._settle()
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        if self._timer is not None:
            self._timer.cancel()
        self._save()

    # Connections ---------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                if length > MAX_REQUEST:
                    raise _Cut
                writer.write(await self._answer(await reader.readexactly(length)))
                await writer.drain()
        except _Silence:
            await _until_closed(reader)
        except (_Cut, asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            # Cancelled means that the server stops; asyncio would log a cancelled task of a stream as a failure.
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\n")
        method, _, session = head.decode(errors="replace").partition(" ")
        try:
            if method not in METHODS:
                raise InvalidSpec(f"no method {method[:50]!r}", native_code="SIM_PROTOCOL")
            result = await self._call(session, method, codec(method).read_params(body))
            reply = b"ok\n" + codec(method).write_result(result)
        except DriverError as error:
            reply = b"error\n" + problem_adapter().dump_json(Problem.of(error))
        except (_Silence, _Cut):
            raise
        except Exception as error:
            # The text of an error may hold what the caller sent, so only its kind is logged.
            _log.error("%s failed inside the simulator: %s", method, type(error).__name__)
            reply = b"error\n" + problem_adapter().dump_json(Problem.of(Transient("the simulator failed inside")))
        finally:
            self._settle()
        return _LENGTH.pack(len(reply)) + reply

    async def _call(self, session: str, method: str, args: tuple[Any, ...]) -> Any:
        service = self._service
        service.advance()
        if service.unreachable(session, method, args):
            raise _Silence
        faults = service.strike(method, args)
        delay = sum(fault.seconds for fault in faults if fault.kind is FaultKind.DELAY)
        if delay:
            await asyncio.sleep(delay)
            service.advance()
        if any(fault.kind is FaultKind.HANG for fault in faults):
            raise _Silence
        result = service.execute(session, method, args, faults)
        if method == "events.wait" and not (result.events or result.lost):
            result = await self._wait(session, args)
        if any(fault.kind is FaultKind.LOSE_REPLY for fault in faults):
            raise _Cut
        return result

    async def _wait(self, session: str, args: tuple[Any, ...]) -> News:
        """Wait for something new within the session's scope, then tell it."""
        scope = self._service.scope(session)
        bell = asyncio.Event()
        self._waiting.setdefault(scope, set()).add(bell)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bell.wait(), min(args[2], MAX_WAIT))
        finally:
            self._waiting[scope].discard(bell)
            if not self._waiting[scope]:
                del self._waiting[scope]
        if self._service.unreachable(session, "events.wait", args):
            raise _Silence
        news: News = self._service.execute(session, "events.wait", args, [])
        return news

    # After each call -----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Save what changed, wake who waits for it, and set the timer for what comes next."""
        self._save()
        touched = self._service.dc.changes.touched
        if touched:
            for scope in (None, *touched):
                for bell in self._waiting.get(scope, ()):
                    bell.set()
            touched.clear()
        self._arm()

    def _save(self) -> None:
        if self._state is not None:
            self._state.save(self._service.dc)
        self._service.dc.dirty.clear()

    def _arm(self) -> None:
        due = self._service.dc.timers.next_due()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            delay = max(0.0, due - self._service.clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._service.advance()
        self._settle()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass
