"""`python -m drivers.simulator`: serve a simulated datacentre, or control one that runs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from drivers.errors import DriverError, InvalidSpec
from drivers.types import Capability, Credentials

from .control import open_control
from .engine.actions import Act
from .engine.faults import Fault, FaultKind
from .engine.settings import OFFERED, Settings
from .script import fault
from .server.serve import ServeOptions, serve

__all__ = ["main"]

DEFAULT_LISTEN = "127.0.0.1:8470"


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        command = {"serve": _serve, "fault": _fault, "oob": _oob, "census": _census}[options.command]
        command(options, environment)
    except (DriverError, OSError) as error:
        print(f"simulator: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vireo simulator", description="A datacentre without hardware.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve(commands.add_parser("serve", help="serve a datacentre until stopped"))
    add = commands.add_parser("fault", help="make calls fail")
    add.add_argument("what", choices=["add", "list", "clear"])
    add.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help=f"kind ({', '.join(FaultKind)}) and {_fault_fields()}")
    oob = commands.add_parser("oob", help="do something behind Vireo's back")
    oob.add_argument("act", choices=list(Act))
    oob.add_argument("target", nargs="?", default="", help="HOST, or HOST/UUID of a VM, volume or snapshot")
    oob.add_argument("value", nargs="?", default="")
    census = commands.add_parser("census", help="print everything that exists as JSON")
    for command in (add, oob, census):
        command.add_argument("--url", default=f"simulator://{DEFAULT_LISTEN}")
    return parser


def _fault_fields() -> str:
    return ", ".join(field.name for field in fields(Fault) if field.name != "kind")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    defaults = Settings()
    parser.description = "VIREO_SIMULATOR_USERNAME and VIREO_SIMULATOR_PASSWORD in the environment are the credentials to ask for."
    parser.add_argument("--listen", default=DEFAULT_LISTEN, metavar="ADDRESS:PORT")
    parser.add_argument("--hosts", type=int, default=defaults.hosts)
    parser.add_argument("--cpus", type=int, default=defaults.cpus, help="CPUs of a host")
    parser.add_argument("--memory", type=int, default=defaults.memory // 1024**3, metavar="GIB", help="memory of a host")
    parser.add_argument("--pool", type=int, default=defaults.pool_capacity // 1024**3, metavar="GIB", help="size of a pool")
    parser.add_argument("--boot", type=float, default=defaults.boot, metavar="SECONDS", help="until a guest's agent answers")
    parser.add_argument("--shutdown", type=float, default=defaults.shutdown, metavar="SECONDS", help="until a guest obeys")
    parser.add_argument("--duration", action="append", default=[], metavar="METHOD=SECONDS", help="of native tasks")
    parser.add_argument("--without", action="append", default=[], type=Capability, metavar="CAPABILITY", help="do not offer it")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep everything in this file")
    parser.add_argument("--seed", type=int, metavar="N", help="make faults with a probability repeatable")
    parser.add_argument("--script", type=Path, metavar="FILE", help="faults and acts as YAML")


def _serve(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    host, _, port = options.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidSpec(f"--listen {options.listen}: expected ADDRESS:PORT")
    settings = Settings(
        hosts=options.hosts,
        cpus=options.cpus,
        memory=options.memory * 1024**3,
        pool_capacity=options.pool * 1024**3,
        boot=options.boot,
        shutdown=options.shutdown,
        durations=_durations(options.duration),
        capabilities=OFFERED - frozenset(options.without),
    )
    username, password = environment.get("VIREO_SIMULATOR_USERNAME", ""), environment.get("VIREO_SIMULATOR_PASSWORD", "")
    credentials = Credentials(username, password) if username and password else None
    serve(
        ServeOptions(host.strip("[]"), int(port), settings, options.state, options.script, credentials, options.seed),
        lambda url: print(f"listening on {url}", flush=True),
    )


def _durations(entries: Sequence[str]) -> dict[str, float]:
    try:
        return {method: float(seconds) for method, seconds in (entry.split("=") for entry in entries)}
    except ValueError as error:
        raise InvalidSpec("--duration: expected METHOD=SECONDS, such as compute.create=2") from error


def _credentials(environment: Mapping[str, str]) -> Credentials:
    return Credentials(environment.get("VIREO_SIMULATOR_USERNAME", ""), environment.get("VIREO_SIMULATOR_PASSWORD", ""))


def _fault(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    with open_control(options.url, _credentials(environment)) as control:
        if options.what == "clear":
            control.clear_faults()
        elif options.what == "list":
            print(json.dumps({number: asdict(one) for number, one in control.list_faults().items()}, indent=2))
        else:
            pairs = dict(entry.partition("=")[::2] for entry in options.fields)
            print(control.add_fault(fault(pairs)))


def _oob(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    with open_control(options.url, _credentials(environment)) as control:
        control.act(Act(options.act), options.target, options.value)


def _census(options: argparse.Namespace, environment: Mapping[str, str]) -> None:
    with open_control(options.url, _credentials(environment)) as control:
        print(json.dumps(asdict(control.census()), indent=2))


if __name__ == "__main__":
    sys.exit(main())
