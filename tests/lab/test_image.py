"""The guest image is built once, by one process, and never seen half done."""

import contextlib
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.guest import image, images
from tests.lab.shell import LabError, run

pytestmark = pytest.mark.lab

# Stands for the real build, which takes longer: makes an empty disk and counts.
BUILD = """#!/bin/sh
set -eu
echo built >> "$COUNT"
mkdir -p "$1"
qemu-img create -q -f qcow2 "$2/guest.qcow2" 48M
{then}
"""
ASK = "import sys; from pathlib import Path; from tests.lab.guest import images; images.SOURCES = Path(sys.argv[1]); images.image()"


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Build files of a small stand-in, and a cache of the test's own."""
    directory = tmp_path / "sources"
    directory.mkdir()
    for name in ("packages.sh", "contents.sh"):
        (directory / name).write_text("")
    write_build(directory)
    monkeypatch.setattr(images, "SOURCES", directory)
    monkeypatch.setenv("VIREO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COUNT", str(tmp_path / "count"))
    return directory


def write_build(directory: Path, then: str = "") -> None:
    (directory / "build.sh").write_text(BUILD.format(then=then))
    (directory / "build.sh").chmod(0o755)


def count(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text().splitlines())


def ask(sources: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ASK, str(sources)], stdout=subprocess.DEVNULL, start_new_session=True)


def test_facts_are_those_of_the_real_file() -> None:
    found = image()
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.sha256
    assert f'"virtual-size": {found.virtual_size}' in run("qemu-img", "info", "--output=json", str(found.path))
    assert found.virtual_size < 64 * 1024 * 1024
    run("qemu-img", "check", "-q", str(found.path))


def test_built_once(sources: Path, tmp_path: Path) -> None:
    first = images.image()
    assert images.image() == first
    assert count(tmp_path) == 1


def test_built_once_by_several_processes(sources: Path, tmp_path: Path) -> None:
    askers = [ask(sources) for _ in range(4)]
    assert [asker.wait(400) for asker in askers] == [0, 0, 0, 0]
    assert count(tmp_path) == 1


def test_a_changed_build_file_makes_another_image(sources: Path, tmp_path: Path) -> None:
    first = images.image()
    (sources / "skel").mkdir()
    (sources / "skel/motd").write_text("hello")
    second = images.image()
    (sources / "skel/motd").chmod(0o755)
    third = images.image()
    assert len({first.path, second.path, third.path}) == 3
    assert first.path.exists()


def test_python_and_its_leftovers_do_not_count(sources: Path) -> None:
    before = images.fingerprint(sources)
    (sources / "__pycache__").mkdir()
    (sources / "__pycache__/images.cpython-311.pyc").write_bytes(b"x")
    (sources / "images.py").write_text("x = 1")
    assert images.fingerprint(sources) == before


def test_a_failed_build_says_why_and_leaves_nothing(sources: Path, tmp_path: Path) -> None:
    write_build(sources, "echo 'E: Failed to fetch busybox: no network' >&2; exit 1")
    with pytest.raises(LabError, match=r"build\.sh .*: E: Failed to fetch busybox: no network$"):
        images.image()
    left = {path.name for path in (tmp_path / "cache/guest").iterdir()}
    assert {name.split("-")[0] for name in left} == {"packages"}
    write_build(sources)
    assert images.image().path.exists()


def test_a_killed_builder_leaves_no_image_and_no_lock(sources: Path, tmp_path: Path) -> None:
    write_build(sources, "echo half >> $COUNT; sleep 600")
    builder = ask(sources)
    while not (tmp_path / "count").exists() or count(tmp_path) < 2:
        assert builder.poll() is None
    builder.kill()
    builder.wait()
    for pid in run("pgrep", "-f", f"{sources}/build.sh").split():
        with contextlib.suppress(ProcessLookupError):  # one of the group that bears the script's name, until it runs its program
            os.killpg(int(pid), 9)
    write_build(sources)
    assert images.image().path.exists()
    assert not list((tmp_path / "cache/guest").glob(".building-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_what_a_killed_builder_left_mounted_is_not_removed_with_its_directory(sources: Path, tmp_path: Path) -> None:
    """A build of a whole system mounts /dev, /proc and /sys in it."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "precious").write_text("kept")
    left = tmp_path / "cache/guest/.building-left over" / "root"
    (left / "dev").mkdir(parents=True)
    run("mount", "--bind", str(tmp_path / "dev"), str(left / "dev"))
    run("mount", "-t", "tmpfs", "none", str(left / "dev"), "-o", "ro")
    assert images.image().path.exists()
    assert not list((tmp_path / "cache/guest").glob(".building-*"))
    assert (tmp_path / "dev" / "precious").read_text() == "kept"
    assert "left" not in Path("/proc/self/mounts").read_text()


def test_missing_tools_are_named_by_their_packages(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find", lambda command: None if command in ("mcopy", "syslinux") else "/usr/bin/x")
    with pytest.raises(LabError, match=r"not installed: apt-get install mtools syslinux$"):
        images.image()
