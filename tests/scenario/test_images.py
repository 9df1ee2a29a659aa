"""Downloads by processes that are killed at any moment: the next one goes on, and nothing is made twice or left behind."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.files import FileServer, Served, etag, file_server

MI = 1 << 20
BODY = random.Random(11).randbytes(12 * MI)
CHECKSUM = f"sha256:{hashlib.sha256(BODY).hexdigest()}"

WORKER = """
import asyncio, json, sys
from pathlib import Path
from controller.images import ImageCache, Limits, Source, http_client

async def main(directory, url, checksum):
    limits = Limits(free_bytes=0)
    async with http_client(limits) as client:
        image = await ImageCache(Path(directory), client, limits).download(Source.parse(url, "RAW", checksum))
    print(json.dumps({"path": image.file.path, "checksum": image.checksum}))

asyncio.run(main(*sys.argv[1:]))
"""


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, "waited for minutes"
        time.sleep(0.005)


class Workers:
    """Processes that download the one source into the one directory."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        self.started: list[subprocess.Popen[str]] = []

    def start(self, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, str(self.directory), self.url, CHECKSUM]
        pipe = subprocess.PIPE
        worker = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **environment})
        self.started.append(worker)
        return worker

    @property
    def downloaded(self) -> int:
        with suppress(FileNotFoundError, StopIteration):
            return next((self.directory / "partial").glob("*.part")).stat().st_size
        return 0

    def kill(self, worker: subprocess.Popen[str]) -> None:
        worker.send_signal(signal.SIGKILL)
        worker.communicate()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def workers(tmp_path: Path, server: FileServer) -> Iterator[Workers]:
    made = Workers(tmp_path / "cache", server.serve("/x", Served(BODY, etag=etag(BODY))))
    yield made
    for worker in made.started:
        if worker.poll() is None:
            made.kill(worker)


def state(pid: str) -> str:
    """The state of a process, as proc(5) has it; X if it is gone."""
    with suppress(OSError):  # it may go between any two looks
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    return "X"


def finished(worker: subprocess.Popen[str]) -> dict[str, str]:
    output, errors = worker.communicate(timeout=200)
    assert worker.returncode == 0, errors
    said: dict[str, str] = json.loads(output)
    return said


def check(workers: Workers, said: dict[str, str]) -> None:
    """The image holds what was served, and only the image is there."""
    raw = workers.directory / "check.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", said["path"], raw], check=True)
    assert raw.read_bytes() == BODY
    assert said["checksum"] == CHECKSUM
    for part in ("partial", "locks"):
        assert list((workers.directory / part).iterdir()) == []
    assert len(list((workers.directory / "images").iterdir())) == 2


def test_a_download_survives_any_number_of_kills(workers: Workers, server: FileServer) -> None:
    """The server stops sending at each point, so that the process is surely in the middle when it is killed."""
    points = [1 * MI, 2 * MI, 4 * MI]
    server.files["/x"].stalls = list(points)
    for number, _ in enumerate(points):
        before = workers.downloaded
        worker = workers.start()
        wait_for(lambda before=before: workers.downloaded > before)  # type: ignore[misc]
        wait_for(lambda number=number: len(server.asked) == number + 1)  # type: ignore[misc]
        workers.kill(worker)
    kept = workers.downloaded
    assert kept > 0
    check(workers, finished(workers.start()))
    assert server.asked[-1].range == f"bytes={kept}-", "it went on where the last one was killed"


def test_a_kill_at_random_moments_changes_nothing(workers: Workers) -> None:
    delays = random.Random(5)
    for _ in range(6):
        worker = workers.start()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(delays.uniform(0.2, 0.8))
        workers.kill(worker)
    check(workers, finished(workers.start()))


def test_a_conversion_dies_with_its_process(workers: Workers, tmp_path: Path) -> None:
    """What runs on after kill -9 would write into the next try's file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    real = shutil.which("qemu-img")
    script = f'#!/bin/sh\n[ "$1" = convert ] || exec {real} "$@"\necho $$ > {tmp_path}/pid\nexec sleep 600\n'
    (tools / "qemu-img").write_text(script)
    (tools / "qemu-img").chmod(0o755)
    worker = workers.start(PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    pid = tmp_path / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()))
    workers.kill(worker)
    wait_for(lambda: state(pid.read_text().strip()) in "ZX")
    check(workers, finished(workers.start()))


def test_processes_at_once_download_once(workers: Workers, server: FileServer) -> None:
    started = [workers.start() for _ in range(3)]
    said = [finished(worker) for worker in started]
    assert all(each == said[0] for each in said)
    assert len(server.asked) == 1
    check(workers, said[0])


def test_a_killed_process_leaves_the_work_to_the_one_that_waits(workers: Workers, server: FileServer) -> None:
    server.files["/x"].stalls = [3 * MI]
    first = workers.start()
    wait_for(lambda: workers.downloaded >= 2 * MI)
    second = workers.start()
    workers.kill(first)
    check(workers, finished(second))
    assert len(server.asked) == 2
    assert server.asked[1].range.startswith("bytes=")
