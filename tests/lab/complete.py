"""A lab host with a complete kernel: user-mode Linux, for what the kernel of the machine may lack, such as an NFS client.

About five times slower than the machine. It runs the machine's own libvirt and QEMU, from the machine's own files.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

from tests.lab import fabric, hostconfig, processes
from tests.lab.host import SCRIPTS
from tests.lab.lab import Lab
from tests.lab.shell import LabError, environment, find

NAME = "u1"
ADDRESS = "198.18.0.41"
KERNEL = Path("/usr/bin/linux.uml")
MODULES = Path("/usr/lib/uml/modules")
MEMORY = "1500M"
BOOT_LIMIT = 300.0
RUN_LIMIT = 300.0
COMMANDS = {"linux.uml": "user-mode-linux", "mount.nfs": "nfs-common"}


def missing() -> str | None:
    """Why this machine cannot run such a host, one sentence; None when it can."""
    absent = sorted({package for command, package in COMMANDS.items() if find(command) is None})
    return f"it needs Debian packages that are not installed: apt-get install {' '.join(absent)}" if absent else None


class CompleteHost:
    """One such host beside the others of a lab that is up. `uri`: of its libvirt, from anywhere on the machine."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._directory = lab.layout.state / NAME
        self._socket = lab.layout.state / "run" / f"{NAME}.sock"
        self._numbers = itertools.count(1)
        self._started: list[subprocess.Popen[bytes]] = []
        self.uri = f"qemu+unix:///system?socket={self._socket}"

    def start(self) -> None:
        """Boot; returns when its libvirtd answers, which takes half a minute. Raises LabError when it does not."""
        if reason := missing():
            raise LabError(reason)
        self._files()
        self._plug()
        self._spawn("kernel", self._lab.command("fabric", *self._kernel()))
        relay = [sys.executable, "-m", "tests.support.netrelay", "outer", "16509", str(self._socket), ADDRESS]
        self._spawn("relay", self._lab.command("ctl", *relay))
        self.run("until virsh -q capabilities >/dev/null 2>&1; do sleep 0.5; done", BOOT_LIMIT)
        # this kernel takes no frames that are larger than its interface's, and it switches that on when it opens the device
        fabric.no_transmit_offload(self._lab.layout.namespace("fabric"), f"{NAME}-m")

    def run(self, script: str, limit: float = RUN_LIMIT) -> str:
        """What a shell script prints there. Raises LabError when it fails, or is not done within `limit` seconds."""
        base = self._directory / "run" / str(next(self._numbers))
        new = base.with_suffix(".new")
        new.write_text(script)
        new.rename(base.with_suffix(".sh"))
        status = base.with_suffix(".status")
        processes.wait(status.exists, f"{NAME} did not do {script!r} (see {self._directory})", limit)
        output = base.with_suffix(".out").read_text(errors="replace").strip()
        if status.read_text().strip() != "0":
            raise LabError(f"{NAME}: {script!r}: {output}")
        return output

    def stop(self) -> None:
        """Switch it off; hard after ten seconds."""
        (self._directory / "stop").touch()
        deadline = time.monotonic() + 10
        while self._started and self._started[0].poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        processes.kill(lambda: processes.started_for(self._directory))
        for process in self._started:
            process.wait()
        self._started.clear()

    def _files(self) -> None:
        for part in ("etc", "run", "uml"):
            (self._directory / part).mkdir(parents=True, exist_ok=True)
        for old in (*(self._directory / "run").iterdir(), self._directory / "stop", self._socket):
            old.unlink(missing_ok=True)
        (self._directory / "etc/libvirtd.conf").write_text(hostconfig.complete(self._lab.layout, NAME, ADDRESS))
        (self._directory / "etc/qemu.conf").write_text(hostconfig.qemu(self._lab.layout, "h1"))

    def _plug(self) -> None:
        namespace = self._lab.layout.namespace("fabric")
        if not fabric.has_link(namespace, f"{NAME}-m"):
            fabric.ip(namespace, "tuntap", "add", f"{NAME}-m", "mode", "tap")
            fabric.ip(namespace, "link", "set", f"{NAME}-m", "mtu", fabric.UNDERLAY_MTU, "master", "mgmt", "up")

    def _kernel(self) -> list[str]:
        settings = {
            "LAB_NAME": NAME,
            "LAB_ADDRESS": ADDRESS,
            "LAB_STATE": str(self._lab.layout.state),
            "LAB_DIR": str(self._directory),
            "LAB_MODULES": str(MODULES),
        }
        return [
            str(KERNEL),
            *(f"mem={MEMORY}", "rootfstype=hostfs", "rootflags=/", "ro", f"init={SCRIPTS / 'complete-init.sh'}"),
            *("con=null", "con0=null,fd:1", f"umid={self._lab.layout.prefix}-{NAME}", f"uml_dir={self._directory / 'uml'}"),
            f"vec0:transport=tap,ifname={NAME}-m,depth=64",
            *(f"{name}={value}" for name, value in settings.items()),
        ]

    def _spawn(self, name: str, argv: list[str]) -> None:
        with (self._directory / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                argv,
                env=environment() | {"LAB_DIR": str(self._directory)},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
