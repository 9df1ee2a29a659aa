"""What happens to real hosts, as users see it: what the objects say and after how long, and that the same VM is there again.

The controller reaches the host over the lab's management network, through a relay that is in the operator's place.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import netrelay
from tests.support.live import History
from tests.support.live import manifests as make
from tests.support.live.controller import ROOT
from tests.support.tables import Report

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.contract.kvm_binding import MARKER  # noqa: E402
from tests.lab.host import Host, run_in  # noqa: E402
from tests.lab.shell import run  # noqa: E402
from tests.scenario.kvmsite import Site, local, site  # noqa: E402

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(1800)]

PATIENCE = 240.0
TABLE = "Faults of KVM hosts: seconds until an object said so, and until all was as declared after the end of the fault"
WORD = "kept over faults"
Step = Callable[["World"], None]


class World:
    """A host that is reached over the network, with a VM `web` that runs."""

    def __init__(self, site: Site, history: dict[str, History]) -> None:
        self.site, self.cloud, self.host = site, site.cloud, site.hosts[0]
        self._history = history

    def says(self, kind: str, name: str, since: int) -> list[str]:
        """What an object said in each of its versions after the first `since` of its kind."""
        history = self._history[kind]
        history.check()
        found = [each for each in history.versions[since:] if each["metadata"]["name"] == name]
        return [_words(each) for each in found]

    def versions(self, kind: str) -> int:
        return len(self._history[kind].versions)

    def web(self) -> make.Manifest:
        found = self.cloud.api.get("VirtualMachine", "web")
        assert found
        return found

    def identity(self) -> object:
        """What must stay for the life of a VM."""
        status = self.web()["status"]
        return status["instanceID"], status["nics"], status["host"]

    def process(self) -> str:
        """The QEMU process of `web`, within its host, and the libvirt's id, which each start changes."""
        with closing(libvirt.open(self.host.uri)) as admin:
            domain = admin.lookupByUUIDString(self.web()["status"]["instanceID"])
            pid = run_in(self.host, "cat", f"/run/libvirt/qemu/{domain.name()}.pid") if domain.isActive() else ""
            return f"{pid} {domain.ID()}"

    def power(self, name: str, state: str) -> None:
        self.cloud.api.patch("VirtualMachine", name, {"spec": {"powerState": state}})


def _words(each: make.Manifest) -> str:
    """State, and the conditions that are not as they should be."""
    status = each.get("status", {})
    bad = [each for each in status.get("conditions", ()) if each["status"] == "False"]
    return f"{status.get('state')}; " + "; ".join(f"{c['type']} {c['reason']}: {c.get('message', '')}" for c in bad)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with site(tmp_path_factory.mktemp("cloud"), 1) as made:
        path = Path(made.lab.shared) / "relay"
        relay = _relay(made, path)
        prepare_small(made.hosts[0])
        made.apply([f"qemu+unix:///system?socket={path}"])
        small = {"zone": "z", "scope": "Host", "host": "h1", "type": "Directory", "path": str(_small(made.hosts[0]))}
        made.cloud.api.apply(make.manifest("StoragePool", "small", tags=["small"], **small))
        made.cloud.controller.start()
        made.cloud.await_current("StoragePool", deadline=PATIENCE)  # else `web` may get its disk in the small one
        made.cloud.api.apply(vm("web", powerState="Off"), vm("idle", "small", powerState="Off"))
        made.cloud.await_current(names=["web", "idle"], deadline=PATIENCE)
        world = World(made, {kind: History(made.cloud.api, kind) for kind in ("Host", "VirtualMachine", "StoragePool")})
        mark(world)
        world.power("web", "On")
        yield world
        relay.kill()
        relay.wait()


def vm(name: str, tag: str = "local", **spec: Any) -> make.Manifest:
    return make.vm(name, stopMode="Hard", rootDisk={"size": "16Mi", "tags": [tag] if tag != "local" else []}, **spec)


