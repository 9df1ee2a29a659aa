"""How long placing takes: `python -m tests.bench.bench_scheduler [hosts] [vms]`. Prints; asserts no time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from controller.scheduler import ClusterView, HostView, Placement, PoolScope, PoolView, Request, Scheduler
from controller.scheduler.index import HostIndex

GI = 1 << 30


@contextmanager
def timed(what: str, count: int) -> Iterator[None]:
    """Print how long the block took, in all and for each of `count`."""
    start = time.perf_counter()
    yield
    passed = time.perf_counter() - start
    print(f"{what:<58} {passed * 1e3:9.1f} ms {passed / count * 1e6:9.1f} µs each")


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


def main(hosts: int, vms: int) -> None:
    """Measure the ordinary case, and those that make the scheduler look at every host."""
    with timed(f"build an index of {hosts} hosts", hosts):
        index = build(hosts)
    scheduler = Scheduler(index)
    with timed(f"place {vms} VMs", vms):
        placed = [scheduler.place(Request(f"a{number}", "z", 2, 4 * GI, 10 * GI)) for number in range(vms)]
    print(f"  placed {sum(isinstance(answer, Placement) for answer in placed)}")
    with timed(f"place {vms} VMs on local storage", vms):
        for number in range(vms):
            scheduler.place(Request(f"b{number}", "z", 2, 4 * GI, 10 * GI, storage_tags=frozenset({"local"})))
    for mode, apart in (("that must keep apart", True), ("that would rather keep apart", False)):
        with timed(f"place {vms} VMs of one group {mode}", vms):
            for number in range(vms):
                scheduler.place(Request(f"{mode}{number}", "z", 1, GI, GI, group=mode, apart=apart))
    with timed(f"place {vms} VMs named to a host each", vms):
        for number in range(vms):
            scheduler.place(Request(f"e{number}", "z", 1, GI, GI, host=f"h{number * 7 % hosts}"))
    with timed(f"reject {vms} equal VMs that fit nowhere", vms):
        for number in range(vms):
            scheduler.place(Request(f"c{number}", "z", 2, 4 * GI, 10 * GI, host_tags=frozenset({"gpu"})))
    with timed("reject 20 different VMs, a report on every host each", 20):
        for number in range(20):
            scheduler.place(Request(f"d{number}", "z", 65 + number, 4 * GI, 10 * GI))
    with timed(f"release {vms} VMs", vms):
        for number in range(vms):
            index.release(f"a{number}")


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + ["10000", "1000"][len(sys.argv) - 1 :])))
