"""Real images by the real qemu-img, a real HTTP server, and a cache in a directory of its own."""

import asyncio
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.images import ImageCache, Limits, http_client
from tests.support.files import FileServer, file_server

MI = 1 << 20
VIRTUAL_SIZE = 8 * MI


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One disk of 8 MiB with 2 MiB of content that no compression shrinks, in every format."""
    if not shutil.which("qemu-img"):
        pytest.fail("qemu-img is missing: install the Debian package qemu-utils")
    directory = tmp_path_factory.mktemp("pictures")
    raw = directory / "disk.raw"
    raw.write_bytes(random.Random(7).randbytes(2 * MI) + bytes(VIRTUAL_SIZE - 2 * MI))
    made = {"RAW": raw}
    for name, driver, *options in (
        ("QCOW2", "qcow2"),
        ("VMDK", "vmdk"),
        ("VMDK-stream", "vmdk", "-o", "subformat=streamOptimized"),
        ("VMDK-flat", "vmdk", "-o", "subformat=monolithicFlat"),
        ("VHD", "vpc", "-o", "force_size=on"),
        ("VHD-fixed", "vpc", "-o", "subformat=fixed,force_size=on"),
    ):
        made[name] = directory / f"disk-{name.lower()}"
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, raw, made[name]], check=True)
    return made


@pytest.fixture(scope="session")
def content(pictures: dict[str, Path]) -> bytes:
    """What every one of the images holds."""
    return pictures["RAW"].read_bytes()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def limits() -> Limits:
    """Small, but for the patience with a server: a busy machine is no stall."""
    return replace(Limits(), stall=60.0, free_bytes=0, max_bytes=64 * MI)


@pytest.fixture
def hasty(limits: Limits) -> Limits:
    """For a test that waits for a stall, and wants that to be soon."""
    return replace(limits, stall=3.0)


@pytest.fixture
async def client(limits: Limits) -> AsyncIterator[httpx.AsyncClient]:
    async with http_client(limits) as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path, client: httpx.AsyncClient, limits: Limits) -> ImageCache:
    return ImageCache(tmp_path / "cache", client, limits)


def qemu_img(*arguments: object) -> int:
    """Run the real qemu-img; returns its exit status."""
    return subprocess.run(["qemu-img", *map(str, arguments)], capture_output=True, check=False).returncode


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that a thread or a process does."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110  # nothing sets an event for us
            await asyncio.sleep(0.01)


def raw_content(path: str | Path) -> bytes:
    """What a guest would read from a qcow2 file, by the real qemu-img."""
    target = Path(path).with_suffix(".check")
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, target], check=True)
    try:
        return target.read_bytes()
    finally:
        target.unlink()


def left_over(directory: Path) -> list[str]:
    """Files of work that is not finished."""
    return sorted(path.name for part in ("partial", "locks") for path in (directory / part).iterdir())
