"""What a host says it can carry segments with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from drivers.errors import AuthFailed, DriverError, Transient, Unanswered, Unsupported
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.support import LOOKS, Networks
from drivers.kvm.network.switches import Switches
from drivers.types import NetworkBackend, NetworkSupport
from tests.unit.kvm.network.iproute import FakeShell
from tests.unit.kvm.network.test_flows import NIC, Host, live, ports

OVS, BRIDGE, LINUX = NetworkBackend.OVS, NetworkBackend.BRIDGE, NetworkBackend.LINUX


@dataclass
class Asked:
    """A host's networks, and how often its ports were guarded."""

    shell: FakeShell
    filters: bool = True
    failure: DriverError | None = None
    synced: list[list[str]] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        shell = cast(Shell, self.shell)
        self.switches = Switches(shell)
        segments = Segments(shell, 5.0)
        self.networks = Networks(shell, segments, self.switches, self.sync, filters=self.filters, clock=lambda: self.now)

    def sync(self, bridges: Sequence[str]) -> None:
        if self.failure:
            raise self.failure
        self.synced.append(list(bridges))
        self.switches.able = True

    def told(self) -> dict[NetworkBackend, NetworkSupport]:
        return {each.backend: each for each in self.networks.support()}


def told(shell: FakeShell, *, filters: bool = True) -> dict[NetworkBackend, NetworkSupport]:
    return Asked(shell, filters).told()


def test_every_backend_is_told_of_once() -> None:
    assert set(told(FakeShell())) == set(NetworkBackend)


def test_a_host_with_everything() -> None:
    found = told(FakeShell())
    assert [found[each].available for each in (OVS, BRIDGE, LINUX)] == [True, True, True]
    assert [found[each].guarded for each in (OVS, BRIDGE, LINUX)] == [True, True, True]
    assert [each.message for each in found.values()] == ["", "", ""]


def test_a_host_without_ssh_says_what_is_missing() -> None:
    shell = FakeShell(missing="no SSH login to the host")
    found = told(shell)
    assert (found[LINUX].available, found[LINUX].message) == (False, "no SSH login to the host")
    assert found[OVS].available is None
    assert "over SSH only" in found[OVS].message
    assert shell.ran == []


def test_a_host_without_filters_guards_nobody() -> None:
    found = told(FakeShell(), filters=False)
    assert [each.backend for each in found.values() if each.guarded] == [OVS]
    assert all("claim any address" in found[each].message for each in (BRIDGE, LINUX))


def test_who_is_not_root_makes_no_interfaces() -> None:
    found = told(FakeShell(user="1000\n"))
    assert (found[LINUX].available, "root" in found[LINUX].message) == (False, True)
    assert (found[OVS].available, found[OVS].guarded) == (True, False)
    assert "root" in found[OVS].message


def test_ports_are_guarded_before_the_host_says_so() -> None:
    asked = Asked(FakeShell(switches="ovsbr0\nbr-ex\n"))
    assert not asked.switches.able
    assert asked.told()[OVS].guarded
    assert asked.synced == [["ovsbr0", "br-ex"]]
    assert asked.switches.able


class Guarded(Asked):
    """One with a VM on Open vSwitch, whose rules are set for real; it was connected, and then looked at again."""

    def __init__(self) -> None:
        super().__init__(FakeShell(ports=ports(vnet0=3)))
        assert self.told()[OVS].guarded
        self.connected = list(self.shell.ran)

    def sync(self, bridges: Sequence[str]) -> None:
        self.switches.sync(Host(live((NIC, "vnet0"))), bridges)
        super().sync(bridges)

    def later(self, seconds: float = LOOKS) -> NetworkSupport:
        self.now += seconds
        self.shell.ran.clear()
        return self.told()[OVS]


LOOK = [Command.LIST_PORTS, Command.COUNT_FLOWS]


def test_rules_that_are_there_cost_two_commands_now_and_then() -> None:
    host = Guarded()
    assert host.networks.asked
    assert (host.later(LOOKS - 1).guarded, host.shell.ran, host.networks.asked) == (True, [], False)
    assert (host.later(1).guarded, host.shell.ran, host.networks.asked) == (True, LOOK, True)
    assert (host.later(LOOKS - 1).guarded, host.shell.ran) == (True, [])
    assert len(host.synced) == 1


def test_rules_that_open_vswitch_forgot_are_set_again() -> None:
    host = Guarded()
    before = host.shell.table["ovsbr0"]
    host.shell.table.clear()
    assert host.later().guarded
    assert host.shell.ran == [*LOOK, *host.connected]
    assert host.shell.table["ovsbr0"] == before
    assert (host.later(LOOKS - 1).guarded, host.shell.ran) == (True, []), "it was looked at when they were set"


@pytest.mark.parametrize("failure", [Unanswered("SSH to the host failed"), AuthFailed("cannot log in to the host")])
def test_a_login_that_fails_says_nothing_of_the_rules(failure: DriverError) -> None:
    host = Guarded()
    host.shell.table.clear()
    host.shell.failure = failure
    assert (host.later().guarded, host.shell.ran) == (True, [Command.LIST_PORTS])
    assert (host.later(LOOKS - 1).guarded, host.shell.ran) == (True, []), "it is not tried all the time"
    host.shell.failure = None
    assert host.later(1).guarded
    assert host.shell.table["ovsbr0"]


