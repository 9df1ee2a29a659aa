"""One lab host: a libvirtd with its own network, processes, mounts and devices, and the ways in which a host can fail."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.lab import cgroups, fabric, hostconfig, processes
from tests.lab.layout import Layout
from tests.lab.record import Record
from tests.lab.shell import LabError, environment, run

SCRIPTS = Path(__file__).parent / "scripts"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "net/tun", "fuse")
# Seconds until libvirtd must listen; and until a host without a process is taken for dead: one that is just becoming another
# program has no environment for a moment, by which it would be found.
BOOT_LIMIT = 240.0
DEATH_LIMIT = 10.0


class Host:
    """A host of a running lab. Guests live on its QEMU; they die with `crash`, not with its libvirtd."""

    def __init__(self, layout: Layout, record: Record, name: str) -> None:
        self.name = name
        self.uri = layout.uri(name)
        self.tcp_uri = layout.tcp_uri(name)
        self.local = layout.local(name)
        self.logs = layout.host_dir(name) / "log" / "qemu"
        self._layout = layout
        self._record = record
        self._namespace = layout.namespace(name)

    @property
    def running(self) -> bool:
        """Whether the host is on (its libvirtd may be gone or hung)."""
        return processes.init(self._namespace) is not None

    @property
    def answers(self) -> bool:
        """Whether something listens on the socket of its libvirtd."""
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(self._layout.socket(self.name)))
            except OSError:
                return False
            return True

    @property
    def state(self) -> str:
        """off; no-daemon: on without a libvirtd that listens; hung: its libvirtd is frozen; or on."""
        if not self.running:
            return "off"
        if not self.answers:
            return "no-daemon"
        return "hung" if processes.stopped(self._running_daemon()) else "on"

    def start(self) -> None:
        """Power on; files of an earlier life are kept. Returns when libvirtd listens. A host that is on keeps its guests."""
        if self.running:
            self.daemon_start()
            return
        self._clear()
        self._network()
        self._files()
        self._spawn()
        self._wait_for_daemon("did not boot")

    def crash(self) -> None:
        """Power loss: every process of the host ends at once and its network is gone."""
        processes.kill(lambda: processes.started_for(self._layout.host_dir(self.name)))
        fabric.remove_namespaces([self._namespace])
        cgroups.remove(self._layout.cgroup, self.name)
        self._clear()

    def reset(self) -> None:
        """Crash and forget all files: the next start is a new host."""
        self.crash()
        shutil.rmtree(self._layout.host_dir(self.name), ignore_errors=True)

    def partition(self) -> None:
        """Cut the management link: packets vanish, as with a broken switch. The local socket still answers."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "down")

    def heal(self) -> None:
        """Mend the management link."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "up")

    def daemon_stop(self) -> None:
        """End libvirtd in order; guests stay."""
        self._end_daemon(signal.SIGTERM)

    def daemon_kill(self) -> None:
        """Kill libvirtd; guests stay."""
        self._end_daemon(signal.SIGKILL)

    def daemon_start(self) -> None:
        """Start libvirtd again, unless it runs; it finds its guests."""
        initial = processes.init(self._namespace)
        if initial is None:
            raise LabError(f"{self.name} is off: start the host, not its libvirtd")
        if self._daemon() is None:
            processes.send(initial, signal.SIGUSR1)
        self._wait_for_daemon("has a libvirtd that did not start")

    def hang(self) -> None:
        """Freeze libvirtd: connections are accepted and calls never return. Guests go on."""
        daemon = self._running_daemon()
        processes.send(daemon, signal.SIGSTOP)
        processes.wait(lambda: processes.stopped(daemon), f"{self.name}: libvirtd did not freeze")

    def unhang(self) -> None:
        """Let a frozen libvirtd go on."""
        daemon = self._running_daemon()
        processes.send(daemon, signal.SIGCONT)
        processes.wait(lambda: not processes.stopped(daemon), f"{self.name}: libvirtd did not go on")

    def command(self, *argv: str) -> list[str]:
        """A command line that runs `argv` inside the host. Raises LabError when the host is off."""
        initial = processes.init(self._namespace)
        if initial is None:
            raise LabError(f"{self.name} is off")
        return ["nsenter", "--target", str(initial), "--all", *argv]

    def _daemon(self) -> int | None:
        return processes.daemon(self._namespace, "libvirtd")

    def _running_daemon(self) -> int:
        daemon = self._daemon()
        if daemon is None:
            raise LabError(f"{self.name} has no running libvirtd")
        return daemon

    def _end_daemon(self, number: signal.Signals) -> None:
        daemon = self._running_daemon()
        processes.send(daemon, number)
        processes.wait(lambda: not processes.exists(daemon), f"{self.name}: libvirtd did not end")

    def _clear(self) -> None:
        shutil.rmtree(self._layout.run_dir(self.name), ignore_errors=True)
        self._layout.run_dir(self.name).mkdir(parents=True)

    def _network(self) -> None:
        fabric.remove_namespaces([self._namespace])
        fabric.add_namespace(self._namespace)
        for bridge in fabric.BRIDGES:
            fabric.plug(self._layout, self.name, bridge)
        fabric.ip(self._namespace, "address", "add", f"{self._layout.management_address(self.name)}/24", "dev", "mgmt0")
        if self._record.backend == "ovs":
            fabric.no_transmit_offload(self._namespace, "trunk0")
            return
        fabric.ip(self._namespace, "address", "add", f"{self._layout.tunnel_address(self.name)}/16", "dev", "trunk0")
        for vlan in self._record.vlans:
            fabric.add_vlan_bridge(self._layout, self.name, vlan)

    def _files(self) -> None:
        home = self._layout.host_dir(self.name)
        for part in ("etc/qemu/networks/autostart", "etc/nwfilter", "lib/images", "cache", "log/qemu", "local"):
            (home / part).mkdir(parents=True, exist_ok=True)
        for source in Path("/usr/share/libvirt/nwfilter").glob("*.xml"):
            shutil.copy(source, home / "etc/nwfilter")
        (home / "etc/libvirtd.conf").write_text(hostconfig.libvirtd(self._layout, self.name))
        (home / "etc/qemu.conf").write_text(hostconfig.qemu(self._layout, self.name))

    def _spawn(self) -> None:
        made = cgroups.create(self._layout.cgroup, self.name)
        nodes = (*DEVICES, "kvm") if self._record.kvm else DEVICES
        settings = {
            "LAB_NAME": self.name,
            "LAB_DIR": str(self._layout.host_dir(self.name)),
            "LAB_HOSTS": str(self._layout.hosts_file),
            "LAB_BACKEND": self._record.backend,
            "LAB_CGROUPS": " ".join(made),
            "LAB_DEVICES": " ".join(node for node in nodes if Path("/dev", node).exists()),
        }
        # setsid --fork: the host outlives whoever started it
        outer = [SCRIPTS / "host-outer.sh", SCRIPTS / "host-init.sh", *made.values()]
        argv = ["setsid", "--fork", "nsenter", f"--net={processes.NAMESPACES / self._namespace}", *map(str, outer)]
        with self._log.open("w") as log:
            subprocess.run(
                argv, env=environment() | settings, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )

    @property
    def _log(self) -> Path:
        return self._layout.host_dir(self.name) / "host.log"

    def _wait_for_daemon(self, complaint: str) -> None:
        deadline = time.monotonic() + BOOT_LIMIT
        alive = time.monotonic()
        while not self.answers:
            now = time.monotonic()
            if processes.started_for(self._layout.host_dir(self.name)):
                alive = now
            if now > deadline or now - alive > DEATH_LIMIT:
                raise LabError(f"{self.name} {complaint}: {self._last_words()} (see {self._log})")
            time.sleep(0.02)

    def _last_words(self) -> str:
        words = " ".join(self._log.read_text(errors="replace").split())
        return words[-400:] or "it said nothing"


def run_in(host: Host, *argv: str) -> str:
    """Run a command inside a host and return its output. Raises LabError when it fails."""
    return run(*host.command(*argv))
