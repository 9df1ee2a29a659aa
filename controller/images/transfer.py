"""Download a source into a partial file, from where the last try ended."""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import Final

import httpx

from controller.images.errors import ImageError, Reason
from controller.images.http import get
from controller.images.limits import Limits
from controller.images.partial import Partial, Validators
from controller.images.progress import Phase, Steps
from controller.images.source import Source
from controller.images.threads import in_thread

__all__ = ["fetch"]

_BUFFER: Final = 1 << 20
_WAIT_FOR_DISK: Final = 60.0


async def fetch(client: httpx.AsyncClient, source: Source, partial: Partial, limits: Limits, steps: Steps) -> bool:
    """Complete the partial file. Returns whether bytes of an earlier try are part of it. Raises ImageError; the file stays then."""
    known = partial.validators
    if known.total is not None and partial.size == known.total:
        return True
    trusted = known.if_range or source.checksum
    start = partial.size if trusted else 0
    headers = {"Range": f"bytes={start}-"} if start else {}
    if start and known.if_range:
        headers["If-Range"] = known.if_range
    async with get(client, source.url, headers, limits) as response:
        transfer = _Transfer(response, source, partial, limits, steps)
        if not transfer.resumes(start, known):
            await transfer.restart()
            start = 0
        await transfer.run()
    return start > 0


class _Transfer:
    """The body of one answer on its way to disk."""

    def __init__(self, response: httpx.Response, source: Source, partial: Partial, limits: Limits, steps: Steps) -> None:
        self._response = response
        self._source = source
        self._partial = partial
        self._limits = limits
        self._steps = steps
        self._done = partial.size
        self._total = _total(response)

    def resumes(self, start: int, known: Validators) -> bool:
        """Whether the answer goes on where we are, with the same content. Raises ImageError if it can't be used at all."""
        status, given = self._response.status_code, self._response.headers.get("content-range", "")
        if status == 200:
            return False
        same = known.total in (None, self._total) and known.etag in ("", self._response.headers.get("etag", known.etag))
        begins = start if status == 416 and self._total == start else _first(given)
        if start and same and begins == start:
            return True
        self._partial.discard()
        message = f"{self._source.shown} does not continue the download where it ended; it starts again"
        raise ImageError(Reason.DOWNLOAD_FAILED, message)

    async def restart(self) -> None:
        """Begin a new file for this answer."""
        headers = self._response.headers
        etag, date = headers.get("etag", ""), headers.get("last-modified", "")
        await in_thread(self._partial.begin, Validators(etag, date, self._total))
        self._done = 0

    async def run(self) -> None:
        """Write the body to disk."""
        self._check_size(self._total or 0)
        self._check_disk((self._total or 0) - self._done)
        if self._response.status_code == 416:
            return
        buffer = bytearray()
        pace = _Pace(self._limits, self._source)
        try:
            async for chunk in self._response.aiter_raw():
                pace.count(len(chunk))
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    data, buffer = bytes(buffer), bytearray()
                    await self._write(data)
        finally:
            # What has arrived counts, also when the connection breaks or we are cancelled.
            self._append(bytes(buffer))
            self._steps(Phase.DOWNLOADING, self._done, self._total)
        self._check_complete()

    async def _write(self, data: bytes) -> None:
        self._check_size(self._done + len(data))
        self._check_disk(len(data))
        await in_thread(self._append, data)
        self._steps(Phase.DOWNLOADING, self._done, self._total)

    def _append(self, data: bytes) -> None:
        try:
            self._partial.append(data)
        except OSError as error:
            raise _no_room(self._source, len(data)) from error
        self._done += len(data)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            self._partial.discard()
            message = f"{self._source.shown} is larger than the {self._limits.max_bytes} bytes allowed for an image"
            raise ImageError(Reason.IMAGE_TOO_LARGE, message)

    def _check_disk(self, needed: int) -> None:
        if shutil.disk_usage(self._partial.path.parent).free < needed + self._limits.free_bytes:
            raise _no_room(self._source, needed)

    def _check_complete(self) -> None:
        if self._total is not None and self._done < self._total:
            message = f"{self._source.shown} ended after {self._done} of {self._total} bytes"
            raise ImageError(Reason.DOWNLOAD_FAILED, message)
        if self._total is not None and self._done > self._total:
            self._partial.discard()
            raise ImageError(Reason.DOWNLOAD_FAILED, f"{self._source.shown} sent more than the {self._total} bytes it announced")


class _Pace:
    """Gives up on a source that only drips."""

    def __init__(self, limits: Limits, source: Source) -> None:
        self._limits = limits
        self._source = source
        self._clock = asyncio.get_running_loop().time
        self._since = self._clock()
        self._bytes = 0

    def count(self, size: int) -> None:
        self._bytes += size
        passed = self._clock() - self._since
        if passed < self._limits.stall:
            return
        if self._bytes < self._limits.min_rate * passed:
            message = f"{self._source.shown} sent only {self._bytes} bytes in {passed:.0f} s"
            raise ImageError(Reason.DOWNLOAD_TIMEOUT, message)
        self._since, self._bytes = self._clock(), 0


def _total(response: httpx.Response) -> int | None:
    """Size of the whole content, if the answer tells."""
    if response.status_code == 200:
        text = response.headers.get("content-length", "")
    else:
        text = response.headers.get("content-range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _first(content_range: str) -> int | None:
    """First byte of a 206 (RFC 9110, 14.4)."""
    match = re.match(r"bytes (\d{1,19})-", content_range)
    return int(match[1]) if match else None


def _no_room(source: Source, needed: int) -> ImageError:
    message = f"the controller's image directory has too little room for {max(needed, 0)} bytes more of {source.shown}"
    return ImageError(Reason.INSUFFICIENT_DISK, message, retry_after=_WAIT_FOR_DISK)
