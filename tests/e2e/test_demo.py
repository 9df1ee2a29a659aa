"""`make demo` as root: a VM that QEMU boots, the way on that the demo tells, the guide, and nothing left in the end."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.e2e.demos import NOTHING, ROOT, Machine, commands, machine, pids, remains_of_killed
from tests.lab import processes

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """What the demo showed at its start."""
    return {}


@pytest.fixture(scope="module")
def running(shown: dict[str, str]) -> Iterator[Machine]:
    """A machine with a running demo, started as the README says."""
    with machine() as made:
        done = made.make("demo")
        assert done.returncode == 0, done.stdout + done.stderr
        shown["up"] = done.stdout
        yield made


def power_cut(made: Machine) -> None:
    """What a reboot leaves: files, but no process, namespace or mount."""
    ours = [name for name in processes.namespaces() if name.startswith(f"{made.layout.prefix}-")]
    for pid in {int(pid) for pid in pids(made).values()} | set(processes.members(ours)):
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    processes.kill(lambda: [*processes.members(ours), *processes.started_for(made.layout.lab)])
    for name in ours:
        made.run("ip", "netns", "del", name)
    remains = remains_of_killed(made)
    assert [remains[kind] for kind in ("processes", "namespaces")] == [[], []]


def test_it_shows_the_cloud_and_logs_in(running: Machine, shown: dict[str, str]) -> None:
    text = shown["up"]
    assert re.search(r"^\$ ssh root@10\.20\.0\.\d+ 'hostname; cat /etc/motd'\nweb-1\nHello from Vireo\.$", text, re.MULTILINE)
    assert re.search(r"^demo +virtualmachine\.vireo\.dev/web-1 +Running +True +kvm-1 +10\.20\.0\.", text, re.MULTILINE)
    assert re.search(r"^demo +virtualmachine\.vireo\.dev/web-2 +Running +True +host-00", text, re.MULTILINE)
    assert re.search(r"host kvm-1 Up\n.*vm demo/web-1 Running 10\.20\.0\.", text)
    assert "cluster simulated (Simulator, 200 of 200 hosts up)" in text


def test_a_second_run_changes_nothing(running: Machine) -> None:
    before = pids(running)
    boot = running.demo("ssh", "web-1", "cat", "/proc/sys/kernel/random/boot_id").stdout
    done = running.make("demo")
    assert done.returncode == 0, done.stderr
    assert "Hello from Vireo." in done.stdout
    assert pids(running) == before
    assert running.demo("ssh", "web-1", "cat", "/proc/sys/kernel/random/boot_id").stdout == boot != ""


def test_the_way_on_works(running: Machine, shown: dict[str, str]) -> None:
    """Each command that the demo tells in the end, as it stands; `make demo-down` is for other tests."""
    lines = shown["up"].partition("How to go on\n")[2].splitlines()
    told = [(line[:15].strip(), line[16:]) for line in lines]
    assert [what for what, _ in told] == [
        *("", "look", "log in", "resize", "stop", "start", "break a host", "mend it", "the YAML", "logs", "end"),
    ]
    assert told[-1][1] == "make demo-down"
    script = [command + (" hostname" if what == "log in" else "") for what, command in told[:-1]]
    done = running.shell("\n".join(script))
    assert done.returncode == 0, done.stderr[-2000:]
    back = running.make("demo")
    assert back.returncode == 0, back.stderr
    assert "Hello from Vireo." in back.stdout, "a second run waits until the broken host and its VM are back"


def test_the_guide_works(running: Machine) -> None:
    """Every command of the page, in its order."""
    done = running.shell(commands((ROOT / "docs" / "getting-started.md").read_text()))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "This one is mine." in done.stdout
    assert "service offering huge does not exist" in done.stdout
    assert "0 of 201 hosts fit" in done.stdout


def test_a_reboot(running: Machine) -> None:
    power_cut(running)
    assert running.demo("status").returncode == 1
    done = running.make("demo")
    assert done.returncode == 0, done.stderr
    assert "Hello from Vireo." in done.stdout
    assert running.demo("status").returncode == 0


def test_down_leaves_nothing(running: Machine) -> None:
    """The last one, since it ends the demo of the others; what all of them left is what it has to clear away."""
    remains = running.remains()
    for kind in ("processes", "children", "mounts", "namespaces"):
        assert remains[kind], f"there are {kind} to be ended, or this test would show nothing"
    down = running.make("demo-down")
    assert down.returncode == 0, down.stderr
    assert running.remains() == NOTHING
    again = running.make("demo-down")
    assert (again.returncode, again.stdout) == (0, "there is no demo\n")
