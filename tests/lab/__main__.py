"""The lab from the command line: python -m tests.lab up|down|status|host|vlan|gateway|enter|ssh ..."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.record import BACKENDS
from tests.lab.shell import LabError, environment

ACTIONS: dict[str, Callable[[Host], None]] = {
    "crash": Host.crash,
    "reset": Host.reset,
    "partition": Host.partition,
    "heal": Host.heal,
    "daemon-stop": Host.daemon_stop,
    "daemon-kill": Host.daemon_kill,
    "daemon-start": Host.daemon_start,
    "hang": Host.hang,
    "unhang": Host.unhang,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. What cannot be done is one sentence on standard error and status 1."""
    options = _parser().parse_args(arguments)
    try:
        options.run(Lab(options.state, options.prefix), options)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Disposable libvirt hosts on this machine.")
    parser.add_argument("--prefix", default="vireo", help="keeps labs on one machine apart")
    default = Path(tempfile.gettempdir()) / "vireo-lab"
    parser.add_argument("--state", type=Path, default=default, help=f"directory for all files of the lab ({default})")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Lab, argparse.Namespace], None], help_text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text)
        command.set_defaults(run=run)
        return command

    up = add("up", _up, "start what is not running")
    up.add_argument("--hosts", type=int, default=1)
    up.add_argument("--backend", choices=BACKENDS, default="ovs")
    add("down", lambda lab, _: lab.down(), "leave nothing behind")
    add("status", lambda lab, _: _status(lab), "hosts, their state and their URIs")
    host = add("host", _host, "let something happen to a host")
    host.add_argument("action", choices=["start", *ACTIONS])
    host.add_argument("name")
    vlan = add("vlan", lambda lab, options: lab.add_vlan(options.vlan), "a bridge for a VLAN on every host (vxlan)")
    vlan.add_argument("vlan", type=int)
    gateway = add("gateway", _gateway, "be the external router of a VLAN")
    gateway.add_argument("vlan", type=int)
    gateway.add_argument("address", help="with prefix length, as in 10.10.0.1/24")
    enter = add("enter", _enter, "run a command in a place: h1, ctl, fabric or vlanN")
    enter.add_argument("place")
    enter.add_argument("argv", nargs=argparse.REMAINDER)
    ssh = add("ssh", _ssh, "log in to a guest at its address on a VLAN")
    ssh.add_argument("vlan", type=int)
    ssh.add_argument("address")
    ssh.add_argument("--key", type=Path, required=True)
    ssh.add_argument("--user", default="root")
    ssh.add_argument("argv", nargs=argparse.REMAINDER)
    return parser


def _up(lab: Lab, options: argparse.Namespace) -> None:
    lab.up(options.hosts, options.backend)
    _status(lab)


def _status(lab: Lab) -> None:
    for host in lab.hosts():
        print(f"{host.name}  {host.state:<9}  {host.uri}")


def _host(lab: Lab, options: argparse.Namespace) -> None:
    if options.action == "start":
        lab.start(options.name)
    else:
        ACTIONS[options.action](lab.host(options.name))


def _gateway(lab: Lab, options: argparse.Namespace) -> None:
    lab.add_gateway(options.vlan, options.address)


def _enter(lab: Lab, options: argparse.Namespace) -> None:
    _become(lab.command(options.place, *(options.argv or ["bash"])))


def _ssh(lab: Lab, options: argparse.Namespace) -> None:
    _become([*lab.ssh_command(options.address, options.key, options.vlan, options.user), *options.argv])


def _become(argv: list[str]) -> None:
    try:
        os.execvpe(argv[0], argv, environment())
    except OSError as error:
        raise LabError(f"{argv[0]}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
