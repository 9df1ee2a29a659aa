"""Downloads that break, stall, change and lie: what arrived is kept when it can be trusted, and only then."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.images import ImageError, Limits, Phase, Reason, Source, http_client
from controller.images.partial import Partial
from controller.images.progress import Steps
from controller.images.transfer import fetch
from tests.support.files import FileServer, Served, etag, file_server
from tests.unit.images.conftest import MI, until

BODY = random.Random(1).randbytes(3 * MI + 12345)
OTHER = random.Random(2).randbytes(3 * MI + 12345)
DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
SHA256 = "sha256:" + "0" * 64


class Download:
    """One source, tried as often as a test likes."""

    def __init__(self, directory: Path, client: httpx.AsyncClient, limits: Limits, url: str, checksum: str | None = None) -> None:
        self.partial = Partial(directory, "key")
        self.client = client
        self.limits = limits
        self.source = Source.parse(url, "RAW", checksum)
        self.told: list[tuple[Phase, int | None]] = []

    async def run(self) -> bool:
        return await fetch(self.client, self.source, self.partial, self.limits, Steps(self.tell))

    def tell(self, phase: Phase, percent: int | None) -> None:
        """Progress comes in the event loop's thread, never in one that writes."""
        assert threading.current_thread() is threading.main_thread()
        self.told.append((phase, percent))

    async def fail(self) -> ImageError:
        with pytest.raises(ImageError) as caught:
            await self.run()
        return caught.value

    async def stall(self, hasty: Limits) -> ImageError:
        """Fail for want of patience, which is back afterwards."""
        patient = self.client, self.limits
        async with http_client(hasty) as self.client:
            self.limits = hasty
            error = await self.fail()
        self.client, self.limits = patient
        return error

    @property
    def content(self) -> bytes:
        return self.partial.path.read_bytes()


@pytest.fixture
def download(tmp_path: Path, client: httpx.AsyncClient, limits: Limits, server: FileServer) -> Download:
    return Download(tmp_path, client, limits, f"{server.url}/x")


@pytest.mark.parametrize("length", [-1, None])
async def test_a_whole_download(server: FileServer, download: Download, length: int | None) -> None:
    server.serve("/x", Served(BODY, length=length))
    assert await download.run() is False
    assert download.content == BODY
    expected = [None] if length is None else sorted({percent for _, percent in download.told if percent is not None})
    assert [percent for _, percent in download.told] == expected, "each percent once, in order"
    assert {phase for phase, _ in download.told} == {Phase.DOWNLOADING}


async def test_an_empty_download(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(b""))
    await download.run()
    assert download.partial.size == 0


@pytest.mark.parametrize(
    ("validators", "condition"),
    [
        ({"etag": etag(BODY)}, etag(BODY)),
        ({"last_modified": DATE}, DATE),
        ({"etag": f"W/{etag(BODY)}", "last_modified": DATE}, DATE),
    ],
)
async def test_a_broken_download_goes_on(
    server: FileServer, download: Download, validators: dict[str, str], condition: str
) -> None:
    server.serve("/x", Served(BODY, resets=[MI + 5, 2 * MI], **validators))  # type: ignore[arg-type]
    for _ in range(2):
        error = await download.fail()
        assert error.reason is Reason.DOWNLOAD_FAILED
        assert not error.terminal
    kept = download.partial.size
    assert 0 < kept < len(BODY)
    assert await download.run() is True
    assert download.content == BODY
    assert server.asked[0].range == ""
    assert server.asked[-1].range == f"bytes={kept}-"
    assert server.asked[-1].headers["if-range"] == condition


async def test_without_validators_it_starts_again(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(BODY, resets=[2 * MI]))
    await download.fail()
    assert await download.run() is False
    assert download.content == BODY
    assert server.asked[-1].range == ""


