"""Two replicas: one leads, the other takes over from one that ends, dies, or sleeps and wakes up again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.apiproxy import done
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings
from tests.support.live.relay import Relay
from tests.support.live.replica import Replica, add_replica
from tests.support.live.sleeper import await_declared, only_passed, surely_asked_for
from tests.support.tables import Report

HOSTS = 3
LEASE = "vireo-controller"
TABLE = "A replica takes over"
TASKS = [f"--duration={method}=0.3" for method in ("compute.create", "compute.delete", "power.start", "power.stop")]
"""So that there is work under way whenever a leader goes."""


@dataclass(frozen=True)
class Pair:
    """Two replicas, of which `first` leads while `second` waits, ready."""

    cloud: LiveCloud
    relay: Relay
    first: Replica
    second: Replica


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("cloud")
    with ExitStack() as stack:
        cloud = stack.enter_context(live_cloud(directory, *TASKS, hosts=HOSTS))
        relay = stack.enter_context(Relay(cloud.simulator.url).running())
        first, second = (add_replica(stack, cloud, name) for name in ("one", "two"))
        cloud.basics(HOSTS, url=relay.url)
        first.process.start()
        cloud.until(lambda: first.process.leads, "the first leads")
        second.process.start()
        cloud.until(lambda: second.looks(0.0), "the second waits for the lease")
        cloud.await_current("Template")
        yield Pair(cloud, relay, first, second)


def work(pair: Pair, first: int, last: int) -> list[str]:
    """VMs in the making; returns their names when some are ready."""
    names = [f"vm-{number:02}" for number in range(first, last)]
    pair.cloud.api.apply(*(make.vm(name) for name in names))
    pair.cloud.until(lambda: pair.relay.made(pair.first.process.pid), "the first leader is at work")
    return names


def finished(pair: Pair, names: list[str]) -> None:
    """All these VMs are ready, and each of them was made once and started once."""
    pair.cloud.await_current(names=names)
    census = pair.cloud.control.census()
    assert findings(pair.cloud.api, census) == []
    assert {vm.name: vm.starts for vm in census.vms if vm.owner} == {f"shop-{name}": 1 for name in names}


def taken_over(pair: Pair) -> float:
    """When the second leads, which the Lease says too."""
    pair.cloud.until(lambda: pair.second.process.leads, "the second leads")
    assert pair.cloud.api.lease(LEASE) == "two"
    return pair.second.led_at()


def test_a_second_replica_does_nothing_while_the_first_leads(pair: Pair) -> None:
    finished(pair, work(pair, 0, 10))
    assert pair.relay.changes(pair.second.process.pid) == []
    assert [each for each in pair.second.proxy.asked if each.writes] == []
    assert pair.relay.changes(0) == [], "every change was made by a process that is known"


def test_a_replica_that_ends_hands_over(pair: Pair, report: Report) -> None:
    names = work(pair, 0, 20)
    pid, asked = pair.first.process.pid, time.monotonic()
    assert pair.first.process.stop() == 0
    ended = time.monotonic()
    led = taken_over(pair)
    finished(pair, names)
    report(TABLE, f"after SIGTERM, 20 VMs in the making   {led - asked:5.1f} s ({ended - asked:.1f} s of it to end)")
    assert pair.relay.changes(pid, led) == []
    assert pair.first.proxy.writes(led) == []


def test_a_replica_that_is_killed_is_replaced(pair: Pair, report: Report) -> None:
    names = work(pair, 0, 20)
    killed = time.monotonic()
    pair.first.process.kill()
    led = taken_over(pair)
    finished(pair, names)
    report(TABLE, f"after SIGKILL, 20 VMs in the making   {led - killed:5.1f} s")


def test_a_leader_that_slept_does_nothing_when_it_wakes(pair: Pair, report: Report) -> None:
    """It sleeps in the middle of its work, and awakes to a world in which another leads."""
    names, first = work(pair, 0, 30), pair.first
    slept = time.monotonic()
    first.process.freeze()
    led = taken_over(pair)
    gone = surely_asked_for(pair.cloud.api, pair.relay.made(first.process.pid))[0]
    off, *_ = left = [name for name in names if name != gone]
    pair.cloud.api.delete("VirtualMachine", gone)
    pair.cloud.api.patch("VirtualMachine", off, {"spec": {"powerState": "Off"}})
    pair.cloud.await_gone("VirtualMachine", gone)
    pair.cloud.await_current(names=left)
    awoke = time.monotonic()
    first.process.thaw()
    pair.cloud.until(lambda: first.looks(awoke) >= 5, "the first waits for the lease again")
    only_passed(pair.relay.changes(first.process.pid, led))
    assert done(first.proxy.writes(led)) == [], "what was on its way has an old resourceVersion"
    await_declared(pair.cloud)
    assert (first.process.alive, pair.cloud.api.lease(LEASE)) == (True, "two")
    report(TABLE, f"after SIGSTOP, 30 VMs in the making   {led - slept:5.1f} s; awake again it changed nothing")
    pair.second.process.stop()
    pair.cloud.api.patch("VirtualMachine", off, {"spec": {"powerState": "On"}})
    pair.cloud.await_current(names=left)
    assert pair.cloud.api.lease(LEASE) == "one"
