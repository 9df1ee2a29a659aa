"""A lab host as it comes from its installer: sshd, no certificate, no pool; and the way to it by ssh and scp.

The hosts of a lab share the machine's root file system. What the page writes to goes into overlays of this host alone, and the two
commands that would change the machine itself have stand-ins: apt-get looks whether it knows the packages and they are installed,
systemctl starts what it is told in the way of a lab host, which has no systemd.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests.lab import Lab
from tests.lab.host import Host, run_in
from tests.lab.sshd import SSHServer, serve

ADDRESS, CONTROLLER = "198.18.0.1", "198.18.0.254"
OVERLAID = {"/etc": ("/etc/libvirt", "/etc/hosts"), "/var/lib": ("/var/lib/libvirt",), "/root": ()}
"""Directories that are written to, each with what is mounted in it."""

APT_GET = """#!/bin/sh
set -eu
echo "apt-get $*" >>{log}
[ "$1" = update ] && exit 0
[ "$1" = install ] || exit 1
shift
for word; do case $word in -*) ;; *) dpkg-query --status "$word" >/dev/null ;; esac; done
"""
SYSTEMCTL = """#!/bin/sh
set -eu
echo "systemctl $*" >>{log}
daemon() {{ pgrep -x libvirtd --ns $$ --nslist pid || true; }}
case "$*" in
"stop libvirtd.service")
    kill $(daemon)
    while [ "$(daemon)" ]; do sleep 0.1; done ;;
"enable --now libvirtd.socket libvirtd-tls.socket")
    sed -i 's/^listen_tls = 0/listen_tls = 1/' /etc/libvirt/libvirtd.conf ;;
"enable --now virtlogd.socket libvirtd.service")
    pgrep -x virtlogd --ns $$ --nslist pid >/dev/null || virtlogd -d
    kill -USR1 1
    until [ "$(ss -tlnH sport = :16514)" ]; do sleep 0.1; done ;;
"enable --now openvswitch-switch.service") ovs-vsctl show >/dev/null ;;
"enable nftables.service") ;;
*) echo "systemctl: this host has no $*" >&2; exit 1 ;;
esac
"""
LOGIN = """#!/bin/sh
exec {enter} /usr/bin/{command} -i {key} -o UserKnownHostsFile={known} -o BatchMode=yes -o IdentitiesOnly=yes "$@"
"""


class FreshHost:
    """The host `h1` of a lab; `log` has what the stand-ins were asked for."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.host: Host = lab.host("h1")
        self.log = directory / "services.log"
        self._directory = directory
        for place, mounted in OVERLAID.items():
            self._overlay(place, mounted)
        self._stand_in("apt-get", APT_GET)
        self._stand_in("systemctl", SYSTEMCTL)
        run_in(self.host, "mount", "--bind", str(directory / "sbin"), "/usr/local/sbin")
        self.server: SSHServer = serve(self.host, ADDRESS, also=".ssh/authorized_keys")
        run_in(self.host, "cp", f"{self.server.directory}/host_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub")
        self._logins()

    @property
    def asked(self) -> Sequence[str]:
        """What the stand-ins were asked for, in order."""
        return self.log.read_text().splitlines()

    @property
    def logins(self) -> Path:
        """Directory with ssh and scp as an operator has them: in the operator's network, with a key that the host knows."""
        return self._directory / "bin"

    def _overlay(self, place: str, mounted: Sequence[str]) -> None:
        parts = {name: self._directory / place.strip("/").replace("/", "-") / name for name in ("upper", "work")}
        for part in parts.values():
            part.mkdir(parents=True)
        kept = [f"mount --bind {each} {self._directory}/kept{index}" for index, each in enumerate(mounted)]
        back = [f"mount --move {self._directory}/kept{index} {each}" for index, each in enumerate(mounted)]
        for index, each in enumerate(mounted):
            spot = self._directory / f"kept{index}"
            if each.endswith("hosts"):
                spot.touch()
            else:
                spot.mkdir(exist_ok=True)
        options = f"lowerdir={place},upperdir={parts['upper']},workdir={parts['work']}"
        run_in(self.host, "sh", "-ec", "\n".join([*kept, f"mount -t overlay overlay -o {options} {place}", *back]))

    def _stand_in(self, name: str, script: str) -> None:
        path = self._directory / "sbin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script.format(log=self.log))
        path.chmod(0o755)

    def _logins(self) -> None:
        key, known = self._directory / "operator", self._directory / "known_hosts"
        key.write_bytes(self.server.key)
        key.chmod(0o600)
        known.write_bytes(self.server.known_hosts)
        self.logins.mkdir()
        enter = " ".join(self.lab.command("ctl"))
        for command in ("ssh", "scp"):
            path = self.logins / command
            path.write_text(LOGIN.format(enter=enter, command=command, key=key, known=known))
            path.chmod(0o755)


def path_with(*directories: Path) -> str:
    """A PATH that finds these first."""
    return ":".join([*map(str, directories), os.environ["PATH"]])