async def test_with_a_checksum_it_goes_on_without_validators(
    server: FileServer, tmp_path: Path, client: httpx.AsyncClient, limits: Limits
) -> None:
    """Should the content have changed, the checksum will tell."""
    download = Download(tmp_path, client, limits, server.serve("/x", Served(BODY, resets=[2 * MI])), SHA256)
    await download.fail()
    assert download.partial.size > 0
    assert await download.run() is True
    assert download.content == BODY
    assert "if-range" not in server.asked[-1].headers


async def test_new_content_replaces_the_old(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(OTHER, etag=etag(OTHER), resets=[2 * MI]))
    await download.fail()
    server.serve("/x", Served(BODY, etag=etag(BODY)))
    assert await download.run() is False
    assert download.content == BODY


@pytest.mark.parametrize("body", [BODY, BODY + b"more"])
async def test_a_server_that_ignores_if_range_is_found_out(server: FileServer, download: Download, body: bytes) -> None:
    """It sends the rest of other content: told by its new tag or its size, and begun again."""
    server.serve("/x", Served(OTHER, etag=etag(OTHER), resets=[2 * MI]))
    await download.fail()
    server.serve("/x", Served(body, etag=etag(body), if_range=False))
    error = await download.fail()
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "it starts again" in error.message
    assert await download.run() is False
    assert download.content == body


async def test_a_server_without_ranges_starts_again(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(BODY, etag=etag(BODY), ranges=False, resets=[2 * MI]))
    await download.fail()
    assert await download.run() is False
    assert download.content == BODY


async def test_a_complete_file_is_not_asked_for_again(server: FileServer, download: Download) -> None:
    """The process ended between the last byte and what comes after."""
    server.serve("/x", Served(BODY, etag=etag(BODY)))
    await download.run()
    asked = len(server.asked)
    assert await download.run() is True
    assert len(server.asked) == asked


async def test_a_complete_file_of_unknown_size_is_asked_for_its_end(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(BODY, etag=etag(BODY), length=None))
    await download.run()
    assert await download.run() is True
    assert server.asked[-1].range == f"bytes={len(BODY)}-"
    assert download.content == BODY


async def test_shrunk_content_starts_again(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(OTHER, etag='"same"', resets=[2 * MI]))
    await download.fail()
    server.serve("/x", Served(BODY[:MI], etag='"same"'))
    assert (await download.fail()).reason is Reason.DOWNLOAD_FAILED
    await download.run()
    assert download.content == BODY[:MI]


async def test_a_body_shorter_than_announced(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(BODY, length=len(BODY) + 10, etag=etag(BODY)))
    error = await download.fail()
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert not error.terminal


async def test_a_body_that_lies_in_its_content_range(limits: Limits, tmp_path: Path) -> None:
    """It says that it goes on at the right place, and then sends more than what is left."""
    sent = iter(
        [(200, BODY[:MI], {"ETag": '"a"'}), (206, BODY, {"ETag": '"a"', "Content-Range": f"bytes {MI}-{MI + 9}/{MI + 10}"})]
    )

    def answer(request: httpx.Request) -> httpx.Response:
        status, content, headers = next(sent)
        return httpx.Response(status, headers=headers, content=stream(content))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as scripted:
        download = Download(tmp_path, scripted, limits, "http://h/x")
        await download.run()
        error = await download.fail()
    assert error.reason is Reason.DOWNLOAD_FAILED
    assert "sent more than" in error.message
    assert download.partial.size == 0


