"""The command `vireo`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError

from controller.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit code: 0 well, 1 failed, 2 wrong usage."""
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        if given and given[0] in _PASSED_ON:  # argparse would take the options before a first argument for its own
            return _PASSED_ON[given[0]][1](given[1:])
        arguments = _parser().parse_args(given)
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vireo", description="An infrastructure cloud whose API is Kubernetes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run the controller", description="Run the controller; every flag is also VIREO_<FLAG>.")
    for name, field in Settings.model_fields.items():
        run.add_argument(f"--{name.replace('_', '-')}", help=f"default: {field.default}", default=None)
    run.set_defaults(run=_run)
    for name, (about, _) in _PASSED_ON.items():
        commands.add_parser(name, help=about)
    console = commands.add_parser(
        "console",
        help="talk to a VM's serial console, or print its log",
        description="Talk to a VM's serial console; ^] leaves it. The hypervisor is asked directly, with the Secret of its "
        "endpoint, which your kubeconfig must be allowed to read.",
    )
    console.add_argument("vm", help="[NAMESPACE/]NAME")
    console.add_argument("-n", "--namespace", default=None, help="default: that of the kubeconfig's context")
    console.add_argument("--log", action="store_true", help="print what the guest wrote so far, and end")
    console.add_argument("--force", action="store_true", help="take the console from somebody else who has it open")
    console.add_argument("--kubeconfig", default=None, help="default: $KUBECONFIG or ~/.kube/config")
    console.set_defaults(run=_console)
    tree = commands.add_parser("tree", help="draw the cloud: zones, pods, clusters, hosts, VMs")
    tree.add_argument("--kubeconfig", default=None, help="default: $KUBECONFIG or ~/.kube/config")
    tree.set_defaults(run=_tree)
    why = commands.add_parser(
        "why",
        help="say in plain words what an object waits for",
        description="Say in plain words what an object waits for. Exit code: 0 ready, 1 not ready, 2 not found, 3 could not ask.",
    )
    why.add_argument("kind", help="as kubectl takes it: VirtualMachine, virtualmachines, vvm")
    why.add_argument("name")
    why.add_argument("-n", "--namespace", default=None, help="default: that of the kubeconfig's context")
    why.add_argument("--kubeconfig", default=None, help="default: $KUBECONFIG or ~/.kube/config")
    why.set_defaults(run=_why)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    given: dict[str, Any] = {name: value for name in Settings.model_fields if (value := getattr(arguments, name)) is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        for problem in error.errors():
            print(f"vireo: {'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _nothing_begun)  # until there is a loop that ends tidily: its modules take seconds to load
    return asyncio.run(_serve(settings))


def _nothing_begun(*_: object) -> NoReturn:
    sys.exit(0)


async def _serve(settings: Settings) -> int:
    from controller import memory
    from controller.app import serve
    from controller.kube.credentials import CredentialsError
    from controller.telemetry.logs import configure

    memory.tune()
    log, stop = configure(settings.log_level, settings.log_format), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    looking = asyncio.create_task(memory.collect_old())
    try:
        await serve(settings, stop, log)
    except (CredentialsError, OSError) as error:
        print(f"vireo: {error}", file=sys.stderr)
        return 1
    finally:
        looking.cancel()
    return 0


def _simulator(arguments: Sequence[str]) -> int:
    from drivers.simulator.__main__ import main as simulator

    return simulator(arguments)


def _host(arguments: Sequence[str]) -> int:
    from controller.hostprepare import main as host

    return host(arguments)


_PASSED_ON: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "simulator": ("run or control a simulated datacentre", _simulator),
    "host": ("prepare machines as hosts", _host),
}
"""Commands with a command line of their own: what they are for, and what they do with the rest of the arguments."""


def _console(arguments: argparse.Namespace) -> int:
    from controller.console import ConsoleError, console
    from controller.kube.credentials import CredentialsError
    from controller.runtime.ports import ApiError
    from drivers.errors import DriverError

    namespace, _, name = arguments.vm.rpartition("/")
    try:
        return console(name, namespace or arguments.namespace, arguments.kubeconfig, log=arguments.log, force=arguments.force)
    except (ConsoleError, DriverError, CredentialsError, ApiError) as error:
        print(f"vireo: {error}", file=sys.stderr)
    except ValueError:
        print(f"vireo: VM {arguments.vm} or its host does not fit this version of vireo", file=sys.stderr)
    return 1


def _tree(arguments: argparse.Namespace) -> int:
    from controller.kube.credentials import CredentialsError
    from controller.runtime.ports import ApiError
    from controller.tree import show

    with contextlib.suppress(BrokenPipeError):
        try:
            asyncio.run(show(arguments.kubeconfig))
        except (CredentialsError, ApiError) as error:
            print(f"vireo: {error}", file=sys.stderr)
            return 1
    return 0


def _why(arguments: argparse.Namespace) -> int:
    from controller.kube.credentials import CredentialsError
    from controller.runtime.ports import ApiError
    from controller.why import KINDS_BY_NAME, why

    if arguments.kind.lower() not in KINDS_BY_NAME:
        print(f"vireo: there is no kind {arguments.kind}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(why(arguments.kubeconfig, arguments.kind, arguments.name, arguments.namespace))
    except (CredentialsError, ApiError) as error:
        print(f"vireo: {error}", file=sys.stderr)
    except ValueError:
        print(f"vireo: {arguments.kind} {arguments.name} does not fit this version of vireo", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main())
