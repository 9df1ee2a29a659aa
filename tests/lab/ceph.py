"""A Ceph cluster for the hosts of a lab: one monitor, one manager and one OSD in a namespace of their own, its data in files."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import uuid
from pathlib import Path

from tests.lab import fabric, processes, shell
from tests.lab.layout import Layout
from tests.lab.shell import LabError, environment, run

ADDRESS = "198.18.0.251"
POOL = "vms"
USER = "vireo"
COMMANDS = {
    "ceph": "ceph-common",
    "ceph-authtool": "ceph-common",
    "ceph-mgr": "ceph-mgr",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "rbd": "ceph-common",
}
FILES = {
    "/usr/lib/x86_64-linux-gnu/libvirt/storage-backend/libvirt_storage_backend_rbd.so": "libvirt-daemon-driver-storage-rbd",
    "/usr/lib/x86_64-linux-gnu/qemu/block-rbd.so": "qemu-block-extra",
}
"""What hosts need to be its clients, with the Debian packages."""

START_LIMIT = 300.0

# ceph.conf(5). One copy of everything, since there is one OSD; a few placement groups, since there is little in them. The right to
# read lasts 0.8 of the grace, and an OSD without peers that was stopped for longer may never get it again ("laggy").
CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = {address}
mon_initial_members = a
public_addr = {address}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
keyring = {directory}/keyring
run_dir = {directory}/run
admin_socket = {directory}/run/$name.asok
pid_file =
log_file = {directory}/$name.log
mon_cluster_log_file = {directory}/cluster.log
crash_dir = {directory}/crash
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_data = {directory}/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mgr_data = {directory}/mgr
mgr_initial_modules =
osd_data = {directory}/osd
osd_objectstore = bluestore
bluestore_block_size = 4294967296
bluestore_block_db_create = false
bluestore_block_wal_create = false
osd_memory_target = 1073741824
osd_heartbeat_grace = 3600
mgr_stats_period = 1
"""

KEYS = (
    ("mon.", ("mon", "allow *")),
    ("client.admin", ("mon", "allow *"), ("osd", "allow *"), ("mgr", "allow *")),
    ("osd.0", ("mon", "allow profile osd"), ("mgr", "allow profile osd"), ("osd", "allow *")),
    ("mgr.x", ("mon", "allow profile mgr"), ("osd", "allow *"), ("mds", "allow *")),
    (f"client.{USER}", ("mon", "profile rbd"), ("osd", f"profile rbd pool={POOL}"), ("mgr", f"profile rbd pool={POOL}")),
)
"""Who there is, and what each may do (https://docs.ceph.com/en/pacific/rados/operations/user-management/)."""

DAEMONS = {"ceph-mon": "a", "ceph-mgr": "x", "ceph-osd": "0"}


def missing() -> str | None:
    """Why this machine cannot run the cluster, or its hosts be its clients, one sentence; None when it can."""
    absent = {package for command, package in COMMANDS.items() if shell.find(command) is None}
    absent |= {package for file, package in FILES.items() if not Path(file).exists()}
    return f"Ceph needs Debian packages that are not installed: apt-get install {' '.join(sorted(absent))}" if absent else None


class Cluster:
    """The cluster of one lab, not up yet; it goes with the lab."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._directory = layout.state / "ceph"
        self._namespace = layout.namespace("ceph")

    def start(self) -> None:
        """Make the cluster with its pool; returns when it can be used."""
        for part in ("run", "crash", "mgr", "osd"):
            (self._directory / part).mkdir(parents=True)
        fabric.add_namespace(self._namespace)
        fabric.plug(self._layout, "ceph", "mgmt")
        fabric.ip(self._namespace, "address", "replace", f"{ADDRESS}/24", "dev", "mgmt0")
        text = CONFIGURATION.format(fsid=uuid.uuid4(), address=ADDRESS, directory=self._directory)
        (self._directory / "ceph.conf").write_text(text)
        self._make_keys()
        self._run("ceph-mon", "--mkfs", "-i", "a")
        self._spawn("ceph-mon")
        osd = str(uuid.uuid4())
        processes.wait(lambda: self._succeeds("osd", "new", osd, "0"), "the monitor did not answer", limit=START_LIMIT)
        self._spawn("ceph-mgr")
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd)
        self._spawn("ceph-osd")
        self.admin("osd", "pool", "create", POOL, "4")
        processes.wait(self._counted, "the cluster has not counted its room", limit=START_LIMIT)
        self._run("rbd", "pool", "init", POOL)

    def admin(self, *arguments: str) -> str:
        """What ceph(8) says."""
        return self._run("ceph", "--connect-timeout", "10", *arguments)

    def rbd(self, *arguments: str) -> str:
        """What rbd(8) says of the pool."""
        return self._run("rbd", "--pool", POOL, *arguments)

    def key(self, user: str = USER) -> str:
        """The key of a user, as Secrets have it."""
        return self._run("ceph-authtool", str(self._directory / "keyring"), "--print-key", "-n", f"client.{user}").strip()

    def cut(self) -> None:
        """Packets to it vanish, and it gives no answers."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "down")

    def mend(self) -> None:
        """End a `cut`."""
        fabric.ip(self._namespace, "link", "set", "mgmt0", "up")

    def hang(self, command: str) -> None:
        """Stop one of its daemons in its tracks: connections stay, answers do not come."""
        self._signal(command, signal.SIGSTOP)

    def unhang(self, command: str) -> None:
        """End a `hang`."""
        self._signal(command, signal.SIGCONT)

    def _make_keys(self) -> None:
        keyring = str(self._directory / "keyring")
        self._run("ceph-authtool", keyring, "--create-keyring")
        for name, *capabilities in KEYS:
            words = [word for service, what in capabilities for word in ("--cap", service, what)]
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *words)

    def _counted(self) -> bool:
        return bool(json.loads(self.admin("df", "--format", "json"))["stats"]["total_avail_bytes"])

    def _succeeds(self, *arguments: str) -> bool:
        try:
            self.admin(*arguments)
        except LabError:
            return False
        return True

    def _run(self, command: str, *arguments: str) -> str:
        configuration = ("--conf", str(self._directory / "ceph.conf")) if command != "ceph-authtool" else ()
        return run("ip", "netns", "exec", self._namespace, command, *configuration, *arguments)

    def _spawn(self, command: str) -> None:
        """LAB_DIR is how `Lab.down` finds it."""
        inside = ["setsid", "--fork", "ip", "netns", "exec", self._namespace]
        argv = [*inside, command, "--foreground", "--conf", str(self._directory / "ceph.conf"), "-i", DAEMONS[command]]
        with (self._directory / f"{command}.out").open("a") as log:
            settings = environment() | {"LAB_DIR": str(self._directory)}
            subprocess.run(argv, env=settings, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)

    def _signal(self, command: str, number: signal.Signals) -> None:
        found = [pid for pid in processes.members([self._namespace]) if processes.command(pid) == command]
        if not found:
            raise LabError(f"{command} does not run")
        for pid in found:
            processes.send(pid, number)


def other_key() -> str:
    """A key of the right form that no user has."""
    return base64.b64encode(bytes.fromhex("010000000000000000001000") + bytes(range(16))).decode()
