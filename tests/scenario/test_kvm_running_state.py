"""A snapshot with memory of a guest on a real host, brought back by the controller: what ran then runs again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab.guest import image
from tests.scenario.kvmguests import Guests, guests

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

SLEEPER = "sleep 100000"
START = f"mkdir -p /run/mark; echo kept > /run/mark/memory; {SLEEPER} > /dev/null 2>&1 < /dev/null & echo $!"
COMMAND = "tr '\\0' ' ' < /proc/{}/cmdline 2>/dev/null || echo gone"
MEMORY = "cat /run/mark/memory 2>/dev/null || echo gone"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """The VM `web` with the volume `data`; its guest answers."""
    with guests(tmp_path_factory.mktemp("running"), "root") as world:
        world.template("guest", image())
        world.cloud.api.apply(make.offering("one", 1, "112Mi"), make.manifest("Volume", "data", zone="z", size="16Mi"))
        volumes = [{"name": "data", "volume": "data"}]
        spec: dict[str, Any] = {"offering": "one", "template": {"name": "guest"}, "sshKeys": [world.public_key], "volumes": volumes}
        world.cloud.api.apply(make.vm("web", **spec))
        world.current("web")
        yield world


def write(world: Guests, word: str) -> None:
    """On the root file system and on the volume, for good."""
    device = world.disk("web", "data")
    world.run("web", f"echo {word} > /root/word; printf {word} | dd of=/dev/{device} conv=notrunc 2>/dev/null; sync")


def read(world: Guests) -> tuple[str, str]:
    """What is on both, past the guest's cache."""
    world.run("web", "echo 3 > /proc/sys/vm/drop_caches")
    return world.run("web", "cat /root/word"), world.run("web", f"head -c 5 /dev/{world.disk('web', 'data')}")


def test_processes_and_files_of_then_are_back(world: Guests) -> None:
    boot, identity = world.boot("web"), world.identity("web")
    write(world, "first")
    pid = world.run("web", START)
    assert world.run("web", COMMAND.format(pid)) == SLEEPER
    world.cloud.api.apply(make.manifest("Snapshot", "then", virtualMachine="web", includeMemory=True))
    world.current("then", kind="Snapshot")
    assert world.run("web", COMMAND.format(pid)) == SLEEPER, "it goes on"
    write(world, "later")
    world.run("web", f"rm /run/mark/memory; kill {pid}")
    world.cloud.until(lambda: world.run("web", COMMAND.format(pid)) == "gone", "the process is gone", 300)
    assert (world.run("web", MEMORY), read(world)) == ("gone", ("later", "later"))

    world.cloud.api.apply(make.manifest("SnapshotRestore", "back", snapshot="then"))
    world.current("back", kind="SnapshotRestore")
    world.current("web")
    assert world.run("web", COMMAND.format(pid)) == SLEEPER
    assert (world.run("web", MEMORY), read(world)) == ("kept", ("first", "first"))
    assert (world.boot("web"), world.identity("web")) == (boot, identity)


def test_a_vm_that_is_off_runs_again_and_is_switched_off_if_so_declared(world: Guests) -> None:
    """Declared Off it is stopped after that; switched on again it boots, with the disks of then."""
    boot = world.boot("web")
    write(world, "again")
    world.change("web", powerState="Off")
    world.cloud.api.apply(make.manifest("SnapshotRestore", "once-more", snapshot="then"))
    world.current("once-more", kind="SnapshotRestore")
    world.current("web")
    assert world.status("web")["state"] == "Stopped"
    assert [machine.on for _, machine in world.site.machines()] == [False]
    world.change("web", powerState="On")
    assert world.boot("web") != boot
    assert read(world) == ("first", "first")
    world.cloud.api.delete("Snapshot", "then")
    world.cloud.await_gone("Snapshot", "then")
