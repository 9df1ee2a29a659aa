"""The look at a file's first bytes: real images pass, and those that lead elsewhere do not."""

import gzip
import lzma
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.images import ImageError, ImageFormat, Reason
from controller.images.headers import check_header

QCOW2, RAW, VMDK, VHD = ImageFormat.QCOW2, ImageFormat.RAW, ImageFormat.VMDK, ImageFormat.VHD


def qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


def refusal(path: Path, image_format: ImageFormat) -> ImageError:
    with pytest.raises(ImageError) as caught:
        check_header(path, image_format)
    assert caught.value.terminal
    return caught.value


def patched(path: Path, target: Path, offset: int, data: bytes) -> Path:
    """A copy with some bytes replaced."""
    content = bytearray(path.read_bytes())
    content[offset : offset + len(data)] = data
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("name", "image_format"),
    [("QCOW2", QCOW2), ("RAW", RAW), ("VMDK", VMDK), ("VMDK-stream", VMDK), ("VHD", VHD), ("VHD-fixed", VHD)],
)
def test_real_images_pass(pictures: dict[str, Path], name: str, image_format: ImageFormat) -> None:
    check_header(pictures[name], image_format)


@pytest.mark.parametrize("name", ["QCOW2", "RAW", "VMDK", "VHD", "VHD-fixed"])
@pytest.mark.parametrize("claimed", list(ImageFormat))
def test_an_image_of_another_format_is_refused(pictures: dict[str, Path], name: str, claimed: ImageFormat) -> None:
    if name.startswith(claimed):
        check_header(pictures[name], claimed)
        return
    error = refusal(pictures[name], claimed)
    assert error.reason is Reason.NOT_AN_IMAGE
    assert "the template declares" in error.message


CONTENT = [
    (b"", "only 0 bytes"),
    (b"short", "only 5 bytes"),
    (b"<!DOCTYPE html><html>" + b" " * 600, "a web page"),
    (b"\r\n  <HTML lang=de>" + b" " * 600, "a web page"),
    (b"<?xml version='1.0'?>" + bytes(600), "a web page"),
    (b"Please log in first.\n" * 50, "text"),
    ("Bitte zuerst anmelden – es ist nötig.\n".encode() * 50, "text"),
    (gzip.compress(bytes(10_000_000)), "compressed with gzip"),
    (lzma.compress(bytes(10_000_000)), "compressed with xz"),
    (b"\x28\xb5\x2f\xfd" + bytes(600), "compressed with zstd"),
    (b"PK\x03\x04" + bytes(600), "a zip archive"),
    (b"vhdxfile" + bytes(600), "a VHDX image"),
    (b"COWD" + bytes(600), "an old ESX image"),
]


@pytest.mark.parametrize(("content", "text"), CONTENT)
@pytest.mark.parametrize("claimed", list(ImageFormat))
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes, text: str, claimed: ImageFormat) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    error = refusal(path, claimed)
    assert error.reason is Reason.NOT_AN_IMAGE
    assert text in error.message


