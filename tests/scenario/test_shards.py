"""Several controllers share the work on VMs by shards; any of them may end, die, or sleep and wake up again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import groupby

import pytest

from controller.ipam import instance_id
from tests.support.apiproxy import ApiProxy, api_proxy, done
from tests.support.live import History, LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.api import Refused
from tests.support.live.cloud import host_names
from tests.support.live.controller import ControllerProcess
from tests.support.live.holders import Holders
from tests.support.live.relay import Called, Relay
from tests.support.live.sleeper import await_declared, only_passed, surely_asked_for
from tests.support.tables import Report

LEASE = "vireo-controller"
TABLE = "A shard is taken over"
TASKS = [f"--duration={method}=0.3" for method in ("compute.create", "compute.delete", "power.start", "power.stop")]
"""So that there is work under way whenever somebody goes."""


@dataclass(frozen=True)
class VM:
    """A VM that was placed. `shards` are those that worked on it, in order: where an answer stays away shard 0 looks into it."""

    name: str
    identity: str
    shards: list[int]


def lease_of(shard: int) -> str:
    return f"{LEASE}-shard-{shard}" if shard else LEASE


@dataclass
class Site:
    """A cloud with one cluster of two hosts for each shard, and as many controllers as shards, each of which has one."""

    cloud: LiveCloud
    relay: Relay
    count: int
    clusters: list[str]
    """By shard."""
    processes: dict[str, ControllerProcess]
    proxies: dict[str, ApiProxy]
    history: History
    pids: dict[int, str]
    """Names of all processes that there ever were."""

    def holder(self, shard: int) -> str:
        """Who has the Lease of a shard, "" if nobody."""
        with suppress(Refused):  # there is none yet
            return self.cloud.api.lease(lease_of(shard))
        return ""

    @property
    def holders(self) -> list[str]:
        return [self.holder(shard) for shard in range(self.count)]

    def spread(self) -> bool:
        return sorted(self.holders) == sorted(self.processes)

    def work(self, first: int, last: int) -> list[str]:
        """VMs in the making; returns their names when every controller is at work on some."""
        names = [f"vm-{number:02}" for number in range(first, last)]
        seen = time.monotonic()
        places = [{"cluster": self.clusters[number % self.count]} for number in range(first, last)]
        self.cloud.api.apply(*(make.vm(name, placement=place) for name, place in zip(names, places, strict=True)))
        busy = [each.pid for each in self.processes.values() if each.alive]
        self.cloud.until(lambda: all(self.relay.made(pid, seen) for pid in busy), "every controller makes VMs")
        return names

    def vms(self, names: Sequence[str]) -> list[VM]:
        """These VMs, by all that was written of them. Shard 0 places each, and makes those that it gives to no other."""
        found = []
        for name in names:
            versions = self.history.of(name)
            shards = [shard for shard, _ in groupby((each.get("status") or {}).get("shard", 0) for each in versions)]
            found.append(VM(name, instance_id(versions[0]["metadata"]["uid"]), shards[1:] or shards))
        return found

    def changes(self, vms: Sequence[VM]) -> list[tuple[VM, Called]]:
        """Calls that changed these VMs, or were to."""
        calls = [each for each in list(self.relay.calls) if each.mutates]
        return [(vm, call) for call in calls for vm in vms if vm.identity in call.arguments]

    @property
    def known(self) -> Holders:
        """By what the proxies have noted: the API server may be ahead of it by an answer that is on its way."""
        return Holders(self.proxies.values())

    def check(self, changes: Sequence[tuple[VM, Called]], late: Sequence[Called] = ()) -> None:
        """Each but the late ones came from the process that held the Lease of the VM's shard at that moment."""
        known, wrong = self.known, []
        for vm, call in ((vm, call) for vm, call in changes if call not in late):
            holders = [known.at(lease_of(shard), call.at) for shard in vm.shards]
            if self.pids[call.pid] not in holders:
                wrong.append((vm, call, self.pids[call.pid], holders))
        assert wrong == []

    def finished(self, names: list[str], late: Sequence[Called] = ()) -> None:
        """All these VMs are ready; each of them was made once and started once, by who had its shard."""
        self.cloud.await_current(names=names)
        self.check(self.changes(self.vms(names)), late)
        await_declared(self.cloud)
        vms = self.cloud.control.census().vms
        assert {vm.name: vm.starts for vm in vms if vm.owner} == {f"shop-{name}": 1 for name in names}


@pytest.fixture(params=[2, 3])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    count: int = request.param
    directory = tmp_path_factory.mktemp("cloud")
    with ExitStack() as stack:
        cloud = stack.enter_context(live_cloud(directory, *TASKS, hosts=2 * count))
        relay = stack.enter_context(Relay(cloud.simulator.url).running())
        found = Site(cloud, relay, count, _basics(cloud, relay.url, count), {}, {}, History(cloud.api, "VirtualMachine"), {})
        for name in ("one", "two", "three")[:count]:
            proxy = stack.enter_context(api_proxy(cloud.plane.controller_kubeconfig, cloud.plane.directory, directory / name))
            found.proxies[name] = proxy
            process = ControllerProcess(proxy.kubeconfig, directory / "controllers", name, shards=count)
            stack.callback(process.kill)
            found.processes[name] = process
            process.start()
            found.pids[process.pid] = name
        cloud.until(found.spread, "each controller has a shard")
        cloud.await_current("Template")
        cloud.await_current("Host")
        yield found


