"""How long placing takes: `python -m tests.bench.bench_scheduler [hosts] [vms]`. Prints, and keeps a record; asserts no time.

All figures are CPU time, which a busy machine changes little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from controller.scheduler import Allocation, ClusterView, HostView, Placement, PoolScope, PoolView, Request, Scheduler
from controller.scheduler.index import HostIndex
from tests.bench.figures import Figure
from tests.bench.record import add_output, circumstances, keep

GI = 1 << 30


class Meter:
    """Prints what each piece of work took; `figures` are all of them, in microseconds for one of what was counted."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    @contextmanager
    def timed(self, what: str, count: int) -> Iterator[None]:
        """Take how much CPU time the block took, in all and for each of `count`."""
        start = time.process_time()
        yield
        passed = time.process_time() - start
        self.figures.append(Figure(what, passed / count * 1e6, "µs each"))
        print(f"{what:<58} {passed * 1e3:9.1f} ms {passed / count * 1e6:9.1f} µs each", flush=True)


def build(hosts: int) -> HostIndex:
    """Hosts of 64 CPUs and 256 Gi in clusters of 100, with one pool for all and a local one each."""
    index = HostIndex()
    for number in range(-(-hosts // 100)):
        index.put_cluster(ClusterView(f"c{number}", "z", f"p{number // 10}"))
    for number in range(hosts):
        index.put_host(HostView(f"h{number}", f"c{number // 100}", 64, 256 * GI))
        index.put_pool(PoolView(f"local{number}", PoolScope.HOST, f"h{number}", 1000 * GI, 1000 * GI, tags=frozenset({"local"})))
    index.put_pool(PoolView("shared", PoolScope.ZONE, "z", hosts * 1000 * GI, hosts * 1000 * GI))
    return index


REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("a report on every host each", {"cpus": 65}),
    ("for want of room in every local pool", {"disk": 9000 * GI, "storage_tags": frozenset({"local"})}),
)


def refuse(meter: Meter, scheduler: Scheduler, what: str, more: dict[str, Any]) -> None:
    """Place 20 VMs that fit nowhere, no two of them equal, so that no answer is known already."""
    asked: dict[str, Any] = {"zone": "z", "cpus": 1, "memory": GI, "disk": GI} | more
    with meter.timed(what, 20):
        for number in range(20):
            answer = scheduler.place(Request(f"{what}{number}", **asked | {"disk": asked["disk"] + number}))
            assert not isinstance(answer, Placement), answer


def measure(hosts: int, vms: int) -> list[Figure]:
    """The ordinary case, and those that make the scheduler look at every host."""
    meter = Meter()
    with meter.timed(f"build an index of {hosts} hosts", hosts):
        index = build(hosts)
    scheduler = Scheduler(index)
    with meter.timed(f"place {vms} VMs", vms):
        placed = [scheduler.place(Request(f"a{number}", "z", 2, 4 * GI, 10 * GI)) for number in range(vms)]
    print(f"  placed {sum(isinstance(answer, Placement) for answer in placed)}")
    _choosy(meter, scheduler, hosts, vms)
    with meter.timed(f"reject {vms} equal VMs that fit nowhere", vms):
        for number in range(vms):
            scheduler.place(Request(f"c{number}", "z", 2, 4 * GI, 10 * GI, host_tags=frozenset({"gpu"})))
    for what, more in REFUSED:
        refuse(meter, scheduler, f"reject 20 different VMs, {what}", more)
    with meter.timed(f"have {hosts} hosts carry something different each", hosts):
        for number in range(hosts):
            index.assign(f"f{number}", Allocation(f"h{number}", "shared", 1, GI + number, GI))
    refuse(meter, scheduler, "reject 20 different VMs, no two hosts being alike", {"cpus": 1, "memory": 256 * GI})
    with meter.timed(f"release {vms} VMs", vms):
        for number in range(vms):
            index.release(f"a{number}")
    return meter.figures


def _choosy(meter: Meter, scheduler: Scheduler, hosts: int, vms: int) -> None:
    """VMs that ask for more than room."""
    with meter.timed(f"place {vms} VMs on local storage", vms):
        for number in range(vms):
            scheduler.place(Request(f"b{number}", "z", 2, 4 * GI, 10 * GI, storage_tags=frozenset({"local"})))
    for mode, apart in (("that must keep apart", True), ("that would rather keep apart", False)):
        with meter.timed(f"place {vms} VMs of one group {mode}", vms):
            for number in range(vms):
                scheduler.place(Request(f"{mode}{number}", "z", 1, GI, GI, group=mode, apart=apart))
    with meter.timed(f"place {vms} VMs named to a host each", vms):
        for number in range(vms):
            scheduler.place(Request(f"e{number}", "z", 1, GI, GI, host=f"h{number * 7 % hosts}"))


def main(arguments: Sequence[str]) -> int:
    """Measure, and keep a record; returns the exit code."""
    options = _parser().parse_args(arguments)
    about = circumstances(datetime.now(UTC))
    figures = measure(options.hosts, options.vms)
    keep(figures, about, ["python -m tests.bench.bench_scheduler", *arguments], "scheduler-", options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_scheduler", description="Measure how long placing takes.")
    parser.add_argument("hosts", type=int, nargs="?", default=10000, help="default 10000")
    parser.add_argument("vms", type=int, nargs="?", default=1000, help="default 1000")
    add_output(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
