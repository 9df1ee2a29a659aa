"""What guests tell, over a hypervisor whose list of VMs says only which of them have an agent: each must be asked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from drivers.simulator.connection import _Compute
from drivers.types import GuestInfo, HostID, InstanceID, ObservedVM
from tests.support.vms import VMCloud, play
from tests.unit.vm.things import running


@dataclass
class Agents:
    """Agents that answer or not, and how often they were asked."""

    silent: bool = False
    asked: int = 0


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Agents:
    """Have the simulator answer as libvirt does."""
    found, list_all, ask = Agents(), _Compute.observe_all, _Compute.observe

    def observe_all(self: _Compute) -> Mapping[InstanceID, ObservedVM]:
        return {each: replace(seen, guest=GuestInfo(agent=seen.guest.agent)) for each, seen in list_all(self).items()}

    def observe(self: _Compute, host: HostID, instance: InstanceID) -> ObservedVM:
        seen = ask(self, host, instance)
        found.asked += seen.guest.agent
        return replace(seen, guest=GuestInfo()) if found.silent else seen

    monkeypatch.setattr(_Compute, "observe_all", observe_all)
    monkeypatch.setattr(_Compute, "observe", observe)
    return found


def told(cloud: VMCloud) -> tuple[str, list[str]] | None:
    """Host name and addresses in the VM's status."""
    guest = cloud.vm().get("guest")
    return (guest["hostname"], guest["addresses"]) if guest else None


def test_what_a_guest_told_outlives_looks_at_all_vms(agents: Agents) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        expected = "web", [cloud.vm()["ipAddress"]]
        assert told(cloud) == expected
        asked = agents.asked
        await cloud.settle(7200)
        assert told(cloud) == expected
        assert agents.asked == asked

    play(story)


def test_what_a_guest_told_outlives_the_controller(agents: Agents) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        await cloud.settle(600)
        expected, writes = told(cloud), cloud.writes
        await cloud.restart()
        await cloud.settle(7200)
        assert expected is not None
        assert told(cloud) == expected
        assert cloud.reason(type="GuestReady") == ("True", "AgentAnswers")
        assert cloud.writes == writes

    play(story)


@pytest.mark.parametrize("hours", [0.01, 0.25, 3])
def test_an_agent_that_starves_for_long_is_heard_once_it_answers(agents: Agents, hours: float) -> None:
    agents.silent = True

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        await cloud.settle(hours * 3600)
        assert told(cloud) is None
        assert cloud.reason(type="GuestReady") == ("False", "AgentSilent")
        agents.silent = False
        await cloud.settle(660)
        assert told(cloud) == ("web", [cloud.vm()["ipAddress"]])
        assert cloud.reason(type="GuestReady") == ("True", "AgentAnswers")
        assert agents.asked < 60

    play(story)
