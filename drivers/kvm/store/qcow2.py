"""What must hold of a template's qcow2 file before a host opens it (pure).

A qcow2 header can name other files of the host (a backing file, an external data file), which QEMU would open for the guest.
Layout: QEMU docs/interop/qcow2.txt, all numbers big-endian.
"""

from __future__ import annotations

import struct

from drivers.errors import InvalidSpec

HEADER = 104
MAGIC = b"QFI\xfb"
EXTERNAL_DATA = 1 << 2


def check(header: bytes, virtual_size: int) -> None:
    """Check the first HEADER bytes of a file that is said to have `virtual_size`. Raises InvalidSpec."""
    if len(header) < 32 or header[:4] != MAGIC:
        raise InvalidSpec("the template image is not a qcow2 file")
    version, backing = struct.unpack_from(">IQ", header, 4)
    (size,) = struct.unpack_from(">Q", header, 24)
    if version not in {2, 3}:
        raise InvalidSpec(f"the template image is qcow2 version {version}; 2 and 3 are supported")
    if backing:
        raise InvalidSpec("the template image is layered on another file; it must stand alone")
    if version == 3 and _incompatible(header) & EXTERNAL_DATA:
        raise InvalidSpec("the template image keeps its data in another file; it must stand alone")
    if size != virtual_size:
        raise InvalidSpec(f"the template image has {size} bytes, not {virtual_size} as it is said to have")


def _incompatible(header: bytes) -> int:
    if len(header) < HEADER:
        raise InvalidSpec("the template image is cut short")
    return int(struct.unpack_from(">Q", header, 72)[0])
