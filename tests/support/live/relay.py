"""A relay before the simulator that records which process called what: the witness of what a controller did."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from drivers.simulator.methods import METHODS

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Called:
    """A call as it came in: when (monotonic), from which process, which method, and with which arguments."""

    at: float
    pid: int
    method: str
    arguments: str = field(default="", repr=False)

    @property
    def mutates(self) -> bool:
        return METHODS[self.method].mutates


class Relay:
    """Passes everything on between clients on this machine and the simulator at `url`."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("simulator://").rpartition(":")
        self._simulator = (host, int(port))
        self._loop = asyncio.new_event_loop()
        self.url = ""
        self.calls: list[Called] = []
        self._callers: set[int] = set()

    def changes(self, pid: int, since: float = 0.0) -> list[Called]:
        """What a process changed, or tried to, since then."""
        return [each for each in list(self.calls) if each.pid == pid and each.at >= since and each.mutates]

    def made(self, pid: int, since: float = 0.0) -> list[Called]:
        """The VMs that a process made, or tried to, since then."""
        return [each for each in self.changes(pid, since) if each.method == "compute.create"]

    @contextmanager
    def running(self) -> Iterator[Relay]:
        """Serve within the block."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(120)
        self.url = f"simulator://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(120)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(120)
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        pid = await asyncio.to_thread(process_at, *ends, tuple(self._callers))  # may take long where much runs
        if not pid:  # it has ended or hung up: nothing passes that nobody could be named for
            writer.close()
            return
        self._callers.add(pid)
        answers, requests = await asyncio.open_connection(*self._simulator)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_requests(pid, reader, requests))
                group.create_task(_pass(answers, writer))
        except (OSError, asyncio.IncompleteReadError, ExceptionGroup):
            pass  # either side has hung up
        finally:
            for end in (writer, requests):
                end.close()

    async def _pass_requests(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readexactly(_LENGTH.size)
            payload = await reader.readexactly(_LENGTH.unpack(head)[0])
            method, _, arguments = payload.partition(b" ")
            self.calls.append(Called(time.monotonic(), pid, method.decode(), arguments.decode(errors="replace")))
            writer.write(head + payload)
            await writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    raise ConnectionResetError("the simulator hung up")


def process_at(near: tuple[str, int], far: tuple[str, int], first: Iterable[int] = ()) -> int:
    """The process that holds the end `near` of a TCP connection to `far`; 0 if it is gone already. It is one of `first` mostly.

    The port alone would not tell: the kernel gives the same one to connections that go to different places.
    """
    wanted, lines = [_written(near), _written(far)], Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [f"socket:[{fields[9]}]" for fields in map(str.split, lines) if fields[1:3] == wanted and fields[9] != "0"]
    others = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    return next((pid for pid in chain(first, others) if ends and _holds(Path(f"/proc/{pid}/fd"), ends)), 0)


def _written(address: tuple[str, int]) -> str:
    """An IPv4 address and port as /proc/net/tcp has them."""
    return f"{int.from_bytes(socket.inet_aton(address[0]), sys.byteorder):08X}:{address[1]:04X}"


def _holds(directory: Path, ends: list[str]) -> bool:
    """Whether one of these sockets is among the open files of a process."""
    found = []
    with suppress(OSError):  # the process has ended
        for each in directory.iterdir():
            with suppress(OSError):  # the file was closed
                found.append(str(each.readlink()))
    return not set(found).isdisjoint(ends)