async def stream(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize(
    "content_range", ["", "bytes 0-9/10", "bytes 5-9/10", "items 1-2/3", "bytes x-y/z", "bytes " + "9" * 500 + "-1/1"]
)
async def test_a_partial_answer_to_another_question_starts_again(limits: Limits, tmp_path: Path, content_range: str) -> None:
    answers = iter([(200, {"ETag": '"a"'}), (206, {"Content-Range": content_range})])

    def answer(request: httpx.Request) -> httpx.Response:
        status, headers = next(answers)
        return httpx.Response(status, headers=headers, content=stream(b"x" * 10))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as scripted:
        download = Download(tmp_path, scripted, limits, "http://h/x")
        await download.run()
        assert (await download.fail()).reason is Reason.DOWNLOAD_FAILED
    assert download.partial.size == 0


async def test_a_stalled_download_ends_and_goes_on(server: FileServer, download: Download, hasty: Limits) -> None:
    server.serve("/x", Served(BODY, etag=etag(BODY), stalls=[MI]))
    error = await download.stall(hasty)
    assert error.reason is Reason.DOWNLOAD_TIMEOUT
    assert not error.terminal
    assert download.partial.size == MI, "what had arrived is kept"
    assert await download.run() is True
    assert download.content == BODY


async def test_a_dripping_download_ends(server: FileServer, download: Download, hasty: Limits) -> None:
    """A byte now and then keeps a connection alive for ever, but not a download."""
    server.serve("/x", Served(BODY, drip=0.1))
    error = await download.stall(hasty)
    assert error.reason is Reason.DOWNLOAD_TIMEOUT
    assert "sent only" in error.message


@pytest.mark.parametrize("length", [-1, None])
async def test_too_large_is_refused(server: FileServer, download: Download, length: int | None) -> None:
    download.limits = replace(download.limits, max_bytes=MI)
    server.serve("/x", Served(BODY, length=length))
    error = await download.fail()
    assert error.reason is Reason.IMAGE_TOO_LARGE
    assert error.terminal
    assert download.partial.size == 0


@pytest.mark.parametrize("length", [-1, None])
async def test_a_full_disk_is_not_filled_further(server: FileServer, download: Download, length: int | None) -> None:
    download.limits = replace(download.limits, free_bytes=1 << 60)
    server.serve("/x", Served(BODY, length=length))
    error = await download.fail()
    assert error.reason is Reason.INSUFFICIENT_DISK
    assert (error.terminal, error.retry_after) == (False, 60)
    assert download.partial.size == 0


async def test_a_disk_that_fills_up_meanwhile(server: FileServer, download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device", "/secret/path")

    monkeypatch.setattr(download.partial, "append", full)
    server.serve("/x", Served(BODY))
    error = await download.fail()
    assert error.reason is Reason.INSUFFICIENT_DISK
    assert "/secret" not in error.message


async def test_cancelling_keeps_what_has_arrived(server: FileServer, download: Download) -> None:
    server.serve("/x", Served(BODY, etag=etag(BODY), stalls=[2 * MI]))
    work = asyncio.create_task(download.run())
    await until(lambda: download.partial.size > 0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert download.content == BODY[: download.partial.size]
    assert await download.run() is True
    assert download.content == BODY


async def test_damaged_notes_start_again(server: FileServer, download: Download, tmp_path: Path) -> None:
    server.serve("/x", Served(BODY, etag=etag(BODY), resets=[2 * MI]))
    await download.fail()
    for damage in ("", "[]", "{", '{"total": 3, "surprise": 4}', "null"):
        (tmp_path / "key.json").write_text(damage)
        assert download.partial.validators.if_range == ""
    assert await download.run() is False
    assert download.content == BODY


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    resets=st.lists(st.integers(0, len(BODY)), max_size=6),
    tagged=st.booleans(),
    ranges=st.booleans(),
    length=st.sampled_from([-1, None]),
)
async def test_however_often_it_breaks_the_content_is_right(
    tmp_path_factory: pytest.TempPathFactory, limits: Limits, resets: list[int], tagged: bool, ranges: bool, length: int | None
) -> None:
    """With no Content-Length a reset is the only sign of a broken connection, so it must be one."""
    with file_server() as server:
        served = Served(BODY, etag=etag(BODY) if tagged else "", ranges=ranges, length=length, resets=list(resets))
        url = server.serve("/x", served)
        async with http_client(limits) as client:
            download = Download(tmp_path_factory.mktemp("any"), client, limits, url)
            for _ in range(len(resets) + 1):
                try:
                    await download.run()
                    break
                except ImageError as error:
                    assert not error.terminal  # noqa: PT017  # some tries fail, which ones is chance
    assert download.content == BODY
