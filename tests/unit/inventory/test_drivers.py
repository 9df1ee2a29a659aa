"""Each driver is loaded once, however many endpoints it serves."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest

from controller.inventory.drivers import Drivers
from drivers.base import Driver
from drivers.errors import Unsupported

from .builders import Bench, play


class Shelf:
    """Loads slowly, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.loads: Counter[str] = Counter()
        self._failures = failures

    def load(self, hypervisor: str) -> Driver:
        self.loads[hypervisor] += 1
        if self.loads[hypervisor] <= self._failures:
            raise Unsupported("a package is missing")
        time.sleep(0.01)
        return cast("Driver", object())


def test_many_threads_get_the_same_one() -> None:
    shelf, start = Shelf(), threading.Barrier(16)
    drivers = Drivers(shelf.load)

    def get(number: int) -> Driver:
        start.wait(30)
        return drivers.get("KVM" if number % 2 else "Simulator")

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(get, range(16)))
    assert shelf.loads == {"KVM": 1, "Simulator": 1}
    assert len({id(driver) for driver in found[::2]}) == len({id(driver) for driver in found[1::2]}) == 1
    assert found[0] is not found[1]


def test_one_that_can_t_be_loaded_is_tried_again() -> None:
    shelf = Shelf(failures=2)
    drivers = Drivers(shelf.load)
    for _ in range(2):
        with pytest.raises(Unsupported):
            drivers.get("KVM")
    assert drivers.get("KVM") is drivers.get("KVM")
    assert shelf.loads == {"KVM": 3}


def test_an_inventory_loads_once_for_all_its_endpoints() -> None:
    async def story(bench: Bench) -> None:
        loads: Counter[str] = Counter()
        load = bench.inventory._drivers._load

        def counted(hypervisor: str) -> Driver:
            loads[hypervisor] += 1
            return load(hypervisor)

        bench.inventory._drivers._load = counted
        for number in range(20):
            bench.attach(f"h{number}", f"nobody-{number}")
        await bench.pass_time(100)
        assert loads == {"Fake": 1}

    play(story)
