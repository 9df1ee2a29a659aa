"""Rules on ports: none is left without, whoever was first when all ports of a host are guarded; and rules that went are missed."""

import json
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import Transient, Unanswered
from drivers.kvm import mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows
from drivers.kvm.network.switches import Switches
from drivers.kvm.subject import Subject
from drivers.types import Attachment, NetworkBackend
from tests.unit.kvm.network.iproute import FakeShell, changed
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
    assert shell.ran.count(Command.LIST_PORTS) == 2
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


# ports that go -------------------------------------------------------------------------------------------------------


def gone(shell: FakeShell, *devices: str) -> None:
    """Libvirt takes these ports off their bridges."""
    shell.ports = ports(**{name: number for name, number in listed(shell).items() if name not in devices})


def listed(shell: FakeShell) -> dict[str, int]:
    return dict(json.loads(shell.ports)["data"])


def tidied(switches: Switches, shell: FakeShell) -> bool:
    """Whether it has run a command."""
    before = len(shell.ran)
    switches.tidy()
    return len(shell.ran) > before


def numbers_with_rules(shell: FakeShell, bridge: str = "ovsbr0") -> set[str]:
    return {word for rule in shell.table.get(bridge, []) for word in rule.split(",") if word.startswith("in_port=")}


def test_rules_go_with_their_port_and_others_stay() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    started(switches, "vnet2", "")
    gone(shell, "vnet1")
    assert not tidied(switches, shell), "nobody said so"
    switches.port_gone()
    assert tidied(switches, shell)
    assert numbers_with_rules(shell) == {"in_port=2"}
    assert switches.intact()
    assert not tidied(switches, shell), "it is looked once for each time that it is said"


def test_a_port_that_went_unheard_is_found_by_the_look_at_all() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    started(switches, "vnet2", "")
    gone(shell, "vnet1")
    assert switches.intact()
    assert numbers_with_rules(shell) == {"in_port=2"}


def test_a_port_that_is_there_keeps_its_rules_whatever_is_said() -> None:
    """Also one without a number for the moment, as while Open vSwitch is started."""
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    before = shell.table["ovsbr0"]
    for told in (shell.ports, '{"data": [["vnet1", ["set", []]]]}'):
        shell.ports = told
        switches.port_gone()
        assert tidied(switches, shell)
        assert shell.table["ovsbr0"] == before


def test_a_number_that_another_vm_has_by_then_keeps_that_vm_s_rules() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    shell.ports = ports(vnet9=1)
    switches.port_gone()
    started(switches, "vnet9", "10.0.0.9")
    switches.tidy()
    assert shell.table["ovsbr0"] == changed([], flows.guarded(1, mark.of_nic(replace(NIC, ip="10.0.0.9"))))
    assert switches.intact()


def test_a_number_that_somebody_else_s_port_has_by_then_is_freed() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    shell.ports = ports(backup0=1)
    switches.port_gone()
    assert tidied(switches, shell)
    assert shell.table["ovsbr0"] == []


def test_a_port_that_goes_while_others_are_looked_for_is_looked_for_again() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    started(switches, "vnet2", "")
    run = shell.run

    def late(command: Command, *arguments: Any, **more: Any) -> str:
        told = run(command, *arguments, **more)
        if command is Command.LIST_PORTS and "vnet2" in told:
            gone(shell, "vnet2")
            switches.port_gone()
        return told

    gone(shell, "vnet1")
    switches.port_gone()
    shell.run = late  # type: ignore[method-assign]
    assert tidied(switches, shell)
    assert numbers_with_rules(shell) == {"in_port=2"}
    assert tidied(switches, shell)
    assert numbers_with_rules(shell) == set()


def test_what_could_not_be_removed_is_by_the_look_at_all() -> None:
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    gone(shell, "vnet1")
    switches.port_gone()
    shell.failure = Transient("ovs-ofctl failed on the host")
    with pytest.raises(Transient):
        switches.tidy()
    shell.failure = None
    assert not tidied(switches, shell)
    assert switches.intact()
    assert shell.table["ovsbr0"] == []


@pytest.mark.parametrize("written", [True, False])
def test_rules_that_may_have_been_set_go_with_their_port_or_are_set_again(written: bool) -> None:
    """The answer was lost, as it is to a VM that then is not let run, or the question."""
    switches, shell = able()
    run = shell.run

    def lost(command: Command, *arguments: Any, **more: Any) -> str:
        if command is not Command.CHANGE_FLOWS:
            return run(command, *arguments, **more)
        if written:
            run(command, *arguments, **more)
        raise Unanswered("the host did not answer over SSH", outcome_unknown=True)

    shell.run = lost  # type: ignore[method-assign]
    with pytest.raises(Unanswered):
        started(switches, "vnet1", "10.0.0.5")
    shell.run = run  # type: ignore[method-assign]
    assert switches.intact() == written
    gone(shell, "vnet1")
    switches.port_gone()
    assert tidied(switches, shell)
    assert shell.table.get("ovsbr0", []) == []
    assert switches.intact()


def test_each_bridge_is_swept() -> None:
    switches, shell = able()
    elsewhere = replace(NIC, attachment=Attachment(NetworkBackend.OVS, "ovsbr1"))
    started(switches, "vnet1", "10.0.0.5")
    switches.guard(subject(*live((elsewhere, "vnet2"))))
    gone(shell, "vnet1", "vnet2")
    switches.port_gone()
    assert tidied(switches, shell)
    assert (shell.table["ovsbr0"], shell.table["ovsbr1"]) == ([], [])


def test_a_port_with_another_number_has_lost_its_rules() -> None:
    """As many rules as were set are there, for a number that the port has no more: all are set afresh."""
    switches, shell = able()
    started(switches, "vnet1", "10.0.0.5")
    shell.ports = ports(vnet1=7)
    assert not switches.intact()
    switches.sync(Host(live((NIC, "vnet1"))), ["ovsbr0"])
    assert numbers_with_rules(shell) == {"in_port=7"}
    assert switches.intact()


def test_a_host_without_rules_is_not_asked_for_ports_that_went() -> None:
    switches, shell = able()
    before = len(shell.ran)
    switches.port_gone()
    assert not tidied(switches, shell)
    assert len(shell.ran) == before
    started(switches, "vnet1", "")
    gone(shell, "vnet1")
    assert tidied(switches, shell), "said before its rules were set, for all that is known"
    assert shell.table["ovsbr0"] == []


LIVES = st.lists(st.tuples(st.sampled_from(["start", "end", "tidy", "look"]), st.sampled_from(sorted(NUMBERS))), max_size=12)


@given(LIVES)
def test_rules_are_those_of_vms_that_run_once_it_was_looked(lives: list[tuple[str, str]]) -> None:
    """Whatever came before; and no VM that runs is without at any time."""
    switches, shell = able()
    shell.ports, running = ports(), dict[str, int]()
    for what, device in lives:
        if what == "start":
            running[device] = NUMBERS[device]
            shell.ports = ports(**running)
            started(switches, device, "10.0.0.5")
        elif what == "end":
            running.pop(device, None)
            shell.ports = ports(**running)
            switches.port_gone()
        elif what == "tidy":
            switches.tidy()
        else:
            assert switches.intact()
        assert {f"in_port={number}" for number in running.values()} <= numbers_with_rules(shell)
    assert switches.intact()
    assert numbers_with_rules(shell) == {f"in_port={number}" for number in running.values()}
