"""What a fault of a soak leaves behind when it ends: nothing that its checks would take for Vireo's doing."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from drivers.simulator.engine.actions import Act, Action, Actions
from drivers.simulator.engine.census import Census, take_census
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.datacentre import Datacentre
from drivers.simulator.engine.settings import Settings
from drivers.types import Credentials, HostID, Power
from tests.soak.faults import Trouble, _crash_host, _rotate, _terminate
from tests.soak.site import HOSTS, Site

OTHER = "6cdcc094-7d4f-4b46-9063-dc28e4222c98"


class Control:
    """Acts at the datacentre itself."""

    def __init__(self) -> None:
        self.datacentre = Datacentre(Settings(hosts=HOSTS), VirtualClock(), Random(1), "epoch")

    def act(self, act: Act, target: str = "", value: str = "") -> None:
        Actions(self.datacentre).do(Action(act, target, value))

    def census(self) -> Census:
        return take_census(self.datacentre)

    def powers(self) -> list[Power]:
        return [vm.power for vm in self.census().vms]


def test_vms_of_others_run_again_after_their_host_crashed() -> None:
    control = Control()
    host = _crash_host(site(control), Random(1)).what.split()[-1]
    control.act(Act.BOOT_HOST, host)
    control.act(Act.FOREIGN_VM, f"{host}/{OTHER}")
    there = site(control)
    trouble = _crash_host(there, Random(1))
    assert trouble.what == f"crash-host {host}"
    assert there.crashes == {host: 1}
    assert control.powers() == [Power.OFF]
    trouble.end()
    assert control.powers() == [Power.ON]


def test_a_host_boots_also_if_the_server_of_its_hypervisor_was_started_anew_meanwhile() -> None:
    old, new = Control(), Control()
    there = site(old)
    trouble = _crash_host(there, Random(1))
    host = trouble.what.split()[-1]
    new.act(Act.CRASH_HOST, host)
    there.cloud.control = cast(Any, new)
    trouble.end()
    assert [each.datacentre.hosts[HostID(host)].up for each in (old, new)] == [False, True]


class Passwords:
    """A site where the last password that was told is looked at."""

    def __init__(self) -> None:
        self.cloud = SimpleNamespace(simulator=SimpleNamespace(credentials=Credentials("vireo", "first")))
        self.told = "first"

    def restart_simulator(self, password: str) -> None:
        self.cloud.simulator.credentials = Credentials("vireo", password)

    def trust(self, password: str) -> None:
        self.told = password


def test_of_two_passwords_the_newer_is_told_in_the_end_whichever_fault_ends_last() -> None:
    for first in (0, 1):
        there, random = Passwords(), Random(3)
        troubles = [cast(Trouble, _rotate(cast(Site, there), random)) for _ in range(2)]
        newest = there.cloud.simulator.credentials.password
        troubles[first].end()
        troubles[1 - first].end()
        assert there.told == newest != "first"


class Sleeper:
    """A replica that is stopped."""

    identity, alive, began, sleeps = "one", True, True, True

    def thaw(self) -> None:
        self.sleeps = False

    def stop(self) -> int:
        assert not self.sleeps, "one that sleeps never ends"
        return 0


def test_one_that_sleeps_is_woken_up_to_end() -> None:
    there = SimpleNamespace(replicas=[SimpleNamespace(process=Sleeper())], started=lambda: None)
    assert cast(Trouble, _terminate(cast(Site, there), Random(1))).what == "SIGTERM one"


def site(control: Control) -> Site:
    return cast(Site, SimpleNamespace(cloud=SimpleNamespace(control=control), crashes=Counter()))
