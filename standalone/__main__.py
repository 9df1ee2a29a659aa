"""`python -m standalone up|down|status|kubectl`: a control plane by hand."""

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
        binary = build.ensure(_say)
        plane = ControlPlane(options.directory, binary, getattr(options, "port", None))
        return int(options.run(plane, options, rest))
    except StandaloneError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standalone", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, text in (
        ("up", _up, "start it; its data persists"),
        ("down", _down, "stop it"),
        ("status", _status, "show its processes; exit code 1 unless all run"),
        ("kubectl", _kubectl, "run kubectl as administrator"),
    ):
        command = commands.add_parser(name, help=text, add_help=name != "kubectl")
        command.set_defaults(run=run)
        command.add_argument("--directory", type=Path, required=True, help="where its data, keys and logs are")
        if name == "up":
            command.add_argument("--port", type=_port, help="of the API server (default: last time's, or any free one)")
        if name == "down":
            command.add_argument("--delete", action="store_true", help="also remove the directory with all data")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError(text)
    return port


def _up(plane: ControlPlane, _options: argparse.Namespace, _rest: Sequence[str]) -> int:
    plane.start(_say)
    print(f"export KUBECONFIG={plane.kubeconfig.absolute()}")
    return 0


def _down(plane: ControlPlane, options: argparse.Namespace, _rest: Sequence[str]) -> int:
    if options.delete:
        plane.delete()
    else:
        plane.stop()
    return 0


def _status(plane: ControlPlane, _options: argparse.Namespace, _rest: Sequence[str]) -> int:
    for process in plane.processes():
        pid = process.pid()
        print(f"{process.name:24} {'stopped' if pid is None else f'running, pid {pid}'}")
    return 0 if plane.running() else 1


def _kubectl(plane: ControlPlane, _options: argparse.Namespace, rest: Sequence[str]) -> int:
    command = [*plane.kubectl(), *rest]
    os.execv(command[0], command)  # noqa: S606


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
