"""What a host says it can carry segments with."""

from typing import cast

import pytest

from drivers.errors import AuthFailed, DriverError, Transient, Unsupported
from drivers.kvm.networks import Networks
from drivers.kvm.segments import Segments
from drivers.kvm.shell import Shell
from drivers.types import NetworkBackend, NetworkSupport
from tests.unit.kvm.iproute import FakeShell

OVS, BRIDGE, LINUX = NetworkBackend.OVS, NetworkBackend.BRIDGE, NetworkBackend.LINUX


def networks(shell: FakeShell, *, filters: bool = True) -> Networks:
    return Networks(cast(Shell, shell), Segments(cast(Shell, shell), 5.0), filters=filters)


def told(shell: FakeShell, *, filters: bool = True) -> dict[NetworkBackend, NetworkSupport]:
    return {each.backend: each for each in networks(shell, filters=filters).support()}


def test_every_backend_is_told_of_once() -> None:
    assert set(told(FakeShell())) == set(NetworkBackend)


def test_a_host_with_everything() -> None:
    found = told(FakeShell())
    assert [found[each].available for each in (OVS, BRIDGE, LINUX)] == [True, True, True]
    assert [found[each].guarded for each in (OVS, BRIDGE, LINUX)] == [False, True, True]
    assert (found[BRIDGE].message, found[LINUX].message) == ("", "")
    assert "claim any address" in found[OVS].message


def test_a_host_without_ssh_says_what_is_missing() -> None:
    shell = FakeShell(missing="no SSH login to the host")
    found = told(shell)
    assert (found[LINUX].available, found[LINUX].message) == (False, "no SSH login to the host")
    assert found[OVS].available is None
    assert "over SSH only" in found[OVS].message
    assert shell.ran == []


def test_a_host_without_filters_guards_nobody() -> None:
    found = told(FakeShell(), filters=False)
    assert [each for each in found.values() if each.guarded] == []
    assert all("claim any address" in each.message for each in found.values())


def test_who_is_not_root_makes_no_interfaces() -> None:
    found = told(FakeShell(user="1000\n"))
    assert (found[LINUX].available, "root" in found[LINUX].message) == (False, True)
    assert found[OVS].available is True


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
    shell = FakeShell(failure=failure)
    found = networks(shell)
    before = {each.backend: each for each in found.support()}
    assert (before[LINUX].available, before[LINUX].message) == (False, failure.message)
    assert before[OVS].available is None
    shell.failure = None
    assert all(each.available for each in found.support())
    commands = len(shell.ran)
    assert found.support() == found.support()
    assert len(shell.ran) == commands


def test_it_learns_of_segments_from_before() -> None:
    class Empty:
        def listAllDomains(self, _flags: int) -> list[object]:  # libvirt's name
            return []

    shell = FakeShell()
    shell.links["vireo-b7"] = {"mtu": 1500, "flags": [], "ifalias": "vireo:7"}
    segments = Segments(cast(Shell, shell), 5.0)
    Networks(cast(Shell, shell), segments, filters=True).support()
    segments.release(Empty())
    assert "vireo-b7" not in shell.links
