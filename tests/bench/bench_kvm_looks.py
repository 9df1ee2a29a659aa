"""What the look costs that each KVM host has every minute: `python -m tests.bench.bench_kvm_looks [vms] [running]`.

Needs root: the host is one of the lab, with real libvirt and QEMU, and its VMs have a disk, a seed and a NIC each. The figures are
CPU of this process, as the controller has it, without that of libvirtd. Prints; asserts no figure.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from drivers.base import Connection
from drivers.types import ObservedVM, Power
from tests.bench.figures import Figure, table
from tests.contract.kvm_binding import KVMBinding, empty_image, making, one_host, stocked
from tests.support.ending import tidy_end

_TIMES = 5
_ARGUMENTS = ["100", "20"]


def measure(vms: int, running: int) -> list[Figure]:
    """Look at so many VMs that run, and then at so many that are off."""
    with one_host() as host, tempfile.TemporaryDirectory(prefix="vireo-bench-") as directory:
        binding = KVMBinding(host, empty_image(Path(directory)))
        with stocked(binding) as connection, making(binding, connection) as make:
            made = [make.running() for _ in range(running)]
            figures = _figures(binding, connection, running, Power.ON)
            for vm in made:
                make.stop(vm)
            for _ in range(vms - running):
                make.created()
            return figures + _figures(binding, connection, vms, Power.OFF)


def _figures(binding: KVMBinding, connection: Connection, vms: int, power: Power) -> list[Figure]:
    what = f"a look at a VM that is {power.value}, one of {vms}"

    def first() -> float:
        with closing(binding.connect()) as fresh:
            return _look(fresh, vms, power)

    return [
        Figure(f"{what}: for the first time", _least(first), "µs"),
        Figure(f"{what}: again", _least(lambda: _look(connection, vms, power)), "µs"),
    ]


def _least(once: Callable[[], float]) -> float:
    return 1e6 * min(once() for _ in range(_TIMES))


def _look(connection: Connection, vms: int, power: Power) -> float:
    """Seconds of CPU for one VM."""
    gc.collect()
    began = time.process_time()
    seen = connection.compute.observe_all()
    spent = time.process_time() - began
    _require(list(seen.values()), vms, power)
    return spent / vms


def _require(seen: list[ObservedVM], vms: int, power: Power) -> None:
    assert [vm.power for vm in seen] == [power] * vms, "not all VMs are as they were made"


def main(vms: int, running: int) -> None:
    """Measure, and print a table."""
    with tidy_end():
        print(table(measure(vms, running)))


if __name__ == "__main__":
    main(*(int(given) for given in (sys.argv[1:] + _ARGUMENTS[len(sys.argv) - 1 :])))
