"""What is measured, one function each. Each leaves the cloud as it found it but for the VMs that it says it makes."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

from controller.shared.lookups import SETTLE
from drivers.simulator.engine.faults import Fault, FaultKind
from tests.bench.client import GONE, BenchError, Client, Watch
from tests.bench.cloud import Controller, Ticks, cpu
from tests.bench.figures import Figure, Sample, parse, percentile, rate, total
from tests.support.live import LiveCloud
from tests.support.live import manifests as make

IN_FLIGHT = 32
"""Requests that the bench has under way at once: as many as the controller has workers."""

WRITES_PER_CREATE = "API writes per create"
BARE_WRITES = 4
"""Writes that a bare client follows a create with, as many as a create takes here."""

BARE_SECONDS = 15.0
"""How long it goes on, each of two times."""

_WRITES = "PATCH|POST|PUT|DELETE|APPLY"
_OFTEN, _SELDOM = 0.2, 1.0  # seconds between two looks at the controller
_NEAR = 0.9
_SETTLED = 6.0  # seconds without a write that count as rest
_SUMMED = SETTLE + 5.0  # the same, when sums over many objects must have been written too


@dataclass(frozen=True)
class Bench:
    """What the measurements share. `patience` is in seconds, for anything that has to happen."""

    cloud: LiveCloud
    controller: Controller
    client: Client
    watch: Watch
    patience: float

    async def create(self, names: Sequence[str], per_second: float = 0.0) -> dict[str, float]:
        """Create VMs, as fast as IN_FLIGHT requests at once allow or at a rate; return when each was sent."""
        sent: dict[str, float] = {}

        async def one(name: str) -> None:
            sent[name] = time.monotonic()
            await self.client.create(make.vm(name))

        if per_second:
            await _paced([one(name) for name in names], per_second)
        else:
            await _at_once([one(name) for name in names])
        return sent

    async def delete(self, names: Sequence[str]) -> list[float]:
        """Delete VMs and wait until they are gone; return when each was."""
        await _at_once([self.client.delete(name) for name in names])
        return await self.watch.all(names, GONE, self.patience)

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU time of each process, this one included."""
        pids = {process.name: process.pid() for process in self.cloud.plane.processes()}
        pids |= {"controller": self.controller.pid, "simulator": self.cloud.simulator.pid, "bench": os.getpid()}
        return {name: cpu(pid) for name, pid in pids.items() if pid}

    async def object_writes(self) -> float:
        """Writes of VMs and Events that the API server was asked for by anybody."""
        samples = await self.api_samples()
        return total(samples, "apiserver_request_total", verb=_WRITES, resource="virtualmachines|events")

    async def all_writes(self) -> float:
        """All writes but those of Leases, which say no more than that somebody lives."""
        samples = await self.api_samples()
        every = total(samples, "apiserver_request_total", verb=_WRITES)
        return every - total(samples, "apiserver_request_total", verb=_WRITES, resource="leases")

    async def api_samples(self) -> list[Sample]:
        """The API server's metrics."""
        return parse(await self.client.metrics())

    async def rest(self, quiet: float = _SETTLED) -> None:
        """Wait until nothing was written for `quiet` seconds."""
        seen = -1.0
        end = time.monotonic() + self.patience
        while (now := await self.all_writes()) != seen:
            if time.monotonic() > end:
                raise BenchError("the cloud does not come to rest")
            seen = now
            await asyncio.sleep(quiet)


@asynccontextmanager
async def opened(cloud: LiveCloud, controller: Controller, patience: float) -> AsyncIterator[Bench]:
    """A bench that watches its cloud; a broken watch ends whatever is being measured."""
    async with Client(cloud.plane.kubeconfig) as client:
        watch = Watch()
        following = asyncio.create_task(watch.run(client, await client.version()))
        try:
            yield Bench(cloud, controller, client, watch, patience)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following


async def latency(bench: Bench, count: int) -> list[Figure]:
    """One VM after the other, on a cloud that does nothing else."""
    names = [f"one-{number}" for number in range(count)]
    seconds = []
    for name in names:
        sent = await bench.create([name])
        [at] = await bench.watch.all([name], "Running", bench.patience)
        seconds.append(at - sent[name])
    await bench.delete(names)
    return _percentiles("apply → Running, unloaded", seconds, "≤ 0.5 s (P95)")


async def latency_under_load(bench: Bench, per_second: float, seconds: float) -> list[Figure]:
    """VMs that arrive at a steady rate, whether or not the earlier ones are done."""
    names = [f"load-{number}" for number in range(int(per_second * seconds))]
    sent = await bench.create(names, per_second)
    reached = await bench.watch.all(names, "Running", bench.patience)
    figures = _percentiles(
        f"apply → Running at {per_second:g} VM/s",
        [at - sent[name] for name, at in zip(names, reached, strict=True)],
        "≤ 2 s (P95 at 20 VM/s)",
    )
    await bench.delete(names)
    return figures


