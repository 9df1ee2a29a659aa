"""The guest image, built once for each state of its build files and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from standalone.cache import cache_directory
from tests.lab.record import exclusive
from tests.lab.shell import LabError, find, run

SOURCES = Path(__file__).parent
BUILD_LIMIT = 600.0
# command to Debian package
COMMANDS = {
    "apt-get": "apt",
    "cpio": "cpio",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "strip": "binutils",
    "syslinux": "syslinux",
}


@dataclass(frozen=True, slots=True)
class Image:
    """A bootable qcow2 file. sha256: of the file, hexadecimal; virtual_size: bytes of the disk that a guest sees."""

    path: Path
    sha256: str
    virtual_size: int


def image(cache: Path | None = None) -> Image:
    """The guest image, built now unless the cache has it (about ten seconds, and a download of 40 MB the first time).

    Several processes may ask at once: one builds, the others wait. Raises LabError with the reason when it cannot be built.
    """
    top = (cache or cache_directory()) / "guest"
    packages = top / f"packages-{_wanted_packages()}"
    return built(top, fingerprint(SOURCES), COMMANDS, lambda work: [str(SOURCES / "build.sh"), str(packages), str(work)])


def built(
    top: Path, name: str, commands: Mapping[str, str], argv: Callable[[Path], Sequence[str]], limit: float = BUILD_LIMIT
) -> Image:
    """The image `name` (a fingerprint) of the directory `top`, made by one process if it is not there.

    `argv` makes WORK/guest.qcow2 within `limit` seconds, given the directory WORK, and needs `commands`, each of a Debian package.
    Raises LabError with the reason when it cannot.
    """
    done = top / name[:16]
    if not (done / "image.json").exists():
        with exclusive(top):
            if not (done / "image.json").exists():
                _require(commands)
                _build(top, done, argv, limit)
    facts = json.loads((done / "image.json").read_text())
    return Image(done / "guest.qcow2", facts["sha256"], facts["virtual_size"])


def fingerprint(sources: Path, *others: Path) -> str:
    """One hash, hexadecimal, of everything that the build reads: names, modes and contents in a directory, and other files."""
    digest = hashlib.sha256()
    inside = (path for path in sorted(sources.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc"))
    for name, path in (*((path.relative_to(sources), path) for path in inside), *((path.name, path) for path in others)):
        executable = os.access(path, os.X_OK)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name}\0{executable}\0{content}\n".encode())
    return digest.hexdigest()


def _require(commands: Mapping[str, str]) -> None:
    absent = sorted({package for command, package in commands.items() if find(command) is None})
    if absent:
        raise LabError(f"the guest image needs Debian packages that are not installed: apt-get install {' '.join(absent)}")


def _build(top: Path, done: Path, argv: Callable[[Path], Sequence[str]], limit: float) -> None:
    for abandoned in top.glob(".building-*"):  # its builder is gone, we hold the lock
        _remove(abandoned)
    work = Path(tempfile.mkdtemp(prefix=".building-", dir=top))
    try:
        run(*argv(work), timeout=limit)
        _publish(work, done)
    finally:
        _remove(work)


def _remove(directory: Path) -> None:
    """Remove what a build made. What a killed one has left mounted is not its own: that is unmounted, and stays."""
    mounts = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    points = [Path(each.encode().decode("unicode_escape")) for each in mounts]  # a space is \040 there
    for point in sorted((each for each in points if each.is_relative_to(directory)), reverse=True):
        run("umount", "--lazy", str(point))
    shutil.rmtree(directory)


def _wanted_packages() -> str:
    """Hash of what decides which packages are downloaded: they are kept when only other build files change."""
    deciding = (SOURCES / name for name in ("packages.sh", "contents.sh"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in deciding)).hexdigest()[:16]


def _publish(work: Path, done: Path) -> None:
    """Move the result to its place at once: who sees image.json sees a complete image."""
    result = work / "result"
    result.mkdir()
    disk = (work / "guest.qcow2").rename(result / "guest.qcow2")
    size = json.loads(run("qemu-img", "info", "--output=json", str(disk)))["virtual-size"]
    with disk.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    (result / "image.json").write_text(json.dumps({"sha256": digest, "virtual_size": size}) + "\n")
    if done.exists():
        shutil.rmtree(done)
    result.rename(done)
