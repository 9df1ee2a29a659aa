"""Commands on a host over SSH: the few that libvirt has no call for, listed here, each a fixed text but for
the name of a bridge, and of an interface and its VLAN.

What varies goes in on standard input, to programs that read no shell. The system's ssh client is used, as libvirt uses it for
qemu+ssh, so a host is reached and trusted in the same way by both. Keys are files in memory for as long as one command runs.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from subprocess import PIPE
from typing import IO

from drivers.errors import AuthFailed, InvalidSpec, Transient, Unanswered, Unsupported
from drivers.kvm import errors
from drivers.kvm.link import credentials
from drivers.kvm.link.credentials import KEY, KNOWN_HOSTS
from drivers.kvm.link.url import Target, Transport, parse
from drivers.kvm.names import COOKIE, INTERFACE
from drivers.types import Endpoint

LONGEST_REPLY = 16 << 20
"""Bytes; a host with 1,000 interfaces says about 2 MiB."""
_LOST, _NO_SUCH_COMMAND = 255, 127


BRIDGE, PORT, TAG = "{bridge}", "{port}", "tag={vlan}"


class Command(Enum):
    """Everything that Vireo runs on a host; `BRIDGE` stands for the name of one of its bridges, `PORT` for that of an interface."""

    WHO = ("id", "-u")
    SHOW_LINKS = ("ip", "-json", "-details", "address", "show")
    CHANGE_LINKS = ("ip", "-batch", "-")
    LIST_SWITCHES = ("ovs-vsctl", "--timeout=5", "list-br")
    LIST_PORTS = ("ovs-vsctl", "--timeout=5", "--format=json", "--columns=name,ofport", "list", "Interface")
    COUNT_FLOWS = ("ovs-ofctl", "--timeout=5", "-O", "OpenFlow14", "dump-aggregate", BRIDGE, f"cookie={COOKIE}/-1")
    ADD_PORT = ("ovs-vsctl", "--timeout=5", "--may-exist", "add-port", BRIDGE, PORT)
    ADD_TAGGED_PORT = ("ovs-vsctl", "--timeout=5", "--may-exist", "add-port", BRIDGE, PORT, TAG)
    CHANGE_FLOWS = ("ovs-ofctl", "--timeout=5", "--bundle", "-O", "OpenFlow14", "add-flows", BRIDGE, "-")

    def text(self, bridge: str = "", port: str = "", vlan: int | None = None) -> str:
        """As the host's shell reads it. Raises InvalidSpec for a bridge, an interface or a VLAN that no host could have."""
        if BRIDGE in self.value and not INTERFACE.fullmatch(bridge):
            raise InvalidSpec(f"{bridge[:32]!r} cannot be the name of a bridge")
        if PORT in self.value and not INTERFACE.fullmatch(port):
            raise InvalidSpec(f"{port[:32]!r} cannot be the name of an interface")
        if TAG in self.value and (vlan is None or not 1 <= vlan <= 4094):
            raise InvalidSpec(f"a VLAN is 1 to 4094, not {vlan}")
        words = {BRIDGE: bridge, PORT: port, TAG: f"tag={vlan}"}
        return shlex.join(words.get(word, word) for word in self.value)