async def fill(bench: Bench, names: Sequence[str]) -> list[Figure]:
    """Make the VMs of the scale, as fast as they can be sent; they stay."""
    await bench.rest()
    before, spent, ticks = await bench.object_writes(), bench.cpu(), Ticks.now()
    began = time.monotonic()
    await bench.create(names)
    reached = await bench.watch.all(names, "Running", bench.patience)
    stolen = Ticks.now().stolen_since(ticks)
    took = {name: 1000 * (seconds - spent[name]) / len(names) for name, seconds in bench.cpu().items()}
    await bench.rest()
    writes = await bench.object_writes() - before - len(names)
    return [
        Figure(f"create → Running, {len(names)} VMs", rate(reached, began), "VM/s", "≥ 30"),
        *(Figure(f"CPU of {name} per VM created", value, "ms") for name, value in took.items()),
        Figure("CPU that the machine's host took for others meanwhile", stolen, "% of all cores"),
        Figure(WRITES_PER_CREATE, writes / len(names), "", "≤ 5"),
        Figure(f"controller memory at {len(names)} VMs", bench.controller.memory(), "MiB", "≤ 250 (10,000 VMs)"),
    ]


async def power(bench: Bench, names: Sequence[str]) -> list[Figure]:
    """Stop VMs and start them again."""
    figures = []
    for declared, state in (("Off", "Stopped"), ("On", "Running")):
        await bench.rest()
        before = await bench.object_writes()
        await _at_once([bench.client.patch(name, {"spec": {"powerState": declared}}) for name in names])
        await bench.watch.all(names, state, bench.patience)
        await bench.rest()
        writes = await bench.object_writes() - before - len(names)
        figures.append(Figure(f"API writes per power {declared}", writes / len(names), "", "≤ 3"))
    return figures


async def at_rest(bench: Bench, count: int, minutes: float) -> list[Figure]:
    """Do nothing, and see that nothing is written."""
    await bench.rest(_SUMMED)
    before, spent = await bench.all_writes(), cpu(bench.controller.pid)
    await asyncio.sleep(60 * minutes)
    writes = await bench.all_writes() - before
    cores = (cpu(bench.controller.pid) - spent) / (60 * minutes)
    return [
        Figure(f"API writes in {minutes:g} min at rest, {count} VMs", writes, "", "0"),
        Figure(f"controller CPU at rest, {count} VMs", 100 * cores, "% of a core"),
    ]


async def stop(bench: Bench) -> None:
    """Stop the controller when it has nothing left to write."""
    await bench.rest(_SUMMED)
    await asyncio.to_thread(bench.controller.stop)


async def start(bench: Bench) -> None:
    """Start the controller, and wait until it has nothing left to do."""
    bench.controller.start()
    await _when(bench.controller.ready, bench.patience, "the controller is ready")
    await bench.rest(_SUMMED)


async def cold_start(bench: Bench, count: int) -> list[Figure]:
    """Start the controller in a cloud that runs already and where nothing is to be done. It must not run before."""
    before, before_all = await bench.object_writes(), await bench.all_writes()
    began = time.monotonic()
    bench.controller.start()
    reconciled = asyncio.create_task(_reconciled(bench, count))
    ready = await _when(bench.controller.ready, bench.patience, "the controller is ready")
    done = await reconciled
    await bench.rest(_SUMMED)
    own, all_ = await bench.object_writes() - before, await bench.all_writes() - before_all
    return [
        Figure(f"cold start, {count} VMs: lists read", ready - began, "s"),
        Figure(f"cold start, {count} VMs: all reconciled", done - began, "s"),
        Figure(f"writes of VMs by a cold start, {count} VMs", own, "", "0"),
        Figure(f"writes of other objects by a cold start, {count} VMs", all_ - own, "", "0"),
        Figure(f"controller memory after a cold start, {count} VMs", bench.controller.memory(), "MiB", "≤ 250 (10,000 VMs)"),
    ]


async def cold_start_with_work(bench: Bench, count: int) -> list[Figure]:
    """The same, while one VM waits to be made."""
    await bench.client.create(make.vm("waiting"))
    began = time.monotonic()
    bench.controller.start()
    [running] = await bench.watch.all(["waiting"], "Running", bench.patience)
    await bench.delete(["waiting"])
    return [Figure(f"cold start, {count} VMs: a new VM Running", running - began, "s", "≤ 30 (10,000 VMs)")]


async def sample(bench: Bench) -> dict[str, Any]:
    """The status of a VM that is there; it is gone again."""
    await bench.create(["sample"])
    await bench.watch.all(["sample"], "Running", bench.patience)
    status: dict[str, Any] = (await bench.client.get("sample"))["status"]
    await bench.delete(["sample"])
    return status