def _basics(cloud: LiveCloud, url: str, count: int) -> list[str]:
    """One cluster for each shard, in order: what it is called does not matter, so some are made until each shard has one."""
    cloud.api.apply(make.zone(), make.manifest("Pod", "p", zone="z"))
    homes: dict[int, str] = {}
    number = 0
    while len(homes) < count:
        name = f"c{number}"
        number += 1
        cloud.api.apply(make.cluster(url, name))
        uid = (cloud.api.get("Cluster", name) or {})["metadata"]["uid"]
        homes.setdefault(int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") % count, name)
    hosts = iter(host_names(2 * count))
    for name in homes.values():
        cloud.api.apply(make.pool(f"pool-{name}", name), *(make.host(next(hosts), cluster=name) for _ in range(2)))
    cloud.api.apply(make.template(cloud.image_url, cloud.checksum), make.network(), make.offering("small", 1, "1Gi"))
    return [homes[shard] for shard in range(count)]


def test_each_vm_is_worked_on_by_one_of_them(site: Site) -> None:
    names = site.work(0, 24)
    site.finished(names)
    for name in names:
        site.cloud.api.delete("VirtualMachine", name)
    site.cloud.await_gone("VirtualMachine", *names)
    assert [vm for vm in site.cloud.control.census().vms if vm.owner] == []
    vms = site.vms(names)
    assert [vm.shards[0] for vm in vms] == [number % site.count for number in range(len(vms))], "that of its cluster"
    changes = site.changes(vms)
    assert {call.method for _, call in changes} >= {"compute.create", "power.start", "compute.delete"}
    assert {call.pid for _, call in changes} == set(site.pids)
    site.check(changes)


@pytest.mark.parametrize("shard", [0, 1])
def test_one_that_is_killed_is_replaced(site: Site, report: Report, shard: int) -> None:
    victim = site.holder(shard)
    names = site.work(0, 24)
    killed = time.monotonic()
    site.processes.pop(victim).kill()
    site.cloud.until(lambda: victim not in site.holders, "its shards are taken over")
    taken = time.monotonic() - killed
    site.finished(names)
    report(TABLE, f"{site.count} controllers, SIGKILL of that with shard {shard}   {taken:5.1f} s")


def test_one_that_ends_hands_over(site: Site, report: Report) -> None:
    victim = site.holder(1)
    names = site.work(0, 24)
    asked = time.monotonic()
    assert site.processes.pop(victim).stop() == 0
    site.cloud.until(lambda: "" not in site.holders and victim not in site.holders, "its shards are taken over")
    back, taken = site.cloud.until(lambda: site.known.handed_over(lease_of(1), asked), "its Lease was given back and taken")
    site.finished(names)
    text = f"{taken - asked:5.1f} s ({back - asked:.1f} s of it to finish what runs)"
    report(TABLE, f"{site.count} controllers, SIGTERM of that with shard 1   {text}")


@pytest.mark.parametrize("shard", [0, 1])
def test_one_that_slept_does_nothing_when_it_wakes(site: Site, report: Report, shard: int) -> None:
    """It sleeps in the middle of its work, and awakes to a world in which others have its shard; then it gets one again."""
    sleeper = site.holder(shard)
    process, proxy = site.processes[sleeper], site.proxies[sleeper]
    names = site.work(0, 24)
    slept = time.monotonic()
    process.freeze()
    site.cloud.until(lambda: sleeper not in site.holders, "its shards are taken over")
    taken = time.monotonic()
    gone = surely_asked_for(site.cloud.api, site.relay.made(process.pid))[0]
    left = [name for name in names if name != gone]
    site.cloud.api.delete("VirtualMachine", gone)
    site.cloud.await_gone("VirtualMachine", gone)
    site.cloud.await_current(names=left)
    awoke = time.monotonic()
    process.thaw()
    site.cloud.until(site.spread, "it has a shard again")
    again = time.monotonic()
    led = site.cloud.until(lambda: site.known.first(sleeper, awoke), "it is on record that it has one")
    late = only_passed([each for each in site.relay.changes(process.pid, taken) if each.at < led])
    assert done(each for each in proxy.writes(taken) if each.at < led) == [], "what was on its way has an old resourceVersion"
    site.finished(left, late)
    more = site.work(30, 54)
    site.finished([*left, *more], late)
    text = f"{site.count} controllers, SIGSTOP of that with shard {shard}   {taken - slept:5.1f} s"
    report(TABLE, f"{text}; awake again it changed nothing, and had a shard after {again - awoke:.1f} s")
