"""The real qemu-img under its limits."""

import asyncio
import os
from pathlib import Path

import pytest

from controller.images import ImageError, ImageFormat, Reason, qemu
from tests.unit.images.conftest import MI, VIRTUAL_SIZE, qemu_img, raw_content, until

QCOW2, RAW, VMDK, VHD = ImageFormat.QCOW2, ImageFormat.RAW, ImageFormat.VMDK, ImageFormat.VHD


@pytest.mark.parametrize(
    ("name", "image_format"),
    [("QCOW2", QCOW2), ("RAW", RAW), ("VMDK", VMDK), ("VMDK-stream", VMDK), ("VHD", VHD), ("VHD-fixed", VHD)],
)
async def test_every_format_is_read_and_converted(
    tmp_path: Path, pictures: dict[str, Path], content: bytes, name: str, image_format: ImageFormat
) -> None:
    told: list[int] = []
    assert await qemu.virtual_size(pictures[name], image_format) == VIRTUAL_SIZE
    await qemu.convert(pictures[name], image_format, tmp_path / "made", 64 * MI, told.append)
    assert raw_content(tmp_path / "made") == content
    assert await qemu.virtual_size(tmp_path / "made", QCOW2) == VIRTUAL_SIZE
    assert told[-1] == 100
    assert told == sorted(told)


@pytest.mark.parametrize(("name", "image_format"), [("QCOW2", QCOW2), ("VMDK", VMDK), ("VMDK-stream", VMDK)])
async def test_a_truncated_image_is_found(tmp_path: Path, pictures: dict[str, Path], name: str, image_format: ImageFormat) -> None:
    await qemu.check(pictures[name], image_format)
    path = tmp_path / "x"
    path.write_bytes(pictures[name].read_bytes()[:MI])
    with pytest.raises(ImageError) as caught:
        await qemu.check(path, image_format)
    assert caught.value.reason is Reason.NOT_AN_IMAGE
    assert str(tmp_path) not in caught.value.message
    assert len(caught.value.message) < 300


async def test_leaked_clusters_are_no_damage(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """An image that was cut off while it was written wastes room, no more; made here by a refcount without a reference."""
    path = tmp_path / "x"
    path.write_bytes(pictures["QCOW2"].read_bytes() + bytes(65536))
    header = path.read_bytes()[:64]
    table = int.from_bytes(header[48:56], "big")
    content = bytearray(path.read_bytes())
    block = int.from_bytes(content[table : table + 8], "big")
    last = len(content) // 65536 - 1
    content[block + 2 * last : block + 2 * last + 2] = b"\0\1"
    path.write_bytes(content)
    assert qemu_img("check", "-q", path) == 3, "leaked, as meant"
    await qemu.check(path, QCOW2)


async def test_what_qemu_can_not_open_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"QFI\xfb" + bytes(4096))
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(path, QCOW2)
    assert caught.value.reason is Reason.NOT_AN_IMAGE
    assert str(tmp_path) not in caught.value.message


