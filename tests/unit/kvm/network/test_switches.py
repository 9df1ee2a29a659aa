"""Rules on ports: none is left without, whoever was first when all ports of a host are guarded; and rules that went are missed."""

import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Transient
from drivers.kvm import mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows
from drivers.kvm.network.switches import Switches
from drivers.kvm.subject import Subject
from drivers.types import Attachment, NetworkBackend
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


NUMBERS = {f"vnet{number}": number for number in range(1, 5)}
STARTS = st.lists(st.tuples(st.sampled_from(sorted(NUMBERS)), st.sampled_from(["", "10.0.0.5"])), max_size=6)
"""VMs that start one after the other: the device of each, and its address, if it has one."""


def started(switches: Switches, device: str, ip: str) -> None:
    switches.guard(subject(*live((replace(NIC, ip=ip), device))))


def able() -> tuple[Switches, FakeShell]:
    shell = FakeShell(ports=ports(**NUMBERS))
    switches = Switches(cast(Shell, shell))
    switches.sync(Host(), ["ovsbr0"])
    return switches, shell


@given(STARTS)
def test_what_was_set_is_there(starts: list[tuple[str, str]]) -> None:
    """Whatever was on a port before."""
    switches, _shell = able()
    for device, ip in starts:
        started(switches, device, ip)
        assert switches.intact()


@given(STARTS, STARTS)
def test_an_open_vswitch_that_was_started_anew_is_noticed(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    """Also when VMs have started since, and their rules are there."""
    switches, shell = able()
    for device, ip in before:
        started(switches, device, ip)
    shell.table.clear()
    for device, ip in after:
        started(switches, device, ip)
    assert switches.intact() == ({device for device, _ in before} <= {device for device, _ in after})
    switches.sync(Host(), ["ovsbr0"])
    assert switches.intact()


@pytest.mark.parametrize("by_hand", [lambda rules: rules.pop(), lambda rules: rules.append("somebody's")], ids=["less", "more"])
def test_rules_changed_by_hand_are_noticed(by_hand: Callable[[list[str]], object]) -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    by_hand(shell.table["ovsbr0"])
    assert not switches.intact()


def test_every_bridge_is_looked_at_and_one_without_rules_costs_no_command() -> None:
    shell = FakeShell(ports=ports(**NUMBERS))
    switches = Switches(cast(Shell, shell))
    elsewhere = replace(NIC, attachment=Attachment(NetworkBackend.OVS, "ovsbr1"))
    switches.sync(Host(live((NIC, "vnet1")), live((elsewhere, "vnet2"))), ["ovsbr0", "br-ex"])
    assert switches.intact()
    assert shell.ran.count(Command.COUNT_FLOWS) == 2
    del shell.table["ovsbr1"]
    assert not switches.intact()
    switches.sync(Host(), ["ovsbr0", "ovsbr1"])
    before = len(shell.ran)
    assert switches.intact()
    assert len(shell.ran) == before


def test_whether_rules_are_there_cannot_always_be_told() -> None:
    switches, shell = able()
    started(switches, "vnet1", "")
    shell.failure = Transient("ovs-ofctl failed on the host: ovsbr0 is not a bridge or a socket")
    with pytest.raises(Transient, match="not a bridge"):
        switches.intact()
