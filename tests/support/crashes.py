"""What goes wrong in the life of objects: a controller that dies at each point of it, a write that fails; whatever the kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.runtime.keys import Key
from tests.support.vms import Stop, VMCloud
from tests.unit.runtime.fakes import Fault

Step = Callable[[VMCloud], None]
Life = Callable[[Step], VMCloud]
"""Plays a whole life after a disturbance, checks how it ended, and returns its cloud."""

PARTS = 4
"""The points of a life are tried in so many tests, each of which takes a share."""


async def watch(cloud: VMCloud, seconds: int, look: Step = lambda cloud: None) -> None:
    """Let time pass, and look every second; when the world stops meanwhile, start another controller."""
    for _ in range(seconds):
        await asyncio.sleep(1)
        look(cloud)
        if cloud.stopped.is_set():
            cloud.stopped.clear()
            await cloud.restart()


def killed_at_each_point(life: Life, among: set[str], part: int) -> None:
    """Play the life once for each of its points, killed there; up to it each is the same. `among` are some that it must have."""
    points = life(lambda cloud: None).points
    assert set(points) >= among
    for number in range(1 + part, points.total() + 1, PARTS):
        stop = Stop(number)
        life(lambda cloud, stop=stop: setattr(cloud, "stop", stop))  # type: ignore[misc]
        assert stop.name, f"point {number} was never reached"


def failing(which: int, fault: Fault, concerned: Callable[[str, Key], bool]) -> Step:
    """The first, second, … write of a life that is concerned goes wrong; it is told by its part of the object and its key."""

    def disturb(cloud: VMCloud) -> None:
        writes = 0

        def at(part: str, key: Key | None) -> Fault | None:
            nonlocal writes
            if key is None or not concerned(part, key):
                return None
            writes += 1
            return fault if writes == which else None

        cloud.api.fault = at

    return disturb
