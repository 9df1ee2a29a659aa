"""A real sshd in a lab host, and the keys to log in to it with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab import Lab
from tests.lab.host import Host, run_in
from tests.lab.shell import run

CONFIGURATION = """\
ListenAddress {address}
HostKey {directory}/host_key
PidFile {directory}/sshd.pid
AuthorizedKeysFile {directory}/authorized_keys {also}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
"""
PLAIN = "[ ! -s ~root/.bashrc ] || mount --bind {empty} ~root/.bashrc"
"""The hosts of a lab share the machine's root file system, so its root's start files too. bash reads this one for every command
that comes over SSH: whatever an administrator starts there, hosts must not do at each login, and wait for.
"""


@dataclass(frozen=True)
class SSHServer:
    """sshd of a lab host: its address on the management network, root's private key, and a known_hosts file that fits."""

    host: Host
    address: str
    directory: Path

    @property
    def key(self) -> bytes:
        """The private key that root may log in with."""
        return (self.directory / "client_key").read_bytes()

    @property
    def known_hosts(self) -> bytes:
        """What ssh-keyscan would print."""
        kind, key, *_ = (self.directory / "host_key.pub").read_text().split()
        return f"{self.address} {kind} {key}\n".encode()

    def start(self) -> None:
        """Listen on port 22 of the host's network; logins start with nothing but what a new machine has."""
        empty = self.directory / "empty"
        empty.touch()
        run_in(self.host, "sh", "-c", PLAIN.format(empty=empty))
        run_in(self.host, "mkdir", "-p", "/run/sshd")
        run_in(self.host, "/usr/sbin/sshd", "-f", str(self.directory / "sshd_config"), "-E", str(self.directory / "log"))

    def stop(self) -> None:
        """End it, so that its port is free; sessions go on."""
        end = f"pid=$(cat {self.directory}/sshd.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done"
        run_in(self.host, "sh", "-c", end)

    def renew_host_key(self) -> None:
        """As after a new installation of the host; sshd reads it at its next start."""
        _make_key(self.directory / "host_key")

    def renew_client_key(self) -> None:
        """Only the new key is let in from now on."""
        _make_key(self.directory / "client_key")
        (self.directory / "authorized_keys").write_bytes((self.directory / "client_key.pub").read_bytes())


def serve(host: Host, address: str, also: str = "") -> SSHServer:
    """Start sshd with fresh keys on a host whose management address is `address`; it ends with the host.

    `also` is another file of keys that it lets in, as AuthorizedKeysFile in sshd_config(5) names it.
    """
    directory = host.local / "sshd"
    directory.mkdir(mode=0o700, parents=True)
    server = SSHServer(host, address, directory)
    (directory / "sshd_config").write_text(CONFIGURATION.format(address=address, directory=directory, also=also))
    server.renew_host_key()
    server.renew_client_key()
    server.start()
    return server


def let_in(host: Host) -> None:
    """Have libvirt's socket where its own helper, at the other end of SSH, looks for it."""
    run_in(host, "ln", "-sf", host.uri.partition("socket=")[2], "/run/libvirt/libvirt-sock")


def reboot(lab: Lab, server: SSHServer) -> None:
    """Cut the power of a host, and boot it; it lets in again whom it let in before."""
    server.host.crash()
    lab.start(server.host.name)
    let_in(server.host)
    server.start()
    run(*lab.command("ctl", "ip", "neigh", "flush", "dev", "mgmt0"))  # the lab gave it another MAC


def _make_key(path: Path) -> None:
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(path))
