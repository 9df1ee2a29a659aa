"""Own cgroups for each lab host, so that the cgroup paths that libvirt makes for its guests cannot meet.

Only where the controllers are in version 1 hierarchies. On a machine with the unified hierarchy a host sees no cgroups;
libvirt then runs guests without them and refuses CPU shares and memory limits.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from tests.lab.shell import LabError

ROOT = Path("/sys/fs/cgroup")


def controllers(text: str) -> list[tuple[str, str]]:
    """Version 1 hierarchies of /proc/self/cgroup as (controllers, own path), see cgroups(7)."""
    rows = (line.split(":", 2) for line in text.splitlines())
    return [(names, path) for _, names, path in rows if names and not names.startswith("name=")]


def create(lab: str, host: str, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> dict[str, Path]:
    """Make the cgroups of a host below the caller's own; returns controllers to directory."""
    made = {}
    for names, path in controllers(own.read_text()):
        parent = root / names / path.lstrip("/")
        if not parent.is_dir():
            continue
        directory = parent / lab / host
        directory.mkdir(parents=True, exist_ok=True)
        if "cpuset" in names.split(","):
            _inherit_cpuset(parent, directory.parent, directory)
        made[names] = directory
    return made


def remove(lab: str, host: str | None = None, root: Path = ROOT, limit: float = 60.0) -> None:
    """Remove all cgroups of a lab, or of one of its hosts. Raises LabError when one stays busy for `limit` seconds."""
    deadline = time.monotonic() + limit
    while left := [top / host if host else top for top in find(lab, root) if host is None or (top / host).is_dir()]:
        for top in left:
            _remove_tree(top)
        if time.monotonic() > deadline:
            raise LabError(f"cgroup {left[0]} is still busy after {limit:g} s")
        time.sleep(0.02)


def find(lab: str, root: Path = ROOT) -> list[Path]:
    """Every cgroup directory of that name, in all hierarchies."""
    return [Path(top) / lab for top, names, _ in os.walk(root) if lab in names]


def _remove_tree(top: Path) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            continue  # a process that was just killed still counts; the caller tries again


def _inherit_cpuset(*directories: Path) -> None:
    # a new version 1 cpuset is empty and takes no process until it has CPUs and memory nodes
    for above, below in itertools.pairwise(directories):
        for name in ("cpuset.cpus", "cpuset.mems"):
            (below / name).write_text((above / name).read_text())
