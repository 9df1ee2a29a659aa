"""What a fault of a soak leaves behind when it ends: nothing that its checks would take for Vireo's doing."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import cast

from drivers.simulator.engine.actions import Act, Action, Actions
from drivers.simulator.engine.census import Census, take_census
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.datacentre import Datacentre
from drivers.simulator.engine.settings import Settings
from drivers.types import Power
from tests.soak.faults import _crash_host
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
    trouble = _crash_host(site(control), Random(1))
    assert trouble.what == f"crash-host {host}"
    assert control.powers() == [Power.OFF]
    trouble.end()
    assert control.powers() == [Power.ON]


def site(control: Control) -> Site:
    return cast(Site, SimpleNamespace(cloud=SimpleNamespace(control=control)))
