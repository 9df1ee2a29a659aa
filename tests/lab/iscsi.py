"""An iSCSI server for the hosts of a lab: tgtd in a namespace of its own on the management network, its LUNs in files."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from tests.lab import fabric, processes, shell
from tests.lab.layout import Layout
from tests.lab.shell import LabError, environment, run

ADDRESS = "198.18.0.252"
PORT = 3260
TARGET = "iqn.2026-01.org.example:lab"
COMMANDS = {"tgtd": "tgt", "tgtadm": "tgt"}
FILES = {
    "/usr/lib/x86_64-linux-gnu/libvirt/storage-backend/libvirt_storage_backend_iscsi-direct.so": (
        "libvirt-daemon-driver-storage-iscsi-direct"
    ),
    "/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so": "qemu-block-extra",
}
"""What hosts need to be its clients, with the Debian packages."""


def missing() -> str | None:
    """Why this machine cannot run the server, or its hosts be its clients, one sentence; None when it can."""
    absent = {package for command, package in COMMANDS.items() if shell.find(command) is None}
    absent |= {package for file, package in FILES.items() if not Path(file).exists()}
    return f"iSCSI needs Debian packages that are not installed: apt-get install {' '.join(sorted(absent))}" if absent else None


class Server:
    """The server of one lab, not up yet; it goes with the lab. LUN 0 is the controller of the target and no disk."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._directory = layout.state / "iscsi"
        self._namespace = layout.namespace("iscsi")
        self.luns: dict[int, int] = {}

    def start(self) -> None:
        """Serve the LUNs there are; on a server that runs this is an error."""
        self._directory.mkdir(exist_ok=True)
        fabric.add_namespace(self._namespace)
        fabric.plug(self._layout, "iscsi", "mgmt")
        fabric.ip(self._namespace, "address", "replace", f"{ADDRESS}/24", "dev", "mgmt0")
        self._spawn()
        processes.wait(self._answers, "tgtd did not start", limit=60.0)
        self._admin("--op", "new", "--mode", "target", "--tid", "1", "--targetname", TARGET)
        for number in self.luns:
            self._offer(number)
        self._admin("--op", "bind", "--mode", "target", "--tid", "1", "--initiator-address", "ALL")

    def stop(self) -> None:
        """Power loss: whoever asks it is refused. The files stay."""
        daemon = self._daemon()
        if daemon is None:
            raise LabError("the iSCSI server does not run")
        processes.send(daemon, signal.SIGKILL)
        processes.wait(lambda: processes.ended(daemon), "tgtd did not end")

    def cut(self) -> None:
        """Packets to it vanish, and it gives no answers."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "down")

    def mend(self) -> None:
        """End a `cut`."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "up")

    def add(self, number: int, size: int) -> None:
        """Have a LUN of so many bytes, from now on if the server runs."""
        self._directory.mkdir(exist_ok=True)
        self.grow(number, size)
        if self._daemon() is not None:
            self._offer(number)

    def grow(self, number: int, size: int) -> None:
        """Make a LUN that large, which the server sees when it starts."""
        with self.file(number).open("ab") as content:
            content.truncate(size)
        self.luns[number] = size

    def file(self, number: int) -> Path:
        """What is on a LUN."""
        return self._directory / f"lun{number}.raw"

    def _offer(self, number: int) -> None:
        lun = ("--tid", "1", "--lun", str(number))
        self._admin("--op", "new", "--mode", "logicalunit", *lun, "--backing-store", str(self.file(number)))

    def _spawn(self) -> None:
        inside = ["setsid", "--fork", "ip", "netns", "exec", self._namespace]
        argv = [*inside, "tgtd", "--foreground", "--iscsi", f"portal={ADDRESS}:{PORT}"]
        with (self._directory / "tgtd.log").open("a") as log:
            subprocess.run(argv, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)

    def _environment(self) -> dict[str, str]:
        """LAB_DIR is how `Lab.down` finds it."""
        return environment() | {"LAB_DIR": str(self._directory), "TGT_IPC_SOCKET": str(self._directory / "socket")}

    def _daemon(self) -> int | None:
        return next(iter(processes.members([self._namespace])), None) if self._namespace in processes.namespaces() else None

    def _answers(self) -> bool:
        try:
            self._admin("--op", "show", "--mode", "sys")
        except LabError:
            return False
        return True

    def _admin(self, *arguments: str) -> None:
        socket = f"TGT_IPC_SOCKET={self._directory / 'socket'}"
        run("env", socket, "tgtadm", "--lld", "iscsi", *arguments)
