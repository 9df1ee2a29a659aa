"""A relay between the driver and libvirtd that can lose a reply: the call takes effect, then the connection breaks.

It reads only the frames of libvirt's RPC (https://libvirt.org/kbase/internals/rpc.html): a length, then program, version,
procedure, type, serial and status, all 32-bit big-endian.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

CALL, REPLY = 0, 1
PROGRAM = 0x20008086

PROCEDURES: dict[str, tuple[set[int], int]] = {
    "create": ({350}, 0),
    "start": ({9}, 0),
    "stop": ({234}, 0),
    "apply": ({160, 161, 199, 350}, 0),
    "delete": ({231}, 0),
    "put_image": ({93}, 1),
    "create_volume": ({93}, 1),
    "grow_volume": ({260}, 0),
    "delete_volume": ({94}, 1),
    "snapshot_volume": ({93}, 0),
    "restore_volume": ({93}, 0),
    "delete_volume_snapshot": ({94}, 1),
    "create_snapshot": ({185}, 0),
    "restore": ({192}, 0),
    "delete_snapshot": ({193}, 0),
}
"""The procedures of libvirt of which one loses its reply for each call of the contract, and how many such get theirs before.

Defining, starting, destroying, attaching or detaching a device or setting CPUs or defining anew, undefining; making a volume, where
the last is the marker, resizing and deleting one; taking, going back to and deleting a snapshot.
"""


@dataclass
class Loss:
    """A reply to be lost; `serial` is known once the call was seen."""

    procedures: set[int]
    before: int
    serial: int | None = None


class LossyProxy:
    """Listens at `path` for the socket `target`."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._loss: Loss | None = None
        self.lost = 0
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, call: str) -> None:
        """Lose the reply to the next call of that kind."""
        self._loss = Loss(*PROCEDURES[call])

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._target))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (frame := _read_frame(source)) and not self._swallowed(frame):
                sink.sendall(frame)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _swallowed(self, frame: bytes) -> bool:
        program, _version, procedure, kind, serial, _status = struct.unpack_from(">6I", frame, 4)
        with self._lock:
            loss = self._loss
            if loss is None or program != PROGRAM or procedure not in loss.procedures:
                return False
            if kind == CALL and loss.serial is None:
                loss.before -= 1
                loss.serial = serial if loss.before < 0 else None
            elif kind == REPLY and serial == loss.serial:
                self._loss = None
                self.lost += 1
                return True
            return False


def _read_frame(source: socket.socket) -> bytes:
    head = _read(source, 4)
    return head + _read(source, struct.unpack(">I", head)[0] - 4) if head else b""


def _read(source: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = source.recv(length - len(content))
        if not part:
            return b""
        content += part
    return content
