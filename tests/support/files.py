"""A real HTTP server for downloads that behaves as badly as it is told to."""

import hashlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 14


@dataclass
class Served:
    """One path of the server, and how it is served. What a list holds is used up, one entry by each request; then all goes well."""

    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    ranges: bool = True
    """Whether Range is honoured."""
    if_range: bool = True
    """Whether If-Range is honoured; if not, a range of another version is served without a word."""
    length: int | None = -1
    """Content-Length: -1 the true one, None none at all (the end of the connection ends the body)."""
    statuses: list[int] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    """Bytes of a body after which the connection is reset."""
    stalls: list[int] = field(default_factory=list)
    """Bytes of a body after which nothing more comes, while the connection stays."""
    drip: float = 0.0
    """Seconds between single bytes."""
    location: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None
    """What the body waits for."""


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    authorization: str = ""

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


def etag(body: bytes) -> str:
    """A strong entity tag for these bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:16]}"'


class FileServer:
    """Serves `files` by path without its query; `asked` is every request so far."""

    def __init__(self) -> None:
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def serve(self, path: str, served: Served) -> str:
        """Serve this at `path`; returns its URL."""
        self.files[path] = served
        return self.url + path


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A running server on loopback."""
    server = FileServer()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append(Asked(self.path, headers, headers.get("authorization", "")))
            _Answer(server, self, server.files.get(path), headers).send()

    return Handler


class _Answer:
    """One answer."""

    def __init__(self, server: FileServer, handler: BaseHTTPRequestHandler, served: Served | None, headers: dict[str, str]) -> None:
        self.server = server
        self.handler = handler
        self.served = served or Served(statuses=[404])
        self.headers = headers

    def send(self) -> None:
        served = self.served
        status = served.statuses.pop(0) if served.statuses else 302 if served.location else 200
        start = self.start() if status == 200 else 0
        if status != 200:
            self.begin(status, 0, {"Location": served.location} if served.location else {})
        elif start > len(served.body) or (start and start == len(served.body)):
            self.begin(416, 0, {"Content-Range": f"bytes */{len(served.body)}"})
        else:
            size = len(served.body)
            partial = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
            self.begin(206 if start else 200, size - start if served.length == -1 else served.length, partial)
            self.body(start)

    def start(self) -> int:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        if not wanted or not self.served.ranges:
            return 0
        condition = self.headers.get("if-range")
        if condition and self.served.if_range and condition not in (self.served.etag, self.served.last_modified):
            return 0
        return int(wanted[1])

    def begin(self, status: int, length: int | None, more: dict[str, str]) -> None:
        handler, served = self.handler, self.served
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        for name, value in {"ETag": served.etag, "Last-Modified": served.last_modified, **served.headers, **more}.items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()

    def body(self, start: int) -> None:
        served = self.served
        if served.gate is not None:
            served.gate.wait(300)
        reset = served.resets.pop(0) if served.resets else None
        stall = served.stalls.pop(0) if served.stalls else None
        ends = [each for each in (reset, stall) if each is not None]
        data = memoryview(served.body)[start:][: min(ends, default=len(served.body))]
        step = 1 if served.drip else BLOCK
        for at in range(0, len(data), step):
            if self.server.closing.wait(served.drip) if served.drip else self.server.closing.is_set():
                return
            try:
                self.handler.wfile.write(data[at : at + step])
            except OSError:
                return
        if stall is not None:
            self.server.closing.wait()
        if reset is not None:
            self.reset()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        connection = self.handler.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        connection.close()