async def test_a_reference_that_only_qemu_sees_is_refused(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """The second line of defence, without the first."""
    path = tmp_path / "x"
    assert qemu_img("create", "-q", "-f", "qcow2", "-b", pictures["RAW"], "-F", "raw", path) == 0
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(path, QCOW2)
    assert caught.value.reason is Reason.UNSAFE_IMAGE
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(pictures["VMDK-flat"], VMDK)
    assert caught.value.reason is Reason.UNSAFE_IMAGE


async def test_the_output_is_bounded(tmp_path: Path, pictures: dict[str, Path]) -> None:
    with pytest.raises(qemu.OutputTooLarge):
        await qemu.convert(pictures["RAW"], RAW, tmp_path / "made", MI, lambda percent: None)


async def test_a_failed_conversion_says_why(tmp_path: Path, pictures: dict[str, Path]) -> None:
    with pytest.raises(ImageError) as caught:
        await qemu.convert(pictures["RAW"], QCOW2, tmp_path / "made", 64 * MI, lambda percent: None)
    assert caught.value.reason is Reason.CONVERSION_FAILED
    assert not caught.value.terminal
    assert str(pictures["RAW"]) not in caught.value.message


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first in the PATH."""
    directory = tmp_path / "tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def tool(directory: Path, script: str) -> None:
    path = directory / "qemu-img"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


async def test_cancelling_kills_the_tool(tmp_path: Path, tools: Path) -> None:
    tool(tools, f"echo $$ > {tmp_path}/pid; exec sleep 600")
    work = asyncio.create_task(qemu.convert(tmp_path / "a", RAW, tmp_path / "b", MI, lambda percent: None))
    pid = tmp_path / "pid"
    await until(lambda: pid.exists() and bool(pid.read_text().strip()))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_tool_that_talks_without_end_is_not_kept_in_memory(tmp_path: Path, tools: Path) -> None:
    tool(tools, "head -c 50000000 /dev/zero | tr '\\0' x >&2; exit 2")
    with pytest.raises(ImageError) as caught:
        await qemu.check(tmp_path / "a", QCOW2)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("output", ["", "[]", "{}", '{"virtual-size": "x"}', '{"virtual-size": 1, "format-specific": {"data": 5}}'])
async def test_nonsense_from_the_tool_is_no_image(tmp_path: Path, tools: Path, output: str) -> None:
    tool(tools, f"echo '{output}'")
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(tmp_path / "a", QCOW2)
    assert caught.value.reason is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("signal", ["KILL", "XCPU", "SEGV"])
async def test_a_tool_that_is_killed_is_an_error_of_the_image(tmp_path: Path, tools: Path, signal: str) -> None:
    """As by a limit: an image that makes qemu-img work without end is not one to keep."""
    tool(tools, f"kill -{signal} $$")
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(tmp_path / "a", QCOW2)
    assert (caught.value.reason, caught.value.terminal) == (Reason.NOT_AN_IMAGE, True)
    with pytest.raises(ImageError) as caught:
        await qemu.convert(tmp_path / "a", RAW, tmp_path / "b", MI, lambda percent: None)
    assert (caught.value.reason, caught.value.terminal) == (Reason.CONVERSION_FAILED, False)


async def test_too_little_memory_is_no_verdict_on_the_image(tmp_path: Path, tools: Path) -> None:
    tool(tools, "echo 'qemu-img: failed to allocate 2097152 bytes: Cannot allocate memory' >&2; exit 1")
    for work in (qemu.virtual_size(tmp_path / "a", QCOW2), qemu.check(tmp_path / "a", QCOW2)):
        with pytest.raises(ImageError) as caught:
            await work
        assert (caught.value.reason, caught.value.terminal) == (Reason.CONVERSION_FAILED, False)


DECLARED = '{"virtual-size": 7, "format-specific": {"type": "vmdk", "data": {"extents": %s}}}'


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ('{"virtual-size": 7, "backing-filename": "/etc/shadow"}', "refers to another file"),
        ('{"virtual-size": 7, "format-specific": {"data": {"data-file": "/etc/shadow"}}}', "refers to another file"),
        (DECLARED % '[{"filename": "/etc/shadow"}]', "refers to another file"),
        ('{"virtual-size": 7, "encrypted": true}', "it is encrypted"),
    ],
)
async def test_references_are_refused_as_qemu_reports_them(tmp_path: Path, tools: Path, output: str, text: str) -> None:
    tool(tools, f"echo '{output}'")
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(tmp_path / "a", VMDK)
    assert caught.value.reason is Reason.UNSAFE_IMAGE
    assert text in caught.value.message


async def test_an_extent_that_is_the_image_itself_is_no_reference(tmp_path: Path, tools: Path) -> None:
    tool(tools, "echo '" + DECLARED % f'[{{"filename": "{tmp_path}/a"}}]' + "'")
    assert await qemu.virtual_size(tmp_path / "a", VMDK) == 7


async def test_progress_is_read_from_pieces(tmp_path: Path, tools: Path) -> None:
    """qemu-img writes it with carriage returns, and a pipe cuts it anywhere."""
    tool(
        tools,
        r"printf '    (0.00/100%%)\r'; printf '    (12.50/100%%)\r    (50'; printf '.00/100%%)\r'; printf '    (100.00/100%%)\r'",
    )
    told: list[int] = []
    await qemu.convert(tmp_path / "a", RAW, tmp_path / "b", MI, told.append)
    assert told[-1] == 100
    assert set(told) <= {0, 12, 50, 100}


async def test_the_tool_runs_under_limits(tmp_path: Path, tools: Path) -> None:
    tool(tools, f"cat /proc/self/limits > {tmp_path}/limits; env > {tmp_path}/env; echo '{{\"virtual-size\": 7}}'")
    assert await qemu.virtual_size(tmp_path / "a", QCOW2) == 7
    limits = {line[:26].strip(): line[26:].split()[0] for line in (tmp_path / "limits").read_text().splitlines()[1:]}
    assert limits["Max address space"] == str(1 << 30)
    assert limits["Max cpu time"] == "30"
    assert limits["Max core file size"] == "0"
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "LC_ALL", "MALLOC_ARENA_MAX", "PWD", "SHLVL", "_", "OLDPWD"}, "nothing of the controller's environment"


async def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(tmp_path / "a", QCOW2)
    assert "util-linux" in caught.value.message
    assert not caught.value.terminal
    for name in ("setpriv", "prlimit"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    with pytest.raises(ImageError) as caught:
        await qemu.virtual_size(tmp_path / "a", QCOW2)
    assert "qemu-utils" in caught.value.message
    assert not caught.value.terminal
