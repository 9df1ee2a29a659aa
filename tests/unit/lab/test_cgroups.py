"""Cgroups of a host, in a directory that stands for /sys/fs/cgroup."""

from pathlib import Path

import pytest

from tests.lab import cgroups
from tests.lab.shell import LabError

VERSION_1 = "9:name=systemd:/\n4:memory:/box/1\n3:cpuset:/\n2:cpu,cpuacct:/\n0::/\n"
VERSION_2 = "0::/user.slice/user-0.slice/session-1.scope\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    for name in ("memory/box/1", "cpuset", "cpu,cpuacct", "systemd"):
        (root / name).mkdir(parents=True)
    for name, text in (("cpus", "0-1\n"), ("mems", "0\n")):
        (root / "cpuset" / f"cpuset.{name}").write_text(text)
    return root


def own(tmp_path: Path, text: str) -> Path:
    (tmp_path / "own").write_text(text)
    return tmp_path / "own"


def test_controllers_of_version_1() -> None:
    assert cgroups.controllers(VERSION_1) == [("memory", "/box/1"), ("cpuset", "/"), ("cpu,cpuacct", "/")]


def test_the_unified_hierarchy_has_none() -> None:
    assert cgroups.controllers(VERSION_2) == []


def test_a_path_may_have_colons() -> None:
    assert cgroups.controllers("5:pids:/a:b\n") == [("pids", "/a:b")]


def test_a_host_gets_its_own_below_the_callers(tmp_path: Path, root: Path) -> None:
    made = cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_1))
    assert made == {
        "memory": root / "memory/box/1/lab-a/h1",
        "cpuset": root / "cpuset/lab-a/h1",
        "cpu,cpuacct": root / "cpu,cpuacct/lab-a/h1",
    }
    assert all(path.is_dir() for path in made.values())


def test_a_cpuset_takes_over_cpus_and_memory(tmp_path: Path, root: Path) -> None:
    made = cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_1))["cpuset"]
    for directory in (made, made.parent):
        assert [(directory / f"cpuset.{name}").read_text() for name in ("cpus", "mems")] == ["0-1\n", "0\n"]


def test_a_hierarchy_that_is_not_mounted_is_left_out(tmp_path: Path, root: Path) -> None:
    assert cgroups.create("lab-a", "h1", root, own(tmp_path, "7:pids:/\n0::/\n")) == {}


def test_a_machine_without_version_1_gets_none(tmp_path: Path, root: Path) -> None:
    assert cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_2)) == {}


def test_create_twice_is_no_error(tmp_path: Path, root: Path) -> None:
    first = cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_1))
    assert cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_1)) == first


def plain_hierarchy(root: Path) -> None:
    """As the kernel shows it: directories that rmdir removes, whatever files are in them."""
    for path in root.rglob("cpuset.*"):
        path.unlink()


def test_remove_takes_one_host_or_all_and_nothing_else(tmp_path: Path, root: Path) -> None:
    for lab, host in (("lab-a", "h1"), ("lab-a", "h2"), ("lab-ab", "h1")):
        made = cgroups.create(lab, host, root, own(tmp_path, VERSION_1))
        (made["memory"] / "machine/qemu-1").mkdir(parents=True)
    plain_hierarchy(root)
    cgroups.remove("lab-a", "h1", root)
    assert not (root / "memory/box/1/lab-a/h1").exists()
    assert (root / "memory/box/1/lab-a/h2/machine/qemu-1").is_dir()
    cgroups.remove("lab-a", root=root)
    assert cgroups.find("lab-a", root) == []
    assert len(cgroups.find("lab-ab", root)) == 3


def test_remove_of_nothing(root: Path) -> None:
    cgroups.remove("lab-a", root=root)
    cgroups.remove("lab-a", "h1", root)


def test_a_busy_cgroup_is_named(tmp_path: Path, root: Path) -> None:
    made = cgroups.create("lab-a", "h1", root, own(tmp_path, VERSION_1))
    (made["memory"] / "a-process-is-here").write_text("")
    with pytest.raises(LabError, match=r"cgroup .*lab-a is still busy"):
        cgroups.remove("lab-a", root=root, limit=0.0)
