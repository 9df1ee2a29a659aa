"""Guests that QEMU suspended for an error of a disk: what is asked of them, and which are let go on."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import libvirt
import pytest

from drivers.errors import DriverError, Transient, Unanswered
from drivers.kvm.domain.observe import Documents
from drivers.kvm.link.session import Role, Timeouts
from drivers.kvm.machine import suspension
from drivers.types import InstanceID
from tests.unit.kvm.fakes import libvirt_error

INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
FAILED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR)
RUNS = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED)


@dataclass
class Domain:
    """In one state after the other as it is asked; `refuses` to go on."""

    states: list[tuple[int, int]]
    refuses: bool = False
    resumed: int = 0
    errors: dict[str, int] = field(default_factory=dict)

    def state(self, _flags: int) -> list[int]:
        return list(self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def resume(self) -> None:
        self.resumed += 1
        if self.refuses:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "domain is already running")

    def diskErrors(self, _flags: int) -> dict[str, int]:
        return self.errors


@dataclass
class Session:
    """One connection, whose only domain is `domain`; `error` is what comes of any call."""

    domain: Domain | None = None
    error: DriverError | None = None
    timeouts: Timeouts = field(default_factory=lambda: Timeouts(agent=7))
    limits: list[float | None] = field(default_factory=list)

    def run(self, role: Role, _action: str, function: Callable[[Any], Any], *, limit: float | None = None) -> Any:
        assert role is Role.AGENT, "one that hangs must not hold up those who read state, or change others"
        self.limits.append(limit)
        if self.error is not None:
            raise self.error
        return function(self)

    def lookupByUUIDString(self, instance: str) -> Domain:
        assert instance == INSTANCE
        if self.domain is None:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN)
        return self.domain


def test_one_that_failed_goes_on() -> None:
    domain = Domain([FAILED])
    suspension.resume(domain)
    assert domain.resumed == 1


@pytest.mark.parametrize(
    "state",
    [
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN),
        (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT),
        (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED),
        (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED),
        (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED),
    ],
)
def test_any_other_stays_as_it_is(state: tuple[int, int]) -> None:
    domain = Domain([state])
    suspension.resume(domain)
    assert domain.resumed == 0


def test_one_that_somebody_let_go_on_at_the_same_time_is_success() -> None:
    suspension.resume(Domain([FAILED, RUNS], refuses=True))


def test_one_that_can_t_go_on_is_told() -> None:
    with pytest.raises(libvirt.libvirtError):
        suspension.resume(Domain([FAILED], refuses=True))


@pytest.mark.parametrize(
    ("disk", "asked"),
    [
        ("<disk type='file'><driver name='qemu'/></disk>", True),
        ("<disk type='block'><driver name='qemu' error_policy='enospace'/></disk><disk type='file' device='cdrom'/>", True),
        ("<disk type='file'/><disk type='file'><driver name='qemu' error_policy='stop'/></disk>", False),
        ("<disk type='network'/>", False),
        ("", True),
    ],
)
def test_qemu_is_not_asked_about_disks_whose_server_may_be_away(disk: str, asked: bool) -> None:
    live = ET.fromstring(f"<domain><devices>{disk}</devices></domain>")
    assert suspension.answers(Documents(live, live, *FAILED)) == asked


def test_errors_are_asked_for_and_waited_for_as_long_as_for_an_agent() -> None:
    session = Session(Domain([FAILED], errors={"vda": libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE}))
    assert suspension.ask(session, INSTANCE) == {"vda": libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE}  # type: ignore[arg-type]
    assert session.limits == [7]


@pytest.mark.parametrize("session", [Session(), Session(error=Unanswered("hangs")), Session(error=Transient("lost"))])
def test_where_nobody_says_nothing_is_claimed(session: Session) -> None:
    assert suspension.ask(session, INSTANCE) == {}  # type: ignore[arg-type]
