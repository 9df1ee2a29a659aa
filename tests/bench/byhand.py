"""Guests of QEMU started by hand: the processes that a cloud started, with nothing around them.

The command line is libvirt's own, of a guest that Vireo started. Only what is that guest's, or libvirt's to hand over, is replaced:
names, sockets, file descriptors, and the writable disk, a fresh one over the same image.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.client import BenchError

AGENT = "org.qemu.guest_agent.0"
_DROPPED = {"-S", "-add-fd"}
_FLAGS = {"-S", "-no-user-config", "-nodefaults", "-no-shutdown", "-no-hpet", "-no-acpi"}
_DISK = re.compile(r"-root\.qcow2$")


@dataclass(frozen=True)
class Drawn:
    """A command line for a guest, the disk that it writes to, and the socket of its monitor (QMP)."""

    argv: list[str]
    disk: Path
    monitor: Path


def options(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """QEMU's options, each with its value; "" for those that have none."""
    words = iter(argv[1:])
    for word in words:
        yield word, "" if word in _FLAGS else next(words)


def draw(argv: Sequence[str], directory: Path, number: int) -> Drawn:
    """The command line of guest `number`, with all its own files in `directory`. Raises BenchError if it has no disk to replace."""
    stem = directory / f"guest-{number}"
    disk = stem.with_suffix(".qcow2")
    drawn, disks = [argv[0]], 0
    for name, value in options(argv):
        if name in _DROPPED or '"qom-type":"secret"' in value:
            continue
        disks += name == "-blockdev" and _is_disk(value)
        drawn += [name, *([_value(name, value, stem)] if value else [])]
    if disks != 1:
        raise BenchError(f"a command line with {disks} writable disks: {' '.join(argv)[:400]}")
    return Drawn(drawn, disk, stem.with_suffix(".monitor"))


def keep(argv: Sequence[str], directory: Path) -> list[str]:
    """The command line with copies in `directory` of the seeds that it names: they are gone with their VM."""
    kept = list(argv)
    for number, value in enumerate(argv):
        if value.startswith("{") and (path := Path(str(json.loads(value).get("filename", "")))).suffix == ".iso":
            kept[number] = json.dumps(json.loads(value) | {"filename": str(shutil.copy(path, directory))})
    return kept


def backing(argv: Sequence[str]) -> Path:
    """The image that a guest's disk is layered on. Raises BenchError if there is not one."""
    files = [Path(json.loads(value)["filename"]) for name, value in options(argv) if name == "-blockdev" and '"filename"' in value]
    images = [path for path in files if path.name.startswith("vireo-image-")]
    if len(images) != 1:
        raise BenchError(f"not one image: {[path.name for path in files]}")
    return images[0]


def _is_disk(value: str) -> bool:
    return bool(_DISK.search(str(json.loads(value).get("filename", ""))))


def _value(name: str, value: str, stem: Path) -> str:
    """The value of an option for the guest whose files begin with `stem`."""
    if name == "-name":
        return f"guest={stem.name}"
    if name == "-uuid":
        return str(uuid.uuid5(uuid.NAMESPACE_OID, str(stem)))
    if name == "-vnc":
        return f"vnc=unix:{stem}.vnc" + "".join(f",{part}" for part in value.split(",")[1:])
    if name == "-netdev":
        return f"user,id={_identity(value)}"
    if name == "-chardev":
        return _chardev(_identity(value), stem)
    if name == "-blockdev" and _is_disk(value):
        return json.dumps(json.loads(value) | {"filename": f"{stem}.qcow2"})
    return value


def _chardev(identity: str, stem: Path) -> str:
    """A monitor and an agent are sockets, a console is a file."""
    if "serial" in identity:
        return f"file,id={identity},path={stem}.console"
    kind = "monitor" if "monitor" in identity else "agent"
    return f"socket,id={identity},path={stem}.{kind},server=on,wait=off"


def _identity(value: str) -> str:
    found = json.loads(value)["id"] if value.startswith("{") else dict(part.partition("=")[::2] for part in value.split(","))["id"]
    return str(found)


@contextmanager
def running(drawn: Sequence[Drawn]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All of these guests at once; killed in the end."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for each in drawn:
            with each.monitor.with_suffix(".log").open("wb") as log:
                processes.append(subprocess.Popen(each.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        yield processes
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def ready(drawn: Sequence[Drawn], processes: Sequence[subprocess.Popen[bytes]], patience: float) -> list[float]:
    """When the agent of each guest opened its port, by `time.monotonic`. Raises BenchError if one takes more than `patience` s."""
    deadline = time.monotonic() + patience
    with ThreadPoolExecutor(len(drawn)) as threads:
        try:
            return list(threads.map(lambda each, process: _ready(each, process, deadline), drawn, processes))
        except BaseException:
            for process in processes:
                process.kill()  # else their threads are waited for until the deadline, whoever asked for an end
            raise


def _ready(drawn: Drawn, process: subprocess.Popen[bytes], deadline: float) -> float:
    with socket.socket(socket.AF_UNIX) as client:
        _connect(client, drawn, process, deadline)
        client.settimeout(max(1.0, deadline - time.monotonic()))
        stream = client.makefile("rwb")
        stream.write(b'{"execute": "qmp_capabilities"}\n')
        stream.flush()
        try:
            _await_port(stream)
        except (OSError, ValueError) as error:
            raise BenchError(f"{drawn.monitor.stem} has no agent: {error} {_last_words(drawn)}") from error
        return time.monotonic()


def _await_port(stream: Iterable[bytes]) -> None:
    """Raises ValueError at the end of the stream."""
    for line in stream:
        said: dict[str, Any] = json.loads(line)
        if said.get("event") == "VSERPORT_CHANGE" and said["data"]["open"]:
            return
    raise ValueError("QEMU has ended")


def _connect(client: socket.socket, drawn: Drawn, process: subprocess.Popen[bytes], deadline: float) -> None:
    while True:
        try:
            client.connect(str(drawn.monitor))
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{drawn.monitor.stem} has no monitor: {error} {_last_words(drawn)}") from error
            time.sleep(0.02)


def _last_words(drawn: Drawn) -> str:
    return drawn.monitor.with_suffix(".log").read_text(errors="replace")[-300:]
