"""What a host is asked for beside itself whenever it is listed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drivers.errors import Busy, DriverError, Unanswered
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.hosts import KVMHosts
from drivers.kvm.link.session import Session
from drivers.kvm.network.plugs import Plugs
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.support import Networks
from drivers.types import GuestSupport


@dataclass
class Fake:
    """Session, segments, ports and networks of one host; `looks` is what was looked at."""

    left: bool = False
    asked: bool = False
    failure: DriverError | None = None
    looks: list[str] = field(default_factory=list)

    def run(self, _role: object, _action: str, function: Callable[[Any], Any]) -> Any:
        return function(self)

    def getInfo(self) -> list[Any]:  # libvirt's name
        return ["x86_64", 2048, 2, 0]

    def support(self) -> tuple[()]:
        return ()

    def look(self) -> None:
        self.looks.append("ports")

    def tidy(self, _connection: object) -> None:
        self.looks.append("segments")
        if self.failure:
            raise self.failure

    def hosts(self) -> KVMHosts:
        profile = SimpleNamespace(guests=GuestSupport(), host="h1", uuid="u", domain_type="qemu", version="9")
        parts = (cast(Session, self), cast(HostProfile, profile), cast(Networks, self), cast(Plugs, self), cast(Segments, self))
        return KVMHosts(*parts)


def listed(fake: Fake, times: int) -> list[str]:
    hosts = fake.hosts()
    for _ in range(times):
        [found] = hosts.list_hosts()
        assert (found.host, found.memory) == ("h1", 2 << 30)
    return fake.looks


def test_without_a_segment_that_was_left_only_ports_are_looked_at() -> None:
    assert listed(Fake(), 3) == ["ports"] * 3


@pytest.mark.parametrize("failure", [None, Unanswered("SSH to the host failed"), Busy("another call is under way")])
def test_segments_that_were_left_and_ports_take_turns_whatever_goes_wrong(failure: DriverError | None) -> None:
    assert listed(Fake(left=True, failure=failure), 4) == ["segments", "ports", "segments", "ports"]


def test_a_host_that_was_just_logged_in_to_is_left_alone() -> None:
    assert listed(Fake(left=True, asked=True), 2) == []
