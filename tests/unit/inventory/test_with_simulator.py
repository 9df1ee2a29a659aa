"""The inventory over real sockets and threads: a simulator that is a process of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

import pytest
from prometheus_client import CollectorRegistry

from controller.inventory import Cadence, HostLink, Inventory, LinkState, endpoint_lanes
from controller.runtime.keys import Key
from controller.runtime.lanes import LaneMetrics
from controller.runtime.threads import Threads
from drivers.loader import load
from drivers.simulator.control import Control
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.types import Credentials, DesiredVM, Endpoint, HostID, InstanceID, Owner, Power, StopMode
from tests.support.simulator import SimulatorProcess

from .builders import quiet_log

T = TypeVar("T")
DEADLINE = 120.0
FAST = Cadence(heartbeat=0.3, resync=600, poll=0.5, first_retry=0.1, last_retry=0.5, first_refused=0.5, last_refused=0.5)
WEB = InstanceID("5f3c0000-0000-5000-8000-000000000001")
HOST = HostID("host-00001")


@pytest.fixture
def server() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(["--hosts", "4", "--boot", "0", "--shutdown", "0"], Credentials("vireo", "open sesame")) as process:
        yield process


class Site:
    def __init__(self) -> None:
        self.woken: list[Key] = []
        metrics, threads = LaneMetrics(CollectorRegistry()), Threads()
        self.inventory = Inventory(
            load,
            lambda name: endpoint_lanes(name, lambda: None, time.monotonic, metrics, threads),
            self.woken.append,
            quiet_log(),
            FAST,
        )

    def attach(self, endpoint: Endpoint, name: str = HOST, *, sole: bool = False) -> HostLink:
        return self.inventory.attach(name, "Simulator", endpoint, name, sole=sole)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    yield made
    await made.inventory.close()


async def until(condition: Callable[[], T]) -> T:
    """Wait for a condition to come true."""
    async with asyncio.timeout(DEADLINE):
        while not (result := condition()):  # noqa: ASYNC110  it changes in other processes
            await asyncio.sleep(0.02)
    return result


def web() -> DesiredVM:
    return DesiredVM(WEB, "web", Owner("uid-web", "shop", "web"), cpus=1, memory=2**30, disks=())


async def test_connect_create_start_stop_delete(server: SimulatorProcess, site: Site) -> None:
    link = site.attach(server.endpoint())
    await until(lambda: link.up)
    assert link.info is not None
    assert link.info.cpus > 0
    await link.create(web())
    assert (await link.observe(WEB)) is not None
    await link.start(WEB)
    seen = await link.observe(WEB)
    assert seen is not None
    assert (seen.power, seen.host) == (Power.ON, HOST)
    assert site.inventory.find(WEB) == (HOST, seen)
    await link.stop(WEB, StopMode.HARD)
    await link.delete(WEB, [])
    assert await link.observe(WEB) is None


async def test_what_people_do_to_a_vm_wakes_its_owner(server: SimulatorProcess, site: Site) -> None:
    link = site.attach(server.endpoint())
    await until(lambda: link.up)
    await link.create(web())
    await link.start(WEB)
    await link.observe(WEB)
    site.woken.clear()
    with server.control() as control:
        await asyncio.to_thread(control.act, Act.POWER_OFF, f"{HOST}/{WEB}")
    await until(lambda: Key("VirtualMachine", "shop", "web") in site.woken)
    seen = await link.observe(WEB)
    assert seen is not None
    assert seen.power is Power.OFF


async def test_server_that_is_killed_and_comes_back(server: SimulatorProcess, site: Site) -> None:
    link = site.attach(server.endpoint())
    await until(lambda: link.up)
    epoch = link.epoch
    server.kill()
    await until(lambda: link.state is LinkState.DOWN)
    assert link.reason == "HypervisorUnavailable"
    await asyncio.to_thread(server.start)
    await until(lambda: link.up)
    assert link.epoch > epoch
    assert Key("Host", "", HOST) in site.woken


async def test_wrong_password_is_refused_and_shown_nowhere(server: SimulatorProcess, site: Site) -> None:
    link = site.attach(Endpoint(server.url, Credentials("vireo", "hunter2")))
    await until(lambda: link.state is LinkState.REFUSED)
    assert link.reason == "CredentialsRefused"
    assert "hunter2" not in link.message
    right = site.attach(server.endpoint())
    await until(lambda: right.up)


async def test_host_that_crashes_is_down_and_its_neighbour_is_not(server: SimulatorProcess, site: Site) -> None:
    one, other = site.attach(server.endpoint()), site.attach(server.endpoint(), "host-00002")
    await until(lambda: one.up and other.up)
    epoch = one.epoch
    with server.control() as control:
        await asyncio.to_thread(control.act, Act.CRASH_HOST, HOST)
        await until(lambda: one.state is LinkState.DOWN)
        assert other.up
        await asyncio.to_thread(control.act, Act.BOOT_HOST, HOST)
    await until(lambda: one.up)
    assert one.epoch > epoch


def hang(control: Control, method: str) -> None:
    control.add_fault(Fault(FaultKind.HANG, method=method))


async def test_endpoint_that_hangs_does_not_slow_another(server: SimulatorProcess, site: Site) -> None:
    with SimulatorProcess(["--hosts", "1", "--boot", "0"]) as second:
        hung = site.attach(server.endpoint(timeout=3))
        well = site.attach(second.endpoint(), "other", sole=True)
        await until(lambda: hung.up and well.up)
        with server.control() as control:
            await asyncio.to_thread(hang, control, "compute.*")
            calls = [asyncio.create_task(hung.observe(WEB, fresh=True)) for _ in range(50)]
            async with asyncio.timeout(DEADLINE):
                for _ in range(20):
                    assert await well.observe(WEB, fresh=True) is None
            await asyncio.sleep(0)
            assert not any(call.done() and call.exception() is None for call in calls), "the first endpoint does hang"
            await asyncio.to_thread(control.clear_faults)
        await asyncio.gather(*calls, return_exceptions=True)


async def test_close_ends_within_its_time_though_everything_hangs(server: SimulatorProcess) -> None:
    site = Site()
    link = site.attach(server.endpoint())
    await until(lambda: link.up)
    with server.control() as control:
        await asyncio.to_thread(hang, control, "[!c]*")
        async with asyncio.timeout(DEADLINE):
            await site.inventory.close()
        await asyncio.to_thread(control.clear_faults)