def test_any_other_bytes_may_be_a_raw_disk(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (bytes(512), b"\xeb\x63\x90" + bytes(509), bytes(range(256)) * 2):
        path.write_bytes(content)
        check_header(path, RAW)


def backing(directory: Path, base: Path) -> Path:
    qemu_img("create", "-f", "qcow2", "-b", base, "-F", "raw", directory / "x")
    return directory / "x"


def data_file(directory: Path, base: Path) -> Path:
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={directory / 'data'},data_file_raw=on", directory / "x", "1M")
    return directory / "x"


def encrypted(directory: Path, base: Path) -> Path:
    """LUKS by its header field alone: making one for real measures the CPU, and gives up on a busy machine."""
    qemu_img("create", "-f", "qcow2", directory / "plain", "1M")
    return patched(directory / "plain", directory / "x", 32, struct.pack(">I", 2))


@pytest.mark.parametrize(
    ("make", "text"), [(backing, "a backing file"), (data_file, "an external data file"), (encrypted, "it is encrypted")]
)
def test_a_qcow2_that_leads_elsewhere_is_unsafe(
    tmp_path: Path, pictures: dict[str, Path], make: Callable[[Path, Path], Path], text: str
) -> None:
    error = refusal(make(tmp_path, pictures["RAW"]), QCOW2)
    assert error.reason is Reason.UNSAFE_IMAGE
    assert text in error.message


def test_an_unknown_qcow_version_is_refused(tmp_path: Path, pictures: dict[str, Path]) -> None:
    path = patched(pictures["QCOW2"], tmp_path / "x", 4, struct.pack(">I", 1))
    assert "qcow version 1" in refusal(path, QCOW2).message


def test_a_flat_vmdk_names_other_files(pictures: dict[str, Path]) -> None:
    """What qemu-img made as the description of a flat disk is a text that names the file with the data."""
    error = refusal(pictures["VMDK-flat"], VMDK)
    assert "a VMDK descriptor without data" in error.message


def test_a_sparse_vmdk_header_that_is_only_a_descriptor_is_unsafe(tmp_path: Path, pictures: dict[str, Path]) -> None:
    """With no capacity in the header, QEMU follows the descriptor's extents wherever they lead."""
    path = patched(pictures["VMDK"], tmp_path / "x", 12, bytes(8))
    error = refusal(path, VMDK)
    assert error.reason is Reason.UNSAFE_IMAGE
    assert "leads to other files" in error.message


DESCRIPTOR = (
    '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="{kind}"\n{more}\nRW 16384 {extent} "x.vmdk"\n'
)

DESCRIPTORS = [
    (DESCRIPTOR.format(kind="monolithicFlat", more="", extent="FLAT"), "type is monolithicFlat"),
    (DESCRIPTOR.format(kind="vmfs", more="", extent="VMFS"), "type is vmfs"),
    (DESCRIPTOR.format(kind="twoGbMaxExtentSparse", more="", extent="SPARSE"), "type is twoGbMaxExtentSparse"),
    (DESCRIPTOR.format(kind="monolithicSparse", more="", extent="FLAT"), "one sparse extent"),
    (DESCRIPTOR.format(kind="monolithicSparse", more='RW 1 FLAT "/etc/shadow" 0', extent="SPARSE"), "one sparse extent"),
    (DESCRIPTOR.format(kind="monolithicSparse", more='rdonly 1 flat "/etc/shadow"', extent="SPARSE"), "one sparse extent"),
    (DESCRIPTOR.format(kind="monolithicSparse", more='parentFileNameHint="/etc/shadow"', extent="SPARSE"), "a parent disk"),
    (DESCRIPTOR.format(kind="streamOptimized", more=' ParentFilenamehint = "x"', extent="SPARSE"), "a parent disk"),
    ("# nothing in it", "type is missing"),
    ("", "type is missing"),
]


@pytest.mark.parametrize(("descriptor", "text"), DESCRIPTORS)
def test_a_vmdk_descriptor_that_leads_elsewhere_is_unsafe(
    tmp_path: Path, pictures: dict[str, Path], descriptor: str, text: str
) -> None:
    path = patched(pictures["VMDK"], tmp_path / "x", 512, descriptor.encode().ljust(20 * 512, b"\0"))
    error = refusal(path, VMDK)
    assert error.reason is Reason.UNSAFE_IMAGE
    assert text in error.message


@pytest.mark.parametrize("kind", ["monolithicSparse", "streamOptimized"])
def test_a_harmless_vmdk_descriptor_passes(tmp_path: Path, pictures: dict[str, Path], kind: str) -> None:
    """The same patch with nothing wrong in it passes: what is refused above is refused for what it says."""
    descriptor = DESCRIPTOR.format(kind=kind, more="", extent="SPARSE")
    check_header(patched(pictures["VMDK"], tmp_path / "x", 512, descriptor.encode().ljust(20 * 512, b"\0")), VMDK)


@pytest.mark.parametrize(("offset", "length"), [(1 << 40, 20), (1, 1 << 40), (2**64 - 1, 2**64 - 1)])
def test_a_vmdk_descriptor_outside_the_file_is_refused(tmp_path: Path, pictures: dict[str, Path], offset: int, length: int) -> None:
    path = patched(pictures["VMDK"], tmp_path / "x", 28, struct.pack("<QQ", offset, length))
    assert "outside the file" in refusal(path, VMDK).message


def test_a_differencing_vhd_is_unsafe(tmp_path: Path, pictures: dict[str, Path]) -> None:
    path = patched(pictures["VHD"], tmp_path / "x", 60, struct.pack(">I", 4))
    error = refusal(path, VHD)
    assert error.reason is Reason.UNSAFE_IMAGE
    assert "its parent disk" in error.message
    last = pictures["VHD"].stat().st_size - 512 + 60
    assert refusal(patched(pictures["VHD"], tmp_path / "y", last, struct.pack(">I", 4)), VHD).reason is Reason.UNSAFE_IMAGE


def test_an_unknown_vhd_type_is_refused(tmp_path: Path, pictures: dict[str, Path]) -> None:
    path = patched(pictures["VHD"], tmp_path / "x", 60, struct.pack(">I", 9))
    assert "its VHD type 9" in refusal(path, VHD).message


def test_a_truncated_vhd_is_refused(tmp_path: Path, pictures: dict[str, Path]) -> None:
    path = tmp_path / "x"
    path.write_bytes(pictures["VHD"].read_bytes()[:-1024])
    assert "truncated" in refusal(path, VHD).message


@given(st.sampled_from(list(ImageFormat)), st.sampled_from([b"", b"QFI\xfb", b"KDMV", b"conectix"]), st.binary(max_size=1200))
def test_any_bytes_pass_or_give_an_image_error(
    tmp_path_factory: pytest.TempPathFactory, claimed: ImageFormat, magic: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(magic + rest)
    try:
        check_header(path, claimed)
    except ImageError as error:
        assert error.reason in (Reason.NOT_AN_IMAGE, Reason.UNSAFE_IMAGE)  # noqa: PT017  # either outcome is right