def test_rules_of_a_port_that_is_said_to_have_gone_go_with_the_next_look() -> None:
    host = Guarded()
    host.shell.ports = ports()
    assert (host.later(1).guarded, host.shell.ran) == (True, []), "nobody said so"
    host.switches.port_gone()
    assert host.later(1).guarded
    assert (host.shell.ran, host.shell.table["ovsbr0"]) == (TIDIED, [])
    assert not host.networks.asked, "it has answered, and may be asked other things"
    assert (host.later(1).guarded, host.shell.ran) == (True, [])
    assert len(host.synced) == 1


TIDIED = [Command.LIST_PORTS, Command.CHANGE_FLOWS]


def test_rules_of_a_port_that_went_unheard_go_with_the_look_of_every_five_minutes() -> None:
    host = Guarded()
    host.shell.ports = ports()
    assert host.later().guarded
    assert (host.shell.ran, host.shell.table["ovsbr0"]) == (TIDIED, [])
    assert len(host.synced) == 1


@pytest.mark.parametrize("failure", [Unanswered("SSH to the host failed"), AuthFailed("cannot log in to the host")])
def test_rules_of_a_port_that_could_not_be_removed_go_with_a_later_look(failure: DriverError) -> None:
    host = Guarded()
    host.shell.ports = ports()
    host.switches.port_gone()
    host.shell.failure = failure
    assert (host.later(1).guarded, host.shell.ran, host.networks.asked) == (True, [Command.LIST_PORTS], True)
    assert (host.later(1).guarded, host.shell.ran) == (True, []), "it is not tried all the time"
    host.shell.failure = None
    assert host.later().guarded
    assert host.shell.table["ovsbr0"] == []


def test_a_bridge_that_went_with_its_ports_is_told_of_by_the_look_of_every_five_minutes() -> None:
    """Its rules cannot be removed, and need not be; the ports that it had are looked for elsewhere, at once."""
    host = Guarded()
    host.shell.ports = ports()
    host.switches.port_gone()
    host.shell.failure = Transient("ovs-ofctl failed on the host: ovsbr0 is not a bridge or a socket")
    assert (host.later(1).guarded, host.networks.asked) == (True, False)
    assert not host.later().guarded
    host.shell.failure = None
    assert host.later(1).guarded


def test_an_open_vswitch_that_is_gone_is_told_of_until_it_is_back() -> None:
    host = Guarded()
    host.shell.table.clear()
    host.shell.failure = Transient("ovs-ofctl failed on the host: ovsbr0 is not a bridge or a socket")
    for found in (host.later(), host.later(1)):
        assert (found.guarded, "not a bridge" in found.message) == (False, True)
        assert Command.WHO in host.shell.ran
    host.shell.failure = None
    assert host.later(1).guarded
    assert host.shell.table["ovsbr0"]


def test_a_host_that_cannot_be_guarded_is_not_asked_for_rules() -> None:
    asked = Asked(FakeShell(user="1000\n"))
    asked.told()
    asked.now, before = 2 * LOOKS, len(asked.shell.ran)
    assert not asked.told()[OVS].guarded
    assert len(asked.shell.ran) == before


@pytest.mark.parametrize(
    ("failure", "again"), [(Unsupported("the host has no command ovs-ofctl"), False), (Transient("lost"), True)]
)
def test_ports_that_cannot_be_guarded_are_told_of(failure: DriverError, again: bool) -> None:
    asked = Asked(FakeShell(), failure=failure)
    found = asked.told()[OVS]
    assert (found.guarded, asked.switches.able) == (False, False)
    assert failure.message in found.message
    assert "claim any address" in found.message
    asked.failure = None
    assert asked.told()[OVS].guarded is again


@pytest.mark.parametrize(
    ("switches", "text"),
    [
        ("", "no bridge"),
        (Unsupported("the host has no command ovs-vsctl"), "no command"),
        (Transient("ovs-vsctl failed"), "failed"),
    ],
)
def test_a_host_without_open_vswitch(switches: str | DriverError, text: str) -> None:
    found = told(FakeShell(switches=switches))[OVS]
    assert (found.available, text in found.message) == (False, True)


@pytest.mark.parametrize("failure", [Transient("SSH to the host failed"), AuthFailed("cannot log in to the host")])
def test_a_login_that_fails_is_tried_again_until_it_works(failure: DriverError) -> None:
    asked = Asked(FakeShell(failure=failure))
    before = asked.told()
    assert (before[LINUX].available, before[LINUX].message) == (False, failure.message)
    assert before[OVS].available is None
    asked.shell.failure = None
    assert all(each.available for each in asked.told().values())
    commands = len(asked.shell.ran)
    assert asked.told() == asked.told()
    assert len(asked.shell.ran) == commands


def test_it_learns_of_segments_from_before() -> None:
    class Empty:
        def listAllDomains(self, _flags: int) -> list[object]:  # libvirt's name
            return []

    shell = FakeShell()
    shell.links["vireo-b7"] = {"mtu": 1500, "flags": [], "ifalias": "vireo:7"}
    segments = Segments(cast(Shell, shell), 5.0)
    Networks(cast(Shell, shell), segments, Switches(cast(Shell, shell)), lambda _bridges: None, filters=True).support()
    segments.release(Empty())
    assert "vireo-b7" not in shell.links
