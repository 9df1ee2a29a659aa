"""A condition that goes to and fro within a reconcile: what it is when the status is written counts, and nothing before."""

from __future__ import annotations

import asyncio

import pytest

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, waiting

from .fakes import FakeApi
from .models import Widget
from .virtual import run
from .world import Process

KEY = Key("Widget", "ns", "a")


class Wavering:
    """Says `first` of a condition, then what is in `said` for each reconcile, one every 15 s. `saved`: both are written."""

    kind = Widget
    watches = ()

    def __init__(self, said: list[str], first: str, *, saved: bool = False) -> None:
        self.said = said
        self.first = first
        self.saved = saved
        self.runs = 0

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        if self.first == "removed":
            ctx.conditions.remove("Blocked")
        else:
            ctx.conditions.set("Blocked", self.first == "True", "First")
        if self.saved:
            await ctx.save("Looking")
        ctx.conditions.set("Blocked", self.said[min(self.runs, len(self.said) - 1)] == "True", "Second")
        self.runs += 1
        return waiting("Waits", retry_after=15)

    def forget(self, key: Key, uid: str) -> None:
        pass


def watched(reconciler: Wavering, seconds: float) -> tuple[FakeApi, list[str]]:
    """The API server after a while, and each time of the condition's last transition that was written."""
    api = FakeApi()

    async def main() -> None:
        process = Process(api, [reconciler])
        api.create("Widget", "a", size=3)
        await process.start()
        await asyncio.sleep(seconds)
        await process.kill()

    run(main())
    found = [each for raw in api.history for each in raw.get("status", {}).get("conditions", ()) if each["type"] == "Blocked"]
    return api, [each["lastTransitionTime"] for each in found]


@pytest.mark.parametrize("first", ["removed", "True", "False"])
@pytest.mark.parametrize("status", ["True", "False"])
def test_it_is_written_once(first: str, status: str) -> None:
    reconciler = Wavering([status], first)
    api, times = watched(reconciler, 3600)
    assert reconciler.runs > 200
    assert (api.writes.total(), len(times)) == (1, 1)


@pytest.mark.parametrize("first", ["removed", "True", "False"])
def test_a_transition_is_told_with_its_time(first: str) -> None:
    _, times = watched(Wavering(["False", "False", "True", "True", "False"], first), 3600)
    assert len(times) == len(set(times)) == 3
    assert times == sorted(times)


def test_what_was_written_in_between_was_a_transition() -> None:
    api, times = watched(Wavering(["True"], "False", saved=True), 20)
    assert api.writes.total() == 4
    assert len(set(times)) == 2, "the first two are of one second"
    assert api.objects[KEY]["status"]["conditions"][-1]["status"] == "True"
