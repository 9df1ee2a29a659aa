"""What guests tell, over a hypervisor whose list of VMs says only which of them have an agent: each must be asked by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from controller.vm.guests import PERIOD
from drivers.errors import Conflict, DriverError, Transient, Unanswered
from drivers.simulator.connection import _Compute
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability, GuestInfo, HostID, InstanceID, ObservedVM
from tests.support.vms import GIB, VMCloud, play, site, vm
from tests.unit.vm.things import running

TELLS = Settings(hosts=2, cpus=8, memory=32 * GIB, boot=3, shutdown=5)
PARTLY = replace(TELLS, capabilities=TELLS.capabilities - {Capability.DEFINITION_EVENTS})
"""As libvirt, whose VMs are all looked at every minute."""
DHCP = GuestInfo(True, "db", ("10.1.0.77",))
LATER = GuestInfo(True, "db", ("10.1.0.78", "2001:db8::1"))


@dataclass
class Agents:
    """Agents that answer or not, and when they were asked. `says` is what they answer, None for what the seed made of them."""

    silent: bool = False
    says: GuestInfo | None = None
    fault: DriverError | None = None
    times: list[float] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return len(self.times)

    def answer(self, seen: ObservedVM) -> ObservedVM:
        """As one that is asked by itself is seen."""
        if not seen.guest.agent:
            return seen
        self.times.append(asyncio.get_running_loop().time())
        if self.fault:
            raise self.fault
        return replace(seen, guest=GuestInfo() if self.silent else self.says or seen.guest)


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Agents:
    """Have the simulator answer as libvirt does."""
    found, list_all, ask = Agents(), _Compute.observe_all, _Compute.observe

    def observe_all(self: _Compute) -> Mapping[InstanceID, ObservedVM]:
        return {each: replace(seen, guest=GuestInfo(agent=seen.guest.agent)) for each, seen in list_all(self).items()}

    def observe(self: _Compute, host: HostID, instance: InstanceID) -> ObservedVM:
        return found.answer(ask(self, host, instance))

    monkeypatch.setattr(_Compute, "observe_all", observe_all)
    monkeypatch.setattr(_Compute, "observe", observe)
    return found


async def resting(cloud: VMCloud) -> None:
    """A VM that was made, of which everything was written, sums over hosts and pools too."""
    await running(cloud)
    await cloud.settle(60)


def told(cloud: VMCloud) -> tuple[str, list[str]] | None:
    """Host name and addresses in the VM's status."""
    guest = cloud.vm().get("guest")
    return (guest["hostname"], guest.get("addresses", [])) if guest else None


def test_what_a_guest_told_outlives_looks_at_all_vms(agents: Agents) -> None:
    async def story(cloud: VMCloud) -> None:
        await resting(cloud)
        expected = "web", [cloud.vm()["ipAddress"]]
        assert told(cloud) == expected
        writes = cloud.writes
        await cloud.settle(7200)
        assert told(cloud) == expected
        assert cloud.writes == writes

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


@pytest.mark.parametrize("settings", [TELLS, PARTLY], ids=["all by events", "some by events"])
@pytest.mark.parametrize("hours", [0.01, 0.25, 3])
def test_an_agent_that_starves_for_long_is_heard_once_it_answers(agents: Agents, hours: float, settings: Settings) -> None:
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

    play(story, settings=settings)


