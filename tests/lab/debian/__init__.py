"""A Debian guest with systemd, netplan and cloud-init from Debian's archive: what images of clouds are, and as slow to boot."""

from __future__ import annotations

from pathlib import Path

from standalone.cache import cache_directory
from tests.lab.guest.images import Image, built, fingerprint

__all__ = ["image"]

SOURCES = Path(__file__).parent
DISK = SOURCES.parent / "guest" / "disk.sh"
BUILD_LIMIT = 3600.0
# command to Debian package
COMMANDS = {
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mmdebstrap": "mmdebstrap",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "syslinux": "syslinux",
    "unshare": "util-linux",
}


def image(cache: Path | None = None) -> Image:
    """The Debian image, built now unless the cache has it: about a minute, and a download of 120 MB. Needs root.

    Packages are those of the day it was built. Raises LabError with the reason when it cannot be built.
    """
    top = (cache or cache_directory()) / "debian"
    # mmdebstrap mounts /proc, /sys and /dev: in a namespace of its own they go with it, also when it is killed
    return built(
        top,
        fingerprint(SOURCES, DISK),
        COMMANDS,
        lambda work: ["unshare", "--mount", f"{SOURCES}/build.sh", str(work)],
        BUILD_LIMIT,
    )
