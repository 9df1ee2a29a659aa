"""`python -m standalone.demo up|down|status|ssh|lab`: a cloud on this machine."""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

from standalone.cache import cache_directory, locked
from standalone.demo import cluster as clusters
from standalone.demo import laboratory, report
from standalone.demo.commands import Runner
from standalone.demo.display import Display
from standalone.demo.down import down
from standalone.demo.layout import ROOT, Layout
from standalone.demo.status import show
from standalone.demo.up import Demo, up
from standalone.errors import StandaloneError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 with one sentence on standard error otherwise."""
    options = _parser().parse_args(arguments)
    layout = Layout(cache_directory() / "demo")
    try:
        return _run(options, layout)
    except StandaloneError as error:
        sentence = str(error)
    except OSError as error:
        sentence = f"{error.strerror}: {error.filename}" if error.filename else str(error)
    except KeyboardInterrupt:
        sentence = "interrupted: `make demo` goes on, `make demo-down` clears away"
    except Exception as error:
        sentence = f"this is a defect of the demo: {type(error).__name__}: {error}"
        Runner(layout.own_log).note(traceback.format_exc())
    log = f" (log: {layout.own_log})" if layout.own_log.exists() else ""
    print(f"error: {sentence}{log}", file=sys.stderr)
    return 1


def _run(options: argparse.Namespace, layout: Layout) -> int:
    if options.command in PROGRAMS:
        return PROGRAMS[options.command](layout, options)
    display = Display(sys.stdout, time.monotonic, live=sys.stdout.isatty())
    if options.command == "status":
        return show(layout, display)
    with locked(layout.lock, lambda: display.say("waiting for another start or stop of the demo")):
        runner = Runner(layout.own_log)
        layout.own_log.write_text("")
        if options.command == "down":
            down(layout, runner, display)
        else:
            why = "it was asked for" if options.simulator_only else laboratory.why_not()
            os.environ |= {"TMPDIR": str(layout.temporary), "KUBECACHEDIR": str(layout.kubectl_cache)}
            up(Demo(layout, runner, display, os.environ, why))
    return 0


def _ssh(layout: Layout, options: argparse.Namespace) -> int:
    cluster = clusters.running(layout, Runner(layout.own_log))
    argv = laboratory.ssh(layout, report.find_address(cluster.kubectl, options.vm))
    return subprocess.run([*argv, *options.argv]).returncode


def _lab(layout: Layout, options: argparse.Namespace) -> int:
    argv = [sys.executable, "-m", "tests.lab", "--prefix", layout.prefix, "--state", str(layout.lab), *options.argv]
    return subprocess.run(argv, cwd=ROOT).returncode


PROGRAMS: Mapping[str, Callable[[Layout, argparse.Namespace], int]] = {"ssh": _ssh, "lab": _lab}
"""Commands that hand the terminal over to another program."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standalone.demo", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    starter = commands.add_parser("up", help="have it running; what runs already is left alone", allow_abbrev=False)
    starter.add_argument("--simulator-only", action="store_true", help="no libvirt host, as on a machine that can't have one")
    commands.add_parser("down", help="end it; only caches stay")
    commands.add_parser("status", help="show its processes; exit code 1 unless all run")
    ssh = commands.add_parser("ssh", help="log in to a VM on the libvirt host")
    ssh.add_argument("vm")
    ssh.add_argument("argv", nargs=argparse.REMAINDER)
    lab = commands.add_parser(
        "lab", help="let things happen to the libvirt host: `lab host crash h1`, `lab --help`", add_help=False
    )
    lab.add_argument("argv", nargs=argparse.REMAINDER)
    return parser


if __name__ == "__main__":
    sys.exit(main())