@pytest.mark.parametrize("settings", [TELLS, PARTLY], ids=["all by events", "some by events"])
def test_what_a_guest_changes_is_told_within_its_time(agents: Agents, settings: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await resting(cloud)
        before = agents.asked
        agents.says = DHCP
        await cloud.settle(1.5 * PERIOD)
        assert told(cloud) == ("db", ["10.1.0.77"])
        agents.says, writes = LATER, cloud.writes
        await cloud.settle(PERIOD + 1)
        assert told(cloud) == ("db", ["10.1.0.78", "2001:db8::1"])
        assert cloud.writes == writes + 1
        assert agents.asked - before <= 3
        assert cloud.reason() == ("True", "Running")

    play(story, settings=settings)


def test_a_guest_that_has_no_address_yet_is_asked_again_soon(agents: Agents) -> None:
    """Its agent was there before its lease, and no event tells when that comes."""
    agents.says = GuestInfo(True, "db")

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        assert told(cloud) == ("db", [])
        agents.says = DHCP
        await cloud.settle(10)
        assert told(cloud) == ("db", ["10.1.0.77"])

    play(story, settings=PARTLY)


@pytest.mark.parametrize("settings", [TELLS, PARTLY], ids=["all by events", "some by events"])
def test_an_agent_that_is_silent_for_a_while_takes_back_nothing(agents: Agents, settings: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await resting(cloud)
        expected, writes, asked = told(cloud), cloud.writes, agents.asked
        agents.silent = True
        await cloud.settle(2 * PERIOD)
        assert agents.asked > asked
        assert told(cloud) == expected is not None
        assert cloud.reason(type="GuestReady") == ("True", "AgentAnswers")
        assert cloud.writes == writes
        agents.silent, agents.says = False, DHCP
        await cloud.settle(2 * PERIOD)
        assert told(cloud) == ("db", ["10.1.0.77"])

    play(story, settings=settings)


FAULTS = [Transient("try again"), Unanswered("no answer"), Conflict("somebody else's")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_question_that_fails_harms_nobody_and_is_put_again(agents: Agents, fault: DriverError) -> None:
    async def story(cloud: VMCloud) -> None:
        await resting(cloud)
        expected, writes, asked = told(cloud), cloud.writes, agents.asked
        agents.fault = fault
        await cloud.settle(1.5 * PERIOD)
        assert asked < agents.asked <= asked + 2
        assert (told(cloud), cloud.reason(), cloud.writes) == (expected, ("True", "Running"), writes)
        agents.fault, agents.says = None, DHCP
        await cloud.settle(PERIOD + 1)
        assert told(cloud) == ("db", ["10.1.0.77"])

    play(story)


def test_what_else_a_question_finds_is_taken_in(agents: Agents) -> None:
    """An answer is of the whole VM: what nobody told of it counts as if an event had."""

    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.datacentre.vm().name = "renamed"
        agents.says = DHCP
        await cloud.settle(1.5 * PERIOD)
        assert cloud.vm()["hypervisorName"] == "renamed"
        assert cloud.events("web").count("Renamed") == 1

    play(story)


def test_guests_are_not_asked_together_nor_when_the_controller_starts(agents: Agents) -> None:
    names = [f"web-{n}" for n in range(6)]

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply("\n---\n".join(vm(name) for name in names))
        await cloud.settle(120)
        await cloud.restart()
        agents.times.clear()
        start, writes = asyncio.get_running_loop().time(), cloud.writes
        await cloud.settle(PERIOD / 2)
        assert agents.times == []
        await cloud.settle(PERIOD)
        first = [time - start for time in agents.times]
        assert len(first) >= len(names)
        assert max(first) - min(first) > PERIOD / 4
        await cloud.settle(10 * PERIOD)
        assert len(agents.times) - len(first) <= 10 * len(names)
        assert cloud.writes == writes

    play(story, settings=PARTLY)


def test_a_guest_that_is_off_is_not_asked(agents: Agents) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        cloud.edit(powerState="Off")
        await cloud.settle(60)
        asked = agents.asked
        assert told(cloud) is None
        await cloud.settle(3 * PERIOD)
        assert agents.asked == asked
        agents.says = DHCP
        cloud.edit(powerState="On")
        await cloud.settle(60)
        assert told(cloud) == ("db", ["10.1.0.77"])

    play(story, settings=PARTLY)


@pytest.mark.parametrize("settings", [TELLS, PARTLY], ids=["all by events", "some by events"])
def test_a_hypervisor_whose_look_at_all_vms_tells_what_guests_say_is_asked_for_none(settings: Settings) -> None:
    async def story(cloud: VMCloud) -> None:
        await running(cloud)
        await cloud.settle(2 * PERIOD)
        asked, writes = cloud.points["before observe"], cloud.writes
        await cloud.settle(10 * PERIOD)
        assert (cloud.points["before observe"], cloud.writes) == (asked, writes)
        guest = cloud.datacentre.vm()
        assert guest.booted is not None
        guest.booted = replace(guest.booted, hostname="db")
        cloud.datacentre.service.dc.vm_changed(guest, told=False)
        await cloud.settle(PERIOD + 5)
        assert told(cloud) == ("db", [cloud.vm()["ipAddress"]])
        assert cloud.points["before observe"] == asked

    play(story, settings=settings)
