"""An NFS server beside the hosts of a lab, all of it in user space: kernels without nfsd will do."""

from __future__ import annotations

import subprocess
import time

from tests.lab import fabric, processes
from tests.lab.host import SCRIPTS
from tests.lab.lab import Lab
from tests.lab.shell import LabError, environment, find, succeeds

ADDRESS = "198.18.0.253"
EXPORT = "/vms"
COMMANDS = {"ganesha.nfsd": "nfs-ganesha-vfs", "rpcbind": "rpcbind"}
START_LIMIT = 60.0

# nfs-ganesha-core-config(8), nfs-ganesha-export-config(8). After a restart clients claim back their open files: the grace.
CONFIGURATION = """\
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = 2049; Enable_NLM = false; Enable_RQUOTA = false; Allow_Set_Io_Flusher_Fail = true; }}
NFSv4 {{ Lease_Lifetime = 20; Grace_Period = 30; RecoveryRoot = {directory}/recovery; Minor_Versions = 0, 1, 2; }}
NFS_KRB5 {{ Active_krb5 = false; }}
EXPORT {{
  Export_Id = 1; Path = {directory}/export; Pseudo = {export}; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
  Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }}
}}
"""


class NFSServer:
    """Exports `files` as `EXPORT` at `ADDRESS` on the lab's management network; it ends with the lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._namespace = lab.layout.namespace("stor")
        self._directory = lab.layout.host_dir("stor")
        self.files = self._directory / "export"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve; returns when it listens. Raises LabError when it does not, or is not installed."""
        absent = sorted({package for command, package in COMMANDS.items() if find(command) is None})
        if absent:
            raise LabError(f"an NFS server needs Debian packages that are not installed: apt-get install {' '.join(absent)}")
        self._directory.mkdir(parents=True, exist_ok=True)
        text = CONFIGURATION.format(directory=self._directory, export=EXPORT)
        (self._directory / "ganesha.conf").write_text(text)
        fabric.add_namespace(self._namespace)
        fabric.plug(self._lab.layout, "stor", "mgmt")
        fabric.ip(self._namespace, "address", "replace", f"{ADDRESS}/24", "dev", "mgmt0")
        self._spawn()
        self._await_port()

    def stop(self) -> None:
        """End it at once, as a server that lost power; what it had stored stays."""
        processes.kill(lambda: processes.members([self._namespace]))
        if self._process is not None:
            self._process.wait()

    def _spawn(self) -> None:
        inside = ["ip", "netns", "exec", self._namespace, "unshare", "--mount", "--propagation", "private"]
        with (self._directory / "server.log").open("w") as log:
            self._process = subprocess.Popen(
                ["setsid", *inside, str(SCRIPTS / "nfs-server.sh"), str(self._directory)],
                env=environment() | {"LAB_DIR": str(self._directory)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _await_port(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        probe = self._lab.command("ctl", "bash", "-c", f"exec 3<>/dev/tcp/{ADDRESS}/2049")
        while not succeeds(probe):
            if time.monotonic() > deadline:
                raise LabError(f"the NFS server does not listen: see {self._directory}")
            time.sleep(0.1)
