"""What the look costs that each VM has after a start: `python -m tests.bench.bench_looks [vms] [hosts]`. Prints; asserts no figure.

The VMs run on simulated hosts in this process, in virtual time, and are as declared; no API server, no network, no other threads.
All figures are CPU time, which a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

from controller.runtime.keys import Key
from controller.runtime.queue import Priority
from controller.runtime.store import Store
from controller.shared.lookups import register_all
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.simulator.engine.settings import Settings
from tests.bench.figures import Figure, table
from tests.support import cloud as base
from tests.support.live.controller import ROOT
from tests.support.vms import TEMPLATE, VMCloud, hosts, vm
from tests.unit.runtime.virtual import run

_AT_ONCE = 100  # VMs that are asked for between two rests, so that none has to wait for long
_REST = 60.0  # virtual seconds
_TURN = 1.0  # virtual seconds in which all have had their look: a look waits for nothing
_LOOKS = 3
_NETWORK = """
kind: Network
metadata: {name: front, namespace: shop}
spec: {zone: z1, type: Shared, subnet: {cidr: 10.0.0.0/15, gateway: 10.0.0.1}}
"""


def measure(vms: int, on: int) -> list[Figure]:
    """Make so many VMs on so many hosts, start the controller anew, and look at each VM again."""
    return run(_measured(vms, on), end=1e9)


async def _measured(vms: int, on: int) -> list[Figure]:
    cloud = VMCloud(Settings(hosts=on, cpus=4096, memory=1 << 44, boot=0, shutdown=0))
    cloud.api.chunk = 50
    await cloud.controller.start()
    try:
        cloud.apply("\n---\n".join([base.ZONE, base.POD, base.CLUSTER, hosts(on), base.POOL, base.OFFERING, TEMPLATE, _NETWORK]))
        await cloud.settle(_REST)
        for first in range(0, vms, _AT_ONCE):
            cloud.apply("\n---\n".join(vm(f"vm-{number}") for number in range(first, min(vms, first + _AT_ONCE))))
            await cloud.settle(_REST)
        await cloud.restart()
        await cloud.settle(_REST)
        return await _figures(cloud, vms)
    finally:
        await cloud.controller.kill()


async def _figures(cloud: VMCloud, vms: int) -> list[Figure]:
    store, written = cloud.controller.store, cloud.writes
    keys = store.keys(VirtualMachine.KIND)
    assert all(store.settled(key) for key in keys), "a VM is not as declared"
    assert len(keys) == vms
    figures = [Figure("a look at a VM that is as declared", 1e6 * min([await _look(cloud, keys) for _ in range(_LOOKS)]), "µs")]
    assert cloud.writes == written, "a look that finds all as declared has nothing to write"
    return figures + _parts([cloud.api.objects[key] for key in keys])


async def _look(cloud: VMCloud, keys: Iterable[Key]) -> float:
    """Seconds for one VM, without what goes on by itself meanwhile."""
    spent = []
    for wanted in ([], [*keys]):
        gc.collect()
        began = time.process_time()
        for key in wanted:
            cloud.controller.manager.enqueue(key, Priority.RESYNC)
        await asyncio.sleep(_TURN)
        spent.append(time.process_time() - began)
    return (spent[1] - spent[0]) / len(wanted)


def _parts(raws: list[dict[str, Any]]) -> list[Figure]:
    """What single steps of a start take, for each VM."""
    store = Store()
    register_all(store)
    keys = [Key(VirtualMachine.KIND, raw["metadata"]["namespace"], raw["metadata"]["name"]) for raw in raws]
    taken_in = _each(raws, store.upsert)
    first, again = _each(keys, store.settled), _each(keys, store.settled)
    parsed = _each(keys, store.checkout)
    vms = list(store.list(VirtualMachine))
    return [
        Figure("a VM taken into the Store", taken_in, "µs"),
        Figure("a VM parsed to be worked on", parsed, "µs"),
        Figure("a VM's status dumped", _each(vms, lambda each: each.status.to_json()), "µs"),
        Figure("whether a VM is as declared, asked first", first, "µs"),
        Figure("whether a VM is as declared, asked again", again, "µs"),
    ]


def _each(items: list[Any], work: Callable[[Any], object]) -> float:
    """Microseconds of CPU for one item."""
    began = time.process_time()
    for item in items:
        work(item)
    return 1e6 * (time.process_time() - began) / len(items)


def modules() -> list[Figure]:
    """What it takes to load the controller, when its modules have to be compiled, and when they are."""
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as directory:
        spent = [_loaded(directory) for _ in range(2)]
    return [Figure("modules loaded, not compiled", spent[0], "s"), Figure("modules loaded, compiled", spent[1], "s")]


def _loaded(compiled: str) -> float:
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "import controller.__main__, controller.app"]
    subprocess.run(command, cwd=ROOT, env=ours | {"PYTHONPYCACHEPREFIX": compiled}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(vms: int, on: int) -> None:
    """Measure, and print a table."""
    gc.freeze()
    gc.set_threshold(20_000)
    print(table([*measure(vms, on), *modules()]))


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + ["1000", "300"][len(sys.argv) - 1 :])))