async def bare(bench: Bench, status: dict[str, Any]) -> float:
    """A client that does nothing but create VMs and write what a controller would; returns its writes per second.

    It goes on for BARE_SECONDS, and writes the status of a VM that is there in pieces. The controller must not run.
    """
    parts, end = pieces(status, BARE_WRITES - 1), time.monotonic() + BARE_SECONDS

    async def one(name: str) -> None:
        manifest = make.vm(name)
        manifest["metadata"]["namespace"] = "bare"
        await bench.client.create(manifest, "bare")
        await bench.client.patch(name, {"metadata": {"annotations": {"vireo.dev/bench": "as-long-as-a-finalizer"}}}, "bare")
        for part in parts:
            await bench.client.patch(name, {"status": part}, "bare", "/status")
        made.append(time.monotonic())

    made: list[float] = []
    began = time.monotonic()
    await _at_once(one(f"bare-{number}") for number in itertools.takewhile(lambda _: time.monotonic() <= end, itertools.count()))
    await bench.client.delete_all("bare")
    return rate(made, began) * (1 + BARE_WRITES)


def beside_bare(filled: Sequence[Figure], before: float, after: float) -> list[Figure]:
    """How fast `fill` was beside a bare client that ran before and after it: in writes per second, their own creates included."""
    speed, writes = filled[0].value, next(each.value for each in filled if each.name == WRITES_PER_CREATE)
    mean = (before + after) / 2
    return [
        Figure("a bare client's writes before the fill", before, "/s"),
        Figure("a bare client's writes after the fill", after, "/s"),
        Figure("create → Running / bare client", speed * (1 + writes) / mean, "", "≥ 0.6", samples=[before, after]),
    ]


async def hung_host(bench: Bench, count: int) -> list[Figure]:
    """The same number of VMs with all hosts well and with one that never answers, twice in turn.

    Only VMs on other hosts count.
    """
    rates: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(4):
        hung = bool(turn % 2)
        if hung:
            bench.cloud.control.add_fault(Fault(FaultKind.HANG, object="host-00001"))
        names = [f"turn{turn}-{number}" for number in range(count)]
        began = time.monotonic()
        await bench.create(names)
        reached = await _elsewhere(bench, names, "host-00001" if hung else "")
        rates[hung].append(rate(reached, began))
        bench.cloud.control.clear_faults()
        await bench.delete(names)
    well, ill = (median(rates[hung]) for hung in (False, True))
    return [
        Figure(f"create → Running, {count} VMs, all hosts well", well, "VM/s", samples=rates[False]),
        Figure(f"create → Running, {count} VMs, one host hung", ill, "VM/s", samples=rates[True]),
        Figure("throughput with a hung host / without", ill / well, "", "≥ 0.8"),
    ]


async def delete_all(bench: Bench, names: Sequence[str]) -> list[Figure]:
    """Delete the VMs of the scale."""
    await bench.rest()
    before = await bench.object_writes()
    began = time.monotonic()
    gone = await bench.delete(names)
    await bench.rest()
    writes = await bench.object_writes() - before - len(names)
    return [
        Figure(f"delete, {len(names)} VMs", rate(gone, began), "VM/s"),
        Figure("API writes per delete", writes / len(names), "", "≤ 3"),
    ]


async def _elsewhere(bench: Bench, names: Sequence[str], hung: str) -> list[float]:
    """Wait until all VMs that are not on the hung host run; return when each did."""

    def others() -> list[str]:
        return [name for name in names if not hung or bench.watch.hosts.get(name, "") != hung]

    await bench.watch.until(
        lambda: bench.watch.count(others(), "Running") == len(others()) and all(bench.watch.hosts.get(name) for name in names),
        "the VMs on the other hosts run",
        bench.patience,
    )
    return [bench.watch.states[name][1] for name in others()]


async def _reconciled(bench: Bench, count: int) -> float:
    """When so many VMs had their first turn. Asked seldom until that is near: each page takes the controller time."""
    end, turned = time.monotonic() + bench.patience, 0.0
    while turned < count:
        if time.monotonic() > end:
            raise BenchError(f"not within {bench.patience:.0f} s: all VMs were reconciled")
        await asyncio.sleep(_OFTEN if turned >= _NEAR * count else _SELDOM)
        page = await asyncio.to_thread(bench.controller.metrics)
        turned = total(page, "controller_runtime_reconcile_total", controller="VirtualMachine")
    return time.monotonic()


async def _when(happened: Callable[[], bool], seconds: float, what: str) -> float:
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(happened):
        if time.monotonic() > end:
            raise BenchError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(_OFTEN)
    return time.monotonic()


async def _at_once(work: Iterable[Awaitable[Any]]) -> None:
    """Do everything, IN_FLIGHT at a time."""
    waiting = iter(work)

    async def worker() -> None:
        for each in waiting:
            await each

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(worker())


async def _paced(work: Sequence[Awaitable[Any]], per_second: float) -> None:
    """Begin so many per second, however long each takes."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number, each in enumerate(work):
            await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            group.create_task(_run(each))


async def _run(work: Awaitable[Any]) -> None:
    await work


def _percentiles(name: str, seconds: Sequence[float], budget: str) -> list[Figure]:
    return [
        Figure(f"{name}: P50", percentile(seconds, 50), "s"),
        Figure(f"{name}: P95", percentile(seconds, 95), "s", budget, samples=sorted(seconds)),
    ]


def pieces(status: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """A status in so many parts that belong to it alone, none of them empty."""
    names = sorted(status)
    return [{name: status[name] for name in names[number::count]} for number in range(count)]