class Shell:
    """Logs in afresh for each command."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        """`timeout` seconds are for one command with its login. Raises InvalidSpec for a URL that is none of this driver."""
        self._endpoint = endpoint
        self._target = parse(endpoint.url)
        self._timeout = timeout

    @property
    def missing(self) -> str:
        """Why there is no way to run commands, in a sentence; empty if there may be one."""
        if self._target.transport is Transport.SSH:
            return ""
        if self._target.transport is Transport.TLS and self._endpoint.credentials.ssh_key:
            return ""
        return "no SSH login to the host: it needs a qemu+ssh:// endpoint, or ssh-privatekey in the Secret of a qemu+tls:// one"

    def run(self, command: Command, text: str = "", bridge: str = "", port: str = "", vlan: int | None = None) -> str:
        """What the command prints, given `text`, for the `bridge`, the `port` and the `vlan` where it names one.

        Raises Unsupported, AuthFailed, Transient; its complaint is in the message.
        """
        if self.missing:
            raise Unsupported(self.missing)
        words = command.text(bridge, port, vlan)
        try:
            with credentials.private() as place:
                done = self._call(words, text, place)
        except OSError as error:
            raise Transient(f"ssh cannot be run: {error.strerror}") from None
        if done.status:
            raise _failure(command, done.status, done.complaint.decode(errors="replace"))
        return done.output.decode(errors="replace")

    def _call(self, command: str, text: str, private: Path) -> Ended:
        files = {KEY: self._endpoint.credentials.ssh_key, KNOWN_HOSTS: self._endpoint.credentials.known_hosts}
        given = {name: content for name, content in files.items() if content}
        credentials.write(private, given)
        words = arguments(self._target, self._endpoint, {name: private / name for name in given})
        return call([*words, command], text.encode(), self._timeout)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and what it wrote."""

    status: int
    output: bytes
    complaint: bytes


def call(argv: Sequence[str], text: bytes, timeout: float) -> Ended:
    """Run a program; what it writes is taken up to `LONGEST_REPLY` bytes. Raises Transient for more, Unanswered after `timeout`
    seconds.
    """
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process, ThreadPoolExecutor(max_workers=3) as pool:
        end = threading.Timer(timeout, process.kill)
        end.start()
        try:
            pool.submit(_feed, process.stdin, text)
            taken = [pool.submit(_take, stream, process) for stream in (process.stdout, process.stderr)]
            output, complaint = (each.result() for each in taken)
            status = process.wait()
        finally:
            end.cancel()
    if status == -signal.SIGKILL:
        if max(len(output), len(complaint)) > LONGEST_REPLY:
            raise Transient("the host wrote more over SSH than makes sense", outcome_unknown=True)
        raise Unanswered(f"the host did not answer over SSH within {timeout:g} seconds", outcome_unknown=True)
    return Ended(status, output, complaint)


def _feed(stream: IO[bytes] | None, text: bytes) -> None:
    if stream is not None:
        with suppress(BrokenPipeError), stream:
            stream.write(text)


def _take(stream: IO[bytes] | None, process: subprocess.Popen[bytes]) -> bytes:
    taken = b"" if stream is None else stream.read(LONGEST_REPLY + 1)
    if len(taken) > LONGEST_REPLY:
        process.kill()
    return taken


def arguments(target: Target, endpoint: Endpoint, files: dict[str, Path]) -> Sequence[str]:
    """The ssh command line up to the host, its last word. What comes from outside is the value of an option or follows `--`."""
    options = ["BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=2", "ForwardAgent=no"]
    if endpoint.insecure:
        options += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"]
    else:
        options.append("StrictHostKeyChecking=yes")
        if KNOWN_HOSTS in files:
            options += [f"UserKnownHostsFile={files[KNOWN_HOSTS]}", "GlobalKnownHostsFile=/dev/null"]
    words = ["ssh", "-T", "-x"]
    if KEY in files:
        options.append("IdentitiesOnly=yes")
        words += ["-i", str(files[KEY])]
    for option in options:
        words += ["-o", option]
    if target.port and target.transport is Transport.SSH:
        words += ["-p", str(target.port)]
    user = target.login(endpoint.credentials.username) if target.transport is Transport.SSH else "root"
    return [*words, *(["-l", user] if user else []), "--", target.host]


def _failure(command: Command, status: int, complaint: str) -> Exception:
    program, said = command.value[0], errors.redact(complaint) or f"exit status {status}"
    if status == _LOST:
        refusal = errors.ssh_refusal(complaint)
        return AuthFailed(f"cannot log in to the host: {refusal}") if refusal else Unanswered(f"SSH to the host failed: {said}")
    if status == _NO_SUCH_COMMAND:
        return Unsupported(f"the host has no command {program}")
    return Transient(f"{program} failed on the host: {said}")
