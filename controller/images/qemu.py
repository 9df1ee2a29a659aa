"""qemu-img under limits: read what an image declares, check it, convert it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.images.errors import ImageError, Reason
from controller.images.source import ImageFormat

__all__ = ["OutputTooLarge", "check", "convert", "virtual_size"]

_ADDRESS_SPACE: Final = 1 << 30
"""Bytes of address space for qemu-img; with _CPU_SECONDS the limits that OpenStack Nova uses for untrusted images."""

_CONVERT_ADDRESS_SPACE: Final = 4 << 30
"""For converting: up to 64 threads, each with a stack and buffers of 2 MiB; 1 GiB failed now and then on a busy machine."""

_CPU_SECONDS: Final = 30
_CHECK_CPU_SECONDS: Final = 600
_OUTPUT_LIMIT: Final = 1 << 20
_SHOWN: Final = 200
_CORRUPT: Final = 2
_NOT_FOUND: Final = 127
_PROGRESS: Final = re.compile(rb"\((\d+)\.\d+/100%\)")

Output = Callable[[bytes], None]


class OutputTooLarge(Exception):
    """The converted image does not fit into the bytes it was allowed."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a process ended, with the beginning of what it said."""

    code: int
    output: bytes
    errors: str


async def virtual_size(path: Path, image_format: ImageFormat) -> int:
    """Size in bytes of the disk that the image declares. Raises ImageError if it refers to another file or can't be read."""
    ended = await _qemu_img(["info", "--output=json", "-f", image_format.qemu, str(path)], _limits(_CPU_SECONDS))
    if ended.code:
        raise ImageError(Reason.NOT_AN_IMAGE, f"the image can't be opened as {image_format}: {_tidy(ended.errors, path)}")
    try:
        declared = json.loads(ended.output)
        _check_references(declared, path)
        return int(declared["virtual-size"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(Reason.NOT_AN_IMAGE, "qemu-img says nothing useful about the image") from error


async def check(path: Path, image_format: ImageFormat) -> None:
    """Check the metadata of a qcow2 or VMDK image: finds truncated and corrupt ones. Raises ImageError."""
    ended = await _qemu_img(["check", "-q", "-f", image_format.qemu, str(path)], _limits(_CHECK_CPU_SECONDS))
    # Code 3 means leaked clusters only: wasted room, no damage (qemu-img(1)).
    if ended.code not in (0, 3):
        kind = "truncated or corrupt" if ended.code == _CORRUPT else "unreadable"
        raise ImageError(Reason.NOT_AN_IMAGE, f"the image is {kind}: {_tidy(ended.errors, path)}")


async def convert(source: Path, image_format: ImageFormat, target: Path, max_bytes: int, tell: Callable[[int], None]) -> None:
    """Write the source's content to a new qcow2 file of at most `max_bytes`, telling percents.

    Raises OutputTooLarge if that is not enough, else ImageError.
    """
    command = ["convert", "-p", "-f", image_format.qemu, "-O", "qcow2", "-o", "compat=1.1", str(source), str(target)]

    def follow(chunk: bytes) -> None:
        if found := _PROGRESS.findall(chunk):
            tell(int(found[-1]))

    ended = await _qemu_img(command, [f"--as={_CONVERT_ADDRESS_SPACE}", f"--fsize={max_bytes}"], follow)
    if "File too large" in ended.errors:
        raise OutputTooLarge
    if ended.code:
        raise ImageError(Reason.CONVERSION_FAILED, f"the conversion to qcow2 failed: {_tidy(ended.errors, source)}")


def _check_references(declared: dict[str, object], path: Path) -> None:
    """The second look: what QEMU itself found in the image must name no other file."""
    specific = declared.get("format-specific")
    data = specific.get("data", {}) if isinstance(specific, dict) else {}
    extents = {extent.get("filename") for extent in data.get("extents", ())}
    if "backing-filename" in declared or "data-file" in data or not extents <= {str(path)}:
        raise ImageError(Reason.UNSAFE_IMAGE, "the image is refused: it refers to another file")
    if declared.get("encrypted"):
        raise ImageError(Reason.UNSAFE_IMAGE, "the image is refused: it is encrypted")


def _limits(cpu: int) -> list[str]:
    """For prlimit(1), when only metadata is read; `cpu` in seconds."""
    return [f"--as={_ADDRESS_SPACE}", f"--cpu={cpu}"]


async def _qemu_img(arguments: Sequence[str], limits: Sequence[str], follow: Output | None = None) -> _Ended:
    """Run qemu-img; it dies with us: on cancellation at once, and by the kernel's hand if the controller is killed."""
    command = ["setpriv", "--pdeathsig", "KILL", "prlimit", "--core=0", *limits, "--", "qemu-img", *arguments]
    try:
        ended = await _run(command, follow)
    except FileNotFoundError as error:
        raise _not_now("setpriv (util-linux) is not installed on the controller's machine") from error
    if ended.code == _NOT_FOUND:
        raise _not_now("qemu-img (Debian package qemu-utils) is not installed on the controller's machine")
    if ended.code and "Cannot allocate memory" in ended.errors:
        # Perhaps the image's fault, perhaps a busy machine's: not a reason to give an image up for ever.
        raise _not_now("qemu-img needs more memory than it is allowed")
    return ended


async def _run(command: Sequence[str], follow: Output | None) -> _Ended:
    pipe = asyncio.subprocess.PIPE
    # Each malloc arena reserves 64 MiB of address space; one for every thread would use up the limit.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment
    )
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("qemu-img was started without pipes")
    try:
        output, errors = await asyncio.gather(_drain(process.stdout, follow), _drain(process.stderr, None))
        return _Ended(await process.wait(), output, errors.decode("utf-8", "replace"))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


def _not_now(message: str) -> ImageError:
    return ImageError(Reason.CONVERSION_FAILED, message, retry_after=60.0)


async def _drain(stream: asyncio.StreamReader, follow: Output | None) -> bytes:
    """Read to the end, keeping the first MiB: a broken image makes qemu-img print a line per cluster."""
    kept = bytearray()
    while chunk := await stream.read(1 << 16):
        if follow is not None:
            follow(chunk)
        kept += chunk[: _OUTPUT_LIMIT - len(kept)]
    return bytes(kept)


def _tidy(errors: str, path: Path) -> str:
    """The first line of what qemu-img said, without our path."""
    lines = errors.strip().splitlines() or ["no reason given"]
    return lines[0].replace(str(path), "image").removeprefix("qemu-img: ")[:_SHOWN]
