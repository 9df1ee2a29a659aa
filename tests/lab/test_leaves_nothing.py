"""What a lab is made of is gone after `down`, however its maker ended, and labs beside it are untouched."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Lab, cgroups, processes
from tests.lab.guests import blank, connection
from tests.lab.host import BOOT_LIMIT
from tests.lab.record import BACKENDS, Backend
from tests.lab.shell import run

pytestmark = pytest.mark.lab


def remains(lab: Lab) -> dict[str, list[str]]:
    """Everything of a lab that is still on the machine."""
    state = str(lab.layout.state)
    return {
        "files": [state] if lab.layout.state.exists() else [],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if state in line],
        "namespaces": [name for name in processes.namespaces() if name.startswith(f"{lab.layout.prefix}-")],
        "cgroups": [str(path) for path in cgroups.find(lab.layout.cgroup)],
        "processes": [line for line in run("ps", "axeww", "-o", "pid,args").splitlines() if state in line],
        "links": [line for line in run("ip", "-o", "link").splitlines() if lab.layout.prefix in line],
    }


NOTHING: dict[str, list[str]] = {key: [] for key in ("files", "mounts", "namespaces", "cgroups", "processes", "links")}


@pytest.mark.parametrize("backend", BACKENDS)
def test_down_leaves_nothing_and_up_again_works(new_lab: Lab, backend: Backend) -> None:
    for _ in range(2):
        new_lab.up(hosts=2, backend=backend)
        new_lab.add_vlan(10)
        new_lab.add_gateway(10, "10.10.0.1/24")
        with connection(new_lab.host("h1")) as connected:
            blank(connected, "guest")
        assert remains(new_lab)["namespaces"]
        assert remains(new_lab)["processes"]
        new_lab.down()
        assert remains(new_lab) == NOTHING


def test_up_is_idempotent(new_lab: Lab) -> None:
    new_lab.up(hosts=1)
    first = processes.init(new_lab.layout.namespace("h1"))
    new_lab.up(hosts=2)
    new_lab.up(hosts=1)
    assert processes.init(new_lab.layout.namespace("h1")) == first
    assert [host.state for host in new_lab.hosts()] == ["on", "on"]


def test_down_of_a_lab_that_never_was(new_lab: Lab) -> None:
    new_lab.down()
    new_lab.down()
    assert remains(new_lab) == NOTHING


def test_labs_side_by_side(lab: Lab, new_lab: Lab) -> None:
    """Two labs with hosts of the same names; one goes down, the other one's guest does not notice."""
    new_lab.up(hosts=1)
    with connection(lab.host("h1")) as connected:
        guest = blank(connected, "neighbour")
        try:
            with connection(new_lab.host("h1")) as other:
                assert other.listAllDomains() == []
                blank(other, "neighbour")
            new_lab.down()
            assert guest.isActive()
            assert lab.host("h1").state == "on"
        finally:
            guest.destroy()


MILESTONES: dict[str, Callable[[Lab], bool]] = {
    "the first namespace": lambda lab: lab.layout.namespace("fabric") in processes.namespaces(),
    "the namespace of a host": lambda lab: lab.layout.namespace("h1") in processes.namespaces(),
    "the files of a host": lambda lab: (lab.layout.host_dir("h1") / "etc/qemu.conf").exists(),
    "the first process of a host": lambda lab: bool(processes.started_for(lab.layout.state)),
    "pid 1 of a host": lambda lab: processes.init(lab.layout.namespace("h1")) is not None,
    "the socket of a host": lambda lab: lab.layout.socket("h1").exists(),
}


def kill(maker: subprocess.Popen[bytes]) -> None:
    """Kill it, and wait for the commands that it had under way: they end by themselves, and what they made is to be found."""
    maker.send_signal(signal.SIGSTOP)
    processes.wait(lambda: processes.stopped(maker.pid), "the maker did not stop")
    under_way = processes.children(maker.pid)
    maker.kill()
    maker.wait()
    processes.wait(lambda: all(map(processes.ended, under_way)), f"commands of the maker did not end: {under_way}")


@pytest.mark.parametrize("milestone", MILESTONES)
def test_down_cleans_up_after_a_maker_that_was_killed(new_lab: Lab, milestone: str) -> None:
    layout = new_lab.layout
    argv = [sys.executable, "-m", "tests.lab", "--state", str(layout.state), "--prefix", layout.prefix, "up", "--hosts", "2"]
    maker = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + BOOT_LIMIT
    while not MILESTONES[milestone](new_lab):
        assert time.monotonic() < deadline, f"{milestone} never came"
    kill(maker)
    new_lab.down()
    assert remains(new_lab) == NOTHING


def test_up_completes_what_a_killed_maker_began(new_lab: Lab) -> None:
    layout = new_lab.layout
    argv = [sys.executable, "-m", "tests.lab", "--state", str(layout.state), "--prefix", layout.prefix, "up", "--hosts", "2"]
    maker = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + BOOT_LIMIT
    while processes.init(layout.namespace("h1")) is None:
        assert time.monotonic() < deadline, "h1 never came"
    kill(maker)
    new_lab.up(hosts=2)
    for host in new_lab.hosts():
        with connection(host) as connected:
            assert connected.getHostname() == host.name
