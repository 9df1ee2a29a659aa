"""Look at the first bytes of a source before any tool does.

qemu-img opens what an image refers to. So an image that refers to other files (a backing file, a data file, extents) is refused
here, from its own header, before qemu-img sees it. CVE-2022-47951 and CVE-2024-32498 were made of such images.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.images.errors import ImageError, Reason
from controller.images.source import ImageFormat

__all__ = ["check_header"]

_SECTOR: Final = 512
_HEAD: Final = 64 * 1024
_DESCRIPTOR_LIMIT: Final = 1 << 20

_QCOW2_HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQ")
_QCOW2_EXTERNAL_DATA: Final = 1 << 2
_VMDK_HEADER: Final = struct.Struct("<4sIIQQQQ")
_VHD_TYPE: Final = struct.Struct(">60xI")
_VHD_KINDS: Final = {2: "fixed", 3: "dynamic"}
_VHD_DIFFERENCING: Final = 4

_MAGIC: Final = {
    b"QFI\xfb": "a qcow2 image",
    b"KDMV": "a VMDK image",
    b"COWD": "an old ESX image",
    b"# Disk DescriptorFile": "a VMDK descriptor without data",
    b"conectix": "a VHD image",
    b"vhdxfile": "a VHDX image",
    b"\x1f\x8b": "compressed with gzip",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"BZh": "compressed with bzip2",
    b"PK\x03\x04": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
}
_EXPECTED: Final = {
    ImageFormat.QCOW2: "a qcow2 image",
    ImageFormat.VMDK: "a VMDK image",
    ImageFormat.VHD: "a VHD image",
    ImageFormat.RAW: "",
}
_TEXT: Final = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class _Ends:
    """First and last bytes of a file."""

    path: Path
    size: int
    head: bytes
    tail: bytes


def check_header(path: Path, image_format: ImageFormat) -> None:
    """Raise ImageError unless the file looks like an image of that format which refers to nothing outside itself."""
    ends = _read(path)
    if ends.size < _SECTOR:
        raise _not_an_image(f"it has only {ends.size} bytes")
    found = _recognise(ends)
    if found != _EXPECTED[image_format]:
        wanted = _EXPECTED[image_format] or "a raw disk"
        raise _not_an_image(f"it is {found or 'of an unknown format'}, the template declares {wanted}")
    if image_format is ImageFormat.QCOW2:
        _check_qcow2(ends)
    elif image_format is ImageFormat.VMDK:
        _check_vmdk(ends)
    elif image_format is ImageFormat.VHD:
        _check_vhd(ends)


def _read(path: Path) -> _Ends:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, size - _SECTOR))
        return _Ends(path, size, head, file.read(_SECTOR))


def _recognise(ends: _Ends) -> str:
    """What the file seems to be; empty if it could be a raw disk."""
    for magic, name in _MAGIC.items():
        if ends.head.startswith(magic):
            return name
    if ends.tail.startswith(b"conectix"):
        return "a VHD image"
    start = ends.head[:_SECTOR].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page"
    return "text" if _TEXT.fullmatch(ends.head[:_SECTOR]) else ""


def _check_qcow2(ends: _Ends) -> None:
    """Header as in QEMU's docs/interop/qcow2.txt."""
    _, version, backing, _, _, _, encrypted, *_ = _QCOW2_HEADER.unpack_from(ends.head)
    if version not in (2, 3):
        raise _not_an_image(f"it is qcow version {version}, not 2 or 3")
    features = struct.unpack_from(">Q", ends.head, _QCOW2_HEADER.size)[0] if version == 3 else 0
    if backing:
        raise _unsafe("it has a backing file")
    if features & _QCOW2_EXTERNAL_DATA:
        raise _unsafe("it has an external data file")
    if encrypted:
        raise _unsafe("it is encrypted")


def _check_vmdk(ends: _Ends) -> None:
    """Sparse extent header and embedded descriptor as in VMware's Virtual Disk Format specification 5.0."""
    _, _, _, capacity, _, offset, length = _VMDK_HEADER.unpack_from(ends.head)
    if not capacity or not offset:
        raise _unsafe("its header leads to other files instead of describing one disk")
    if length * _SECTOR > _DESCRIPTOR_LIMIT or (offset + length) * _SECTOR > ends.size:
        raise _not_an_image("its VMDK descriptor lies outside the file")
    with ends.path.open("rb") as file:
        file.seek(offset * _SECTOR)
        _check_descriptor(file.read(length * _SECTOR).partition(b"\0")[0].decode("utf-8", "replace"))


def _check_descriptor(text: str) -> None:
    kind = re.search(r'^\s*createType\s*=\s*"?(\w+)', text, re.MULTILINE | re.IGNORECASE)
    if not kind or kind[1].lower() not in ("monolithicsparse", "streamoptimized"):
        raise _unsafe(f"its VMDK type is {kind[1][:32] if kind else 'missing'}, not monolithicSparse or streamOptimized")
    if re.search(r"^\s*parentFileNameHint", text, re.MULTILINE | re.IGNORECASE):
        raise _unsafe("it has a parent disk")
    extents = re.findall(r"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)", text, re.MULTILINE | re.IGNORECASE)
    if [each.upper() for each in extents] != ["SPARSE"]:
        raise _unsafe("it must have exactly one sparse extent")


def _check_vhd(ends: _Ends) -> None:
    """Footer as in Microsoft's Virtual Hard Disk Image Format specification 1.0; a dynamic disk has a copy of it at the start."""
    if not ends.tail.startswith(b"conectix"):
        raise _not_an_image("its VHD footer is missing: the file is truncated")
    copies = [each for each in (ends.head, ends.tail) if each.startswith(b"conectix")]
    kinds = {_VHD_TYPE.unpack_from(each)[0] for each in copies}
    if _VHD_DIFFERENCING in kinds:
        raise _unsafe("it is a differencing VHD, which needs its parent disk")
    if not kinds <= _VHD_KINDS.keys():
        raise _not_an_image(f"its VHD type {min(kinds - _VHD_KINDS.keys())} is neither fixed nor dynamic")


def _not_an_image(what: str) -> ImageError:
    return ImageError(Reason.NOT_AN_IMAGE, f"what was downloaded can't be used: {what}")


def _unsafe(what: str) -> ImageError:
    return ImageError(Reason.UNSAFE_IMAGE, f"the image is refused: {what}")
