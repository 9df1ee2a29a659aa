"""Ports that come while all ports of a host are being guarded: none is left without rules, whoever was first."""

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import cast

import pytest

from drivers.errors import Transient
from drivers.kvm import mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows
from drivers.kvm.network.switches import Switches
from drivers.kvm.subject import Subject
from tests.unit.kvm.network.iproute import FakeShell
from tests.unit.kvm.network.test_flows import NIC, Host, live, ports, subject

GUARDED = flows.guarded(3, mark.of_nic(NIC))


class Slow(Host):
    """A host on which something happens while its VMs are being listed; what was not listed by then is not on the list."""

    def __init__(self, happens: Callable[[], None], *listed: tuple[ET.Element, mark.Mark]) -> None:
        super().__init__(*listed)
        self.happens = happens

    def listAllDomains(self, flags: int) -> list[Host.Domain]:
        found = super().listAllDomains(flags)
        self.happens()
        return found


class Starting:
    """A VM that starts in a thread of its own; `wait` returns once its ports are said to be guarded."""

    def __init__(self, switches: Switches) -> None:
        self.thread = threading.Thread(target=switches.guard, args=(vm(),))

    def begin(self) -> None:
        """Have it under way as far as it comes at the moment."""
        self.thread.start()
        deadline = time.monotonic() + 0.2  # long enough for a guard that does not wait to be through
        while self.thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)

    def wait(self) -> None:
        self.thread.join(60)
        assert not self.thread.is_alive()


def vm() -> Subject:
    return subject(*live((NIC, "vnet0")))


@pytest.mark.parametrize("able", [False, True], ids=["first", "afresh"])
def test_a_vm_that_starts_while_others_are_listed_is_guarded(able: bool) -> None:
    shell = FakeShell(ports=ports(vnet0=3))
    switches = Switches(cast(Shell, shell))
    switches.able = able
    starting = Starting(switches)
    switches.sync(Slow(starting.begin), ["ovsbr0"])
    starting.wait()
    assert shell.rules == {"ovsbr0": GUARDED}, "after those that were cleared, not before"


def test_a_vm_that_ran_before_is_on_the_list() -> None:
    shell = FakeShell(ports=ports(vnet0=3))
    switches = Switches(cast(Shell, shell))
    switches.guard(vm())
    switches.sync(Host(live((NIC, "vnet0"))), ["ovsbr0"])
    assert shell.rules == {"ovsbr0": [flows.cleared(), *GUARDED]}


def test_a_host_is_able_only_once_all_its_ports_are_guarded() -> None:
    shell = FakeShell(ports=ports(vnet0=3))
    switches = Switches(cast(Shell, shell))
    seen: list[bool] = []
    switches.sync(Slow(lambda: seen.append(switches.able)), ["ovsbr0"])
    assert (seen, switches.able) == ([False], True)


def test_a_sync_that_fails_makes_no_host_able_and_holds_nobody_up() -> None:
    shell = FakeShell(failure=Transient("lost"))
    switches = Switches(cast(Shell, shell))
    with pytest.raises(Transient, match="lost"):
        switches.sync(Host(live((NIC, "vnet0"))), ["ovsbr0"])
    assert not switches.able
    shell.failure = None
    switches.sync(Host(), ["ovsbr0"])
    assert switches.able
    assert shell.ran.count(Command.CHANGE_FLOWS) == 1
