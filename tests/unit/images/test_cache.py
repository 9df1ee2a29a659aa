"""From a URL to an image: every format, every failure, and nothing left behind."""

import asyncio
import hashlib
import os
import random
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from controller.images import ImageCache, ImageError, Limits, Phase, Reason, Source
from tests.support.files import FileServer, Served, etag
from tests.unit.images.conftest import MI, VIRTUAL_SIZE, left_over, qemu_img, raw_content, until

Step = tuple[Phase, int | None]


def checksum(path: Path, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


def picture(server: FileServer, path: Path) -> Served:
    """Serve a file as /x, the proper way."""
    served = Served(path.read_bytes(), etag=etag(path.read_bytes()))
    server.serve("/x", served)
    return served


async def failure(cache: ImageCache, source: Source) -> ImageError:
    with pytest.raises(ImageError) as caught:
        await cache.download(source)
    return caught.value


FORMATS = [("QCOW2", "QCOW2"), ("RAW", "RAW"), ("VMDK", "VMDK"), ("VMDK-stream", "VMDK"), ("VHD", "VHD"), ("VHD-fixed", "VHD")]


@pytest.mark.parametrize(("name", "image_format"), FORMATS)
@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5", None])
async def test_every_format_becomes_a_qcow2_with_the_same_content(
    server: FileServer,
    cache: ImageCache,
    pictures: dict[str, Path],
    content: bytes,
    name: str,
    image_format: str,
    algorithm: str | None,
) -> None:
    picture(server, pictures[name])
    wanted = checksum(pictures[name], algorithm) if algorithm else None
    image = await cache.download(Source.parse(f"{server.url}/x", image_format, wanted))
    assert image.checksum == checksum(pictures[name])
    assert image.file.name == f"{image_format.lower()}-{image.checksum.removeprefix('sha256:')}"
    assert image.file.virtual_size == VIRTUAL_SIZE
    assert image.file.physical_size == os.stat(image.file.path).st_size
    assert raw_content(image.file.path) == content
    assert cache.lookup(image.file.name) == image


async def test_phases_and_percents_go_forward(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    steps: list[Step] = []
    picture(server, pictures["RAW"])
    await cache.download(Source.parse(f"{server.url}/x", "RAW"), lambda phase, percent: steps.append((phase, percent)))
    assert list(dict.fromkeys(phase for phase, _ in steps)) == [Phase.QUEUED, Phase.DOWNLOADING, Phase.VERIFYING, Phase.CONVERTING]
    for phase in (Phase.DOWNLOADING, Phase.VERIFYING, Phase.CONVERTING):
        percents = [percent for each, percent in steps if each is phase and percent is not None]
        assert percents == sorted(set(percents))
        assert percents[-1] == 100


async def test_nothing_is_left_over(server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path) -> None:
    for name, image_format in FORMATS:
        picture(server, pictures[name])
        await cache.download(Source.parse(f"{server.url}/x", image_format))
    assert left_over(tmp_path / "cache") == []


@pytest.mark.parametrize(("with_checksum", "requests"), [(True, 1), (False, 2)])
async def test_only_a_checksum_makes_a_second_download_needless(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], with_checksum: bool, requests: int
) -> None:
    picture(server, pictures["QCOW2"])
    source = Source.parse(f"{server.url}/x", "QCOW2", checksum(pictures["QCOW2"]) if with_checksum else None)
    first = await cache.download(source)
    assert await cache.download(source) == first
    assert len(server.asked) == requests


async def test_knowing_a_checksum_is_not_enough(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    """Somebody else's image is not given to who can't fetch it."""
    picture(server, pictures["QCOW2"])
    wanted = checksum(pictures["QCOW2"])
    await cache.download(Source.parse(f"{server.url}/x", "QCOW2", wanted))
    assert (await failure(cache, Source.parse(f"{server.url}/y", "QCOW2", wanted))).reason is Reason.DOWNLOAD_REFUSED


async def test_the_same_content_is_kept_once(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path
) -> None:
    picture(server, pictures["VMDK"])
    server.serve("/y", server.files["/x"])
    first = await cache.download(Source.parse(f"{server.url}/x", "VMDK"))
    assert await cache.download(Source.parse(f"{server.url}/y", "VMDK")) == first
    assert len(os.listdir(tmp_path / "cache" / "images")) == 2


async def test_the_same_bytes_as_another_format_are_another_image(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path]
) -> None:
    """A fixed VHD is a raw disk with a footer; only one of the two readings is right, and the template says which."""
    picture(server, pictures["VHD-fixed"])
    image = await cache.download(Source.parse(f"{server.url}/x", "VHD"))
    assert image.file.name.startswith("vhd-")
    assert (await failure(cache, Source.parse(f"{server.url}/x", "RAW"))).reason is Reason.NOT_AN_IMAGE


async def test_calls_at_once_share_one_download(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    served = picture(server, pictures["RAW"])
    served.gate = threading.Event()
    source = Source.parse(f"{server.url}/x", "RAW")
    calls = [asyncio.create_task(cache.download(source)) for _ in range(5)]
    await until(lambda: len(server.asked) > 0)
    served.gate.set()
    images = await asyncio.gather(*calls)
    assert len(set(images)) == 1
    assert len(server.asked) == 1


async def test_two_caches_on_one_directory_share_one_download(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, pictures: dict[str, Path], tmp_path: Path
) -> None:
    served = picture(server, pictures["RAW"])
    served.gate = threading.Event()
    source = Source.parse(f"{server.url}/x", "RAW", checksum(pictures["RAW"]))
    calls = [asyncio.create_task(ImageCache(tmp_path / "cache", client, limits).download(source)) for _ in range(2)]
    await until(lambda: len(server.asked) > 0)
    served.gate.set()
    first, second = await asyncio.gather(*calls)
    assert first == second
    assert len(server.asked) == 1


async def test_only_so_many_at_once(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, pictures: dict[str, Path], tmp_path: Path
) -> None:
    cache = ImageCache(tmp_path / "cache", client, replace(limits, concurrent=2))
    gate = threading.Event()
    sources = []
    for number in range(4):
        body = pictures["RAW"].read_bytes() + bytes([number]) * 512
        sources.append(Source.parse(server.serve(f"/{number}", Served(body, gate=gate)), "RAW"))
    phases: dict[int, Phase] = {}
    calls = []
    for number, source in enumerate(sources):

        def tell(phase: Phase, percent: int | None, number: int = number) -> None:
            phases[number] = phase

        calls.append(asyncio.create_task(cache.download(source, tell)))
    await until(lambda: len(server.asked) == 2)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(server.asked) == 2
    assert list(phases.values()).count(Phase.QUEUED) >= 2
    gate.set()
    assert len({image.file.name for image in await asyncio.gather(*calls)}) == 4


async def test_a_wrong_checksum_is_terminal_and_leaves_nothing(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path
) -> None:
    picture(server, pictures["QCOW2"])
    error = await failure(cache, Source.parse(f"{server.url}/x", "QCOW2", "sha256:" + "0" * 64))
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert error.terminal
    assert checksum(pictures["QCOW2"]) in error.message
    assert "the template says sha256:0000" in error.message
    assert left_over(tmp_path / "cache") == []
    assert os.listdir(tmp_path / "cache" / "images") == []


async def test_content_that_changed_between_two_tries_gets_one_fresh_start(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path]
) -> None:
    """Without validators the second try goes on with the new content; the checksum tells, and the third has it all."""
    old = random.Random(3).randbytes(pictures["RAW"].stat().st_size)
    server.serve("/x", Served(old, resets=[2 * MI]))
    source = Source.parse(f"{server.url}/x", "RAW", checksum(pictures["RAW"]))
    assert (await failure(cache, source)).reason is Reason.DOWNLOAD_FAILED
    server.serve("/x", Served(pictures["RAW"].read_bytes()))
    assert (await cache.download(source)).checksum == checksum(pictures["RAW"])
    assert [bool(asked.range) for asked in server.asked] == [False, True, False]


async def test_a_failed_download_goes_on_in_a_new_cache(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, pictures: dict[str, Path], tmp_path: Path
) -> None:
    """As after a restart of the controller."""
    served = picture(server, pictures["RAW"])
    served.resets = [3 * MI]
    source = Source.parse(f"{server.url}/x", "RAW")
    assert not (await failure(ImageCache(tmp_path / "cache", client, limits), source)).terminal
    image = await ImageCache(tmp_path / "cache", client, limits).download(source)
    assert image.checksum == checksum(pictures["RAW"])
    assert server.asked[1].range.startswith("bytes=")


BAD = [
    (b"<!DOCTYPE html><html><body>Please log in</body></html>" + b" " * 600, "QCOW2", Reason.NOT_AN_IMAGE, "a web page"),
    (b"", "RAW", Reason.NOT_AN_IMAGE, "only 0 bytes"),
    (b"QFI\xfb" + bytes(1000), "QCOW2", Reason.NOT_AN_IMAGE, "qcow version 0"),
    (b"QFI\xfb\0\0\0\3" + b"\xff" * 1000, "QCOW2", Reason.UNSAFE_IMAGE, "a backing file"),
    (b"QFI\xfb\0\0\0\3" + bytes(1000), "QCOW2", Reason.NOT_AN_IMAGE, "can't be opened as QCOW2"),
    (bytes(4096), "QCOW2", Reason.NOT_AN_IMAGE, "of an unknown format"),
]


@pytest.mark.parametrize(("body", "image_format", "reason", "text"), BAD)
async def test_what_is_no_image_is_terminal_and_leaves_nothing(
    server: FileServer, cache: ImageCache, tmp_path: Path, body: bytes, image_format: str, reason: Reason, text: str
) -> None:
    error = await failure(cache, Source.parse(server.serve("/x", Served(body)), image_format))
    assert (error.reason, error.terminal) == (reason, True)
    assert text in error.message
    assert str(tmp_path) not in error.message
    assert left_over(tmp_path / "cache") == []
    assert os.listdir(tmp_path / "cache" / "images") == []


async def test_a_truncated_image_is_refused(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    """Without a checksum and with a server that knows no better."""
    server.serve("/x", Served(pictures["QCOW2"].read_bytes()[:MI]))
    error = await failure(cache, Source.parse(f"{server.url}/x", "QCOW2"))
    assert error.reason is Reason.NOT_AN_IMAGE
    assert "truncated or corrupt" in error.message


async def test_an_image_that_reads_the_controllers_files_is_refused(server: FileServer, cache: ImageCache, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"hunter2" * 1000)
    assert qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", tmp_path / "evil") == 0
    picture(server, tmp_path / "evil")
    assert (await failure(cache, Source.parse(f"{server.url}/x", "QCOW2"))).reason is Reason.UNSAFE_IMAGE


async def test_a_gigantic_virtual_disk_is_refused(server: FileServer, cache: ImageCache, tmp_path: Path) -> None:
    assert qemu_img("create", "-f", "qcow2", tmp_path / "bomb", "17T") == 0
    picture(server, tmp_path / "bomb")
    error = await failure(cache, Source.parse(f"{server.url}/x", "QCOW2"))
    assert error.reason is Reason.UNSAFE_IMAGE
    assert str(17 << 40) in error.message


async def test_an_image_that_grows_too_large_is_refused(
    server: FileServer, client: httpx.AsyncClient, limits: Limits, tmp_path: Path
) -> None:
    """A small compressed disk that unpacks to more than is allowed."""
    (tmp_path / "raw").write_bytes(b"a" * 8 * MI)
    assert qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", tmp_path / "raw", tmp_path / "x") == 0
    cache = ImageCache(tmp_path / "cache", client, replace(limits, max_bytes=4 * MI))
    picture(server, tmp_path / "x")
    error = await failure(cache, Source.parse(f"{server.url}/x", "VMDK"))
    assert error.reason is Reason.IMAGE_TOO_LARGE
    assert error.terminal
    assert left_over(tmp_path / "cache") == []


async def test_too_little_room_for_the_conversion_is_waited_for(
    server: FileServer,
    client: httpx.AsyncClient,
    limits: Limits,
    pictures: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was downloaded stays; the next try, with more room, needs no network."""
    picture(server, pictures["VMDK"])
    source = Source.parse(f"{server.url}/x", "VMDK")
    cache = ImageCache(tmp_path / "cache", client, limits)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("controller.images.cache.shutil.disk_usage", lambda path: usage._replace(free=MI))
    with monkeypatch.context() as roomy:
        roomy.setattr("controller.images.transfer._Transfer._check_disk", lambda self, needed: None)
        error = await failure(cache, source)
    assert (error.reason, error.terminal, error.retry_after) == (Reason.INSUFFICIENT_DISK, False, 60)
    assert left_over(tmp_path / "cache") == [f"{source.key}.json", f"{source.key}.part"]
    monkeypatch.undo()
    await cache.download(source)
    assert len(server.asked) == 1


async def test_one_caller_that_gives_up_does_not_disturb_the_other(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path]
) -> None:
    served = picture(server, pictures["RAW"])
    served.gate = threading.Event()
    source = Source.parse(f"{server.url}/x", "RAW")
    first, second = (asyncio.create_task(cache.download(source)) for _ in range(2))
    await until(lambda: len(server.asked) > 0)
    first.cancel()
    await asyncio.wait([first])
    served.gate.set()
    assert (await second).checksum == checksum(pictures["RAW"])
    assert len(server.asked) == 1


async def test_a_crash_after_the_image_was_kept_costs_no_second_conversion(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(server, pictures["RAW"])
    source = Source.parse(f"{server.url}/x", "RAW", checksum(pictures["RAW"]))
    with monkeypatch.context() as crashing:
        crashing.setattr("controller.images.store.ImageStore.remember", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await cache.download(source)
    kept = os.listdir(tmp_path / "cache" / "images")
    monkeypatch.setattr("controller.images.qemu.convert", None)
    image = await cache.download(source)
    assert sorted(os.listdir(tmp_path / "cache" / "images")) == sorted(kept)
    assert await cache.download(source) == image
    assert left_over(tmp_path / "cache") == []


async def test_an_evicted_image_is_made_again(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    picture(server, pictures["VHD"])
    source = Source.parse(f"{server.url}/x", "VHD", checksum(pictures["VHD"]))
    first = await cache.download(source)
    assert cache.evict(0, ()) == [first.file.name]
    assert cache.lookup(first.file.name) is None
    again = await cache.download(source)
    assert (again.file.name, again.checksum) == (first.file.name, first.checksum)
    assert len(server.asked) == 2


async def test_the_directory_is_for_us_alone(cache: ImageCache, tmp_path: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in os.scandir(tmp_path / "cache")}
    assert modes == {"images": 0o700, "sources": 0o700, "partial": 0o700, "locks": 0o700}


async def test_cancelling_stops_the_work_and_the_next_call_goes_on(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path
) -> None:
    served = picture(server, pictures["RAW"])
    served.stalls = [3 * MI]
    source = Source.parse(f"{server.url}/x", "RAW")
    call = asyncio.create_task(cache.download(source))
    part = tmp_path / "cache" / "partial" / f"{source.key}.part"
    await until(lambda: part.exists() and part.stat().st_size > 0)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    assert os.listdir(tmp_path / "cache" / "locks") == []
    image = await cache.download(source)
    assert image.checksum == checksum(pictures["RAW"])
    assert server.asked[1].range.startswith("bytes=")


async def test_the_partial_download_of_nobody_is_removed_in_time(cache: ImageCache, tmp_path: Path) -> None:
    partial = tmp_path / "cache" / "partial"
    week = 7 * 24 * 3600
    for name, age in (("old.part", week + 3600), ("new.part", week - 3600)):
        (partial / name).write_bytes(b"x")
        os.utime(partial / name, (time.time() - age, time.time() - age))
    assert cache.evict(0, ()) == []
    assert os.listdir(partial) == ["new.part"]


async def test_eviction_spares_what_is_in_use(server: FileServer, cache: ImageCache, pictures: dict[str, Path]) -> None:
    names = []
    for name, image_format in (("QCOW2", "QCOW2"), ("RAW", "RAW")):
        picture(server, pictures[name])
        names.append((await cache.download(Source.parse(f"{server.url}/x", image_format))).file.name)
    assert cache.evict(0, {names[0]}) == [names[1]]
    assert cache.lookup(names[0]) is not None
    assert cache.lookup(names[1]) is None


async def test_hostile_names_make_no_paths(
    server: FileServer, cache: ImageCache, pictures: dict[str, Path], tmp_path: Path
) -> None:
    served = picture(server, pictures["QCOW2"])
    served.headers = {"Content-Disposition": 'attachment; filename="../../../evil"', "Content-Type": "text/html"}
    url = server.serve("/..%2f..%2f..%2fevil", served)
    image = await cache.download(Source.parse(url, "QCOW2"))
    assert Path(image.file.path).parent == tmp_path / "cache" / "images"
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "evil" in name]
    assert cache.lookup("../images/" + image.file.name) is None