def _relay(site: Site, path: Path) -> subprocess.Popen[str]:
    address = site.hosts[0].tcp_uri.split("/")[2]
    argv = netrelay.command("outer", 16509, path, address)
    process = subprocess.Popen(site.lab.command("ctl", *argv), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def _small(host: Host) -> Path:
    return host.local / "small"


def prepare_small(host: Host) -> None:
    """A file system of 60 MiB, as whatever mounts it at each boot of the host does."""
    run_in(host, "mkdir", "-p", str(_small(host)))
    run_in(host, "mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(_small(host)))


def root_disk(world: World) -> str:
    return str(local(world.host) / f"{world.web()['status']['instanceID']}-root.qcow2")


def mark(world: World) -> None:
    word = world.host.local / "word"
    word.write_bytes(WORD.encode().ljust(MARKER, b"\0"))
    run("qemu-io", "-f", "qcow2", "-c", f"write -s {word} 0 {MARKER}", root_disk(world))


def marked(world: World) -> str:
    out = world.host.local / "read"
    run("qemu-img", "dd", "-U", "-f", "qcow2", "-O", "raw", f"bs={MARKER}", "count=1", f"if={root_disk(world)}", f"of={out}")
    return out.read_bytes().rstrip(b"\0").decode()


@dataclass(frozen=True)
class Fault:
    """`strike`, then `object` (kind and name) says one of `words` in some version, then `lift`.

    `restarted`: whether the VM has another process in the end.
    """

    name: str
    strike: Step
    object: tuple[str, str]
    words: tuple[str, ...]
    lift: Step
    restarted: bool = False


def boot(world: World) -> None:
    world.site.lab.start("h1")
    prepare_small(world.host)


def kill_qemu(world: World) -> None:
    run_in(world.host, "kill", "-KILL", world.process().split()[0])


def nothing(world: World) -> None:
    """It ends by itself."""


def press(world: World) -> None:
    """A guest without an operating system does not know the power button."""
    world.cloud.api.patch("VirtualMachine", "web", {"spec": {"stopMode": "TrySoft", "stopTimeout": "10s", "powerState": "Off"}})


def cut_off(world: World) -> None:
    """The power is cut at the end of the timeout; then it is wanted on again."""
    world.cloud.until(lambda: world.web()["status"]["state"] == "Stopped", "web is Stopped", PATIENCE)
    world.power("web", "On")


def fill(world: World) -> None:
    small = _small(world.host)
    run_in(world.host, "sh", "-c", f"head -c 80M /dev/zero > {small}/big 2>/dev/null || true")
    world.cloud.api.apply(vm("late", "small"))


def make_room(world: World) -> None:
    run_in(world.host, "rm", str(_small(world.host) / "big"))
    world.cloud.await_current(names=["late"], deadline=PATIENCE)
    world.cloud.api.delete("VirtualMachine", "late")
    world.cloud.until(lambda: not world.cloud.api.get("VirtualMachine", "late"), "late is gone", PATIENCE)


def unmount(world: World) -> None:
    """An empty directory is there instead."""
    run_in(world.host, "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(_small(world.host)))
    world.power("idle", "On")


def mount_again(world: World) -> None:
    run_in(world.host, "umount", str(_small(world.host)))
    world.cloud.until(lambda: _state(world, "idle") == "Running", "idle runs", PATIENCE)
    world.power("idle", "Off")


def _state(world: World, name: str) -> str:
    found = world.cloud.api.get("VirtualMachine", name) or {}
    return str(found.get("status", {}).get("state"))


HOST, VM = ("Host", "h1"), ("VirtualMachine", "web")
SILENT = ("Connecting;", "Alert;")
FAULTS = [
    Fault("libvirtd stopped", lambda w: w.host.daemon_stop(), HOST, SILENT, lambda w: w.host.daemon_start()),
    Fault("libvirtd killed", lambda w: w.host.daemon_kill(), HOST, SILENT, lambda w: w.host.daemon_start()),
    Fault("libvirtd hung", lambda w: w.host.hang(), HOST, SILENT, lambda w: w.host.unhang()),
    Fault("link cut", lambda w: w.host.partition(), HOST, SILENT, lambda w: w.host.heal()),
    Fault("QEMU killed", kill_qemu, VM, ("Stopped", "Starting"), nothing, restarted=True),
    Fault("power button ignored", press, VM, ("its power is cut at the end of stopTimeout",), cut_off, restarted=True),
    Fault("disk full", fill, ("VirtualMachine", "late"), ("InsufficientStorage",), make_room),
    Fault("pool gone", unmount, ("VirtualMachine", "idle"), ("HypervisorUnavailable", "HypervisorConflict"), mount_again),
    Fault("host crashed, and boot", lambda w: w.host.crash(), HOST, SILENT, boot, restarted=True),
]


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_it_is_said_and_the_same_vm_is_there_afterwards(world: World, fault: Fault, report: Report) -> None:
    current(world)
    before, process, since = world.identity(), world.process(), world.versions(fault.object[0])
    began = time.monotonic()
    fault.strike(world)
    said = world.cloud.until(lambda: first(world, fault, since), f"{fault.object} says {fault.words}", PATIENCE)
    told = time.monotonic() - began
    began = time.monotonic()
    fault.lift(world)
    current(world)
    report(TABLE, f"{fault.name:22} {told:6.1f} {time.monotonic() - began:6.1f}  {' '.join(fault.object)}: {said[:150]}")
    assert world.identity() == before
    assert (world.process() != process) is fault.restarted
    assert marked(world) == WORD


def first(world: World, fault: Fault, since: int) -> str:
    """The first thing that was said of it; "" for nothing yet."""
    said = world.says(*fault.object, since)
    return next((each for each in said if any(word in each for word in fault.words)), "")


def current(world: World) -> None:
    world.cloud.await_current("Host", deadline=PATIENCE)
    world.cloud.await_current(deadline=PATIENCE)
    world.cloud.until(lambda: _state(world, "web") == "Running", "web runs", PATIENCE)
    world.cloud.await_current(deadline=PATIENCE)
