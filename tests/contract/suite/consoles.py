"""Serial consoles, with an image that boots and lets root log in there with the password `lab`."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.consoles import Console
from drivers.errors import Busy, Conflict, NotFound
from drivers.types import Capability, DesiredVM, InstanceID, StopMode

from .base import ContractBase
from .binding import Binding
from .tools import DEADLINE, Maker, raises_ours


class Talk:
    """Types, and reads until something was written."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seen = b""

    def until(self, wanted: bytes) -> bytes:
        """Everything up to and with `wanted`."""
        deadline = time.monotonic() + DEADLINE
        while wanted not in self.seen:
            assert time.monotonic() < deadline, (wanted, self.seen[-500:])
            self.seen += self.console.read(1.0)
        before, found, self.seen = self.seen.partition(wanted)
        return before + found

    def log_in(self) -> None:
        """Whatever the console shows now."""
        self.console.write(b"\n")
        self.until(b"login: ")
        self.console.write(b"root\n")
        self.until(b"assword: ")
        self.console.write(b"lab\n")
        self.until(b"# ")

    def ask(self, command: str) -> str:
        """What a command prints; the echo of the command itself does not have the marks."""
        self.console.write(f"echo 'be''gin'; {command}; echo 'e''nd'\n".encode())
        self.until(b"begin\r\n")
        return self.until(b"end\r\n").decode().removesuffix("end\r\n").replace("\r\n", "\n")


class Consoles(ContractBase):
    def _running(self, make: Maker) -> DesiredVM:
        vm = make.create(replace(make.vm(), seed=None))
        make.start(vm)
        return vm

    def _open(self, connection: Connection, binding: Binding, vm: DesiredVM, *, force: bool = False) -> Console:
        """A console that was just left may be taken for a moment."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return connection.consoles.open(binding.host, vm.instance, force=force)
            except Conflict:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def test_somebody_logs_in_and_leaves_and_the_next_finds_the_session(
        self, binding: Binding, connection: Connection, make: Maker
    ) -> None:
        assert Capability.CONSOLE in connection.capabilities
        vm = self._running(make)
        with closing(self._open(connection, binding, vm)) as console:
            talk = Talk(console)
            talk.log_in()
            assert talk.ask("id -u") == "0\n"
            assert talk.ask("KEPT=yes") == ""
        with closing(self._open(connection, binding, vm)) as console:
            assert Talk(console).ask("echo $KEPT") == "yes\n"

    def test_one_user_at_a_time(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = self._running(make)
        first = self._open(connection, binding, vm)
        with raises_ours(Conflict) as caught:
            connection.consoles.open(binding.host, vm.instance)
        assert "somebody else" in str(caught.value)
        with closing(connection.consoles.open(binding.host, vm.instance, force=True)) as second:
            self._ends(first)
            Talk(second).log_in()
        first.close()

    def test_a_console_ends_with_its_vm(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = self._running(make)
        console = self._open(connection, binding, vm)
        make.stop(vm, StopMode.HARD)
        self._ends(console)
        with raises_ours(Conflict):
            console.write(b"x")
        console.close()
        console.close()

    def test_a_vm_that_is_off_or_away_has_none(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        with raises_ours(Conflict) as caught:
            connection.consoles.open(binding.host, vm.instance)
        assert "off" in str(caught.value)
        for call in (connection.consoles.open, connection.consoles.log):
            with raises_ours(NotFound):
                call(binding.host, InstanceID("00000000-0000-4000-8000-000000000000"))

    def test_a_guest_that_takes_nothing_makes_nobody_wait(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = self._running(make)
        with closing(self._open(connection, binding, vm)) as console, pytest.raises(Busy):
            self._flood(console)

    def test_the_log_keeps_what_was_written_over_restarts_and_goes_with_the_vm(
        self, binding: Binding, connection: Connection, make: Maker
    ) -> None:
        vm = make.create(replace(make.vm(), seed=None))
        with raises_ours(NotFound):
            connection.consoles.log(binding.host, vm.instance)
        for starts in (1, 2):
            make.start(vm)
            self._until(lambda starts=starts: connection.consoles.log(binding.host, vm.instance).count(b"login:") >= starts)
            make.stop(vm, StopMode.HARD)
        make.delete(vm)
        assert binding.leftovers(vm.instance) == set()

    def _flood(self, console: Console) -> None:
        for _ in range(10_000):
            console.write(b"x" * 4096)

    def _ends(self, console: Console) -> None:
        deadline = time.monotonic() + DEADLINE
        with raises_ours(Conflict):
            while time.monotonic() < deadline:
                console.read(1.0)

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE
        while True:
            with suppress(NotFound):
                if holds():
                    return
            assert time.monotonic() < deadline
            time.sleep(0.2)
