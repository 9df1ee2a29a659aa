"""Random users, faults, lost events and crashes: in the end the world is as declared, and nothing happened twice on the way."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.runtime.keys import Key

from .fakes import FakeApi, Fault
from .virtual import run
from .world import FINALIZER, PAUSED, Outside, Process, WidgetReconciler

NAMES = ["a", "b", "c"]
HOUR = 3600.0


@dataclass(frozen=True)
class Step:
    """One thing that happens, `wait` seconds after the last."""

    what: str
    name: str
    size: int
    wait: float


steps = st.builds(
    Step,
    st.sampled_from(["create", "edit", "delete", "pause", "resume", "wipe", "crash", "deaf", "hearing", "parent", "orphan"]),
    st.sampled_from(NAMES),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.001, 0.003, 0.006, 0.011, 0.05, 0.3, 2.0, 30.0]),
)


class Play:
    """Carries out the steps on one API server, over as many processes as the crashes need."""

    def __init__(self, seed: int, unreliable: float) -> None:
        self.api = FakeApi()
        self.outside = Outside()
        self.random = random.Random(seed)
        self.unreliable = unreliable
        self.api.fault = self.fault
        self.process = self.new_process()
        self.deaf = False
        self.healed = False

    def fault(self, verb: str, key: Key | None) -> Fault | None:
        faulty = not self.healed and self.random.random() < self.unreliable
        return self.random.choice(list(Fault)) if faulty else None

    def new_process(self) -> Process:
        return Process(
            self.api,
            [WidgetReconciler(self.outside)],
            seed=self.random.randrange(1000),
            delay=lambda: self.random.choice([0.0, 0.001, 0.01, 0.5]),
        )

    async def step(self, step: Step) -> None:
        await asyncio.sleep(step.wait)
        key = Key("Widget", "ns", step.name)
        there = key in self.api.objects
        match step.what:
            case "create" if not there:
                self.api.create("Widget", step.name, size=step.size, parent="")
            case "edit" if there:
                self.api.edit(key, size=step.size)
            case "delete" if there:
                self.api.delete(key)
            case "pause" | "resume" if there:
                self.api.annotate(key, PAUSED, "true" if step.what == "pause" else None)
            case "wipe" if there:
                self.api.wipe_status(key)
            case "parent" | "orphan" if there:
                self.api.edit(key, parent="p" if step.what == "parent" else "")
            case "deaf" | "hearing":
                self.process.watcher.broken = step.what == "deaf"
            case "crash":
                await self.crash()

    async def crash(self) -> None:
        await self.process.kill()
        self.outside.busy.clear()
        self.process = self.new_process()
        await self.start()

    async def start(self) -> None:
        """Start, but don't wait for it: the next step may come before the lists are complete."""
        self.process.tasks.append(asyncio.create_task(self.process.start()))
        await asyncio.sleep(0)

    async def heal(self) -> None:
        """No more faults; events come again, and what was missed is found by the periodic list."""
        self.healed = True
        self.process.watcher.broken = False
        await asyncio.sleep(0.25 * HOUR + 400)
        for key in list(self.api.objects):
            if key.kind == "Widget":
                self.api.annotate(key, PAUSED, None)
        if Key("Parent", "ns", "p") not in self.api.objects:
            self.api.create("Parent", "p")
        await asyncio.sleep(HOUR)


def check(play: Play) -> None:
    """The world is as declared."""
    widgets = {key: raw for key, raw in play.api.objects.items() if key.kind == "Widget"}
    assert play.outside.sizes == {raw["metadata"]["uid"]: raw["spec"]["size"] for raw in widgets.values()}
    held = {key: play.process.store.uid(key) for kind in ("Widget", "Parent") for key in play.process.store.keys(kind)}
    assert held == {key: raw["metadata"]["uid"] for key, raw in play.api.objects.items()}, "the Store is not what the server has"
    assert play.outside.overlaps == 0, "a key ran twice at once"
    assert set(play.outside.made.values()) <= {1}, "something was made twice"
    for key, raw in widgets.items():
        assert not raw["metadata"].get("deletionTimestamp"), f"{key} hangs in deletion"
        assert raw["metadata"]["finalizers"] == [FINALIZER]
        status = raw["status"]
        assert status["size"] == raw["spec"]["size"]
        assert "intent" not in status
        assert status["observedGeneration"] == raw["metadata"]["generation"]
        assert [(item["type"], item["status"]) for item in status["conditions"]] == [("Ready", "True")]


def check_history(play: Play) -> None:
    """At no moment did an object claim more than was true: kstatus' rules, over every version there ever was."""
    for raw in play.api.history:
        status = raw.get("status") or {}
        true = {item["type"] for item in status.get("conditions", []) if item["status"] == "True"}
        assert not {"Reconciling", "Stalled"} <= true
        assert not {"Reconciling", "Ready"} <= true
        processed = status.get("observedGeneration") == raw["metadata"]["generation"]
        if raw["kind"] == "Widget" and processed and "Ready" in true:
            assert status["size"] == raw["spec"]["size"], "current, but not as declared"
            assert "intent" not in status, "current, but at work"


async def play_out(script: list[Step], seed: int, unreliable: float) -> Play:
    play = Play(seed, unreliable)
    await play.start()
    for step in script:
        await play.step(step)
    await play.heal()
    check(play)
    check_history(play)
    writes = play.api.writes.total()
    await asyncio.sleep(2 * HOUR)
    assert play.api.writes.total() == writes, "a world at rest is written to"
    await play.process.kill()
    return play


@settings(max_examples=120, deadline=None)
@given(st.lists(steps, max_size=25), st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.3]))
@example(
    [Step("create", "a", 1, 0.0), Step("crash", "a", 1, 0.006), Step("delete", "a", 1, 0.0), Step("crash", "a", 1, 0.003)], 1, 0.0
)
@example([Step("create", "a", 1, 0.0), Step("deaf", "a", 1, 2.0), Step("delete", "a", 1, 0.0), Step("create", "a", 2, 2.0)], 1, 0.0)
def test_the_world_converges(script: list[Step], seed: int, unreliable: float) -> None:
    run(play_out(script, seed, unreliable))


@pytest.mark.parametrize("start", range(7))
def test_a_crash_at_every_moment_of_a_life(start: int) -> None:
    """Create, resize, delete, create again; a crash at each of many moments."""
    script = [
        Step("create", "a", 1, 0.0),
        Step("edit", "a", 2, 0.2),
        Step("delete", "a", 0, 0.2),
        Step("create", "a", 3, 60.0),
    ]
    for moment in range(start, 450, 7):
        play = run(play_out(_with_crash(script, moment / 1000), moment, 0.0))
        assert play.outside.sizes == {"uid-2": 3}


def _with_crash(script: list[Step], moment: float) -> list[Step]:
    """Put a crash `moment` seconds after the start into the script."""
    now, result = 0.0, []
    for step in script:
        if now <= moment < now + step.wait:
            result += [Step("crash", "a", 0, moment - now), Step(step.what, step.name, step.size, now + step.wait - moment)]
        else:
            result.append(step)
        now += step.wait
    return result if moment < now else [*script, Step("crash", "a", 0, moment - now)]
