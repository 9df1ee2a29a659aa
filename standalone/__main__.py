"""`python -m standalone build|up|down|status|kubectl`: a control plane by hand."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from standalone import build
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with a sentence on standard error otherwise."""
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command != "kubectl":
        _parser().error(f"unknown arguments: {' '.join(rest)}")
    try:
        return int(options.run(options, rest))
    except StandaloneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standalone", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="build its program if this machine doesn't have it, and print where it is")
    builder.set_defaults(run=_build)
    for name, run, text in (
        ("up", _up, "start it; its data persists"),
        ("down", _down, "stop it"),
        ("status", _status, "show its processes; exit code 1 unless all run"),
        ("kubectl", _kubectl, "run kubectl as administrator"),
    ):
        command = commands.add_parser(name, help=text, allow_abbrev=False, add_help=name != "kubectl")
        command.set_defaults(run=run)
        command.add_argument("--directory", type=Path, required=True, help="where its data, keys and logs are")
        if name == "up":
            command.add_argument("--port", type=_port, help="of the API server (default: last time's, or any free one)")
        if name == "down":
            command.add_argument("--delete", action="store_true", help="also remove the directory with all data")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no TCP port (1–65535)")
    return int(text)


def _build(_options: argparse.Namespace, _rest: Sequence[str]) -> int:
    print(build.ensure(_say))
    return 0


def _up(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    plane = ControlPlane(options.directory, options.port)
    plane.start(_say)
    print(f"export KUBECONFIG={plane.kubeconfig.absolute()}")
    return 0


def _down(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    plane = ControlPlane(options.directory)
    if options.delete:
        plane.delete()
    else:
        plane.stop()
    return 0


def _status(options: argparse.Namespace, _rest: Sequence[str]) -> int:
    plane = ControlPlane(options.directory)
    for process in plane.processes():
        pid = process.pid()
        print(f"{process.name:24} {'stopped' if pid is None else f'running, pid {pid}'}")
    return 0 if plane.running() else 1


def _kubectl(options: argparse.Namespace, rest: Sequence[str]) -> int:
    command = [*ControlPlane(options.directory).kubectl(), *rest]
    os.execv(command[0], command)  # noqa: S606


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
