"""What endpoints cost by themselves: `python -m tests.bench.bench_endpoints [endpoints] [seconds]`. Prints; asserts no figure.

As many endpoints of one simulator, each a host's own and without VMs, are opened as the controller opens them; then nothing happens
for some seconds but heartbeats. CPU time, memory and threads are those of the process that opens them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time

import structlog
from prometheus_client import CollectorRegistry

from controller.inventory import Inventory, Lanes, endpoint_lanes
from controller.runtime.lanes import LaneMetrics
from controller.runtime.threads import Threads
from drivers.loader import load
from drivers.types import Endpoint
from tests.bench.bench_store import memory
from tests.bench.figures import Figure, table
from tests.support.ending import tidy_end
from tests.support.live.cloud import host_names
from tests.support.simulator import SimulatorProcess

PATIENCE = 600.0
_LOOK = 0.1


async def measure(simulator: SimulatorProcess, endpoints: int, seconds: float) -> list[Figure]:
    """Open the endpoints, and let them rest. Raises TimeoutError if one of them does not answer."""
    metrics, threads = LaneMetrics(CollectorRegistry()), Threads()

    def lanes(name: str) -> Lanes:
        return endpoint_lanes(name, lambda: None, time.monotonic, metrics, threads)

    inventory = Inventory(load, lanes, lambda _: None, structlog.get_logger())
    load("Simulator")
    gc.collect()
    size, spent, began = memory(), time.process_time(), time.monotonic()
    try:
        for name in host_names(endpoints):
            inventory.attach(name, "Simulator", Endpoint(f"{simulator.url}/{name}?timeout=3"), name, sole=True)
        async with asyncio.timeout(PATIENCE):
            while not all(link.up for link in inventory.links()):  # noqa: ASYNC110  threads make it true
                await asyncio.sleep(_LOOK)
        opened, passed = time.process_time() - spent, time.monotonic() - began
        await asyncio.sleep(seconds)
        rest = time.process_time() - spent - opened
        gc.collect()
        return [
            Figure("to open one endpoint, CPU", 1000 * opened / endpoints, "ms"),
            Figure(f"until all {endpoints} were open", passed, "s"),
            Figure("at rest: heartbeats and events, CPU", 100 * rest / seconds, "% of a core"),
            Figure("memory of one endpoint", 1024 * (memory() - size) / endpoints, "KiB"),
            Figure("threads", threading.active_count(), ""),
        ]
    finally:
        await inventory.close()


def main(endpoints: int, seconds: float) -> None:
    """Start a simulator, measure, and print a table."""
    gc.freeze()
    gc.set_threshold(20_000)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tidy_end(), SimulatorProcess(["--hosts", str(endpoints)]) as simulator:
        print(table(asyncio.run(measure(simulator, endpoints, seconds))))


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + ["1000", "60"][len(sys.argv) - 1 :])))
