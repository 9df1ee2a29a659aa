"""A term of leadership, and how it ends: whatever fails beside the reconciling, nobody goes on leading without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from prometheus_client import CollectorRegistry

from controller.kube import run as module
from controller.kube.kinds import ApiKind, Kinds
from controller.kube.run import Connection, Crashed, Settings
from controller.runtime.context import Context
from controller.runtime.lease import LeaseTimes
from controller.runtime.ports import Unavailable
from controller.runtime.results import Result, done
from controller.runtime.shards import Shards
from tests.unit.runtime.fakes import FakeApi, Fault
from tests.unit.runtime.leases import Line, Server
from tests.unit.runtime.models import Widget
from tests.unit.runtime.virtual import LoopClock, run
from tests.unit.runtime.world import Outside, Process, WidgetReconciler

BOOM = RuntimeError("a bug")
PARTS = ["feed", "resync", "secrets"]
SOON = 30.0


class Slow(WidgetReconciler):
    """Takes its time, so that something is under way whenever a term ends."""

    def __init__(self, outside: Outside) -> None:
        super().__init__(outside)
        self.begun = 0
        self.finished = 0

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        self.begun += 1
        await asyncio.sleep(3.0)
        self.finished += 1
        return done("Looked", recheck_after=1.0)


class Part:
    """One thing that goes on beside the reconciling, until it is broken."""

    def __init__(self) -> None:
        self._end: asyncio.Future[None] | None = None
        self.running = 0

    def end(self, error: Exception | None) -> None:
        assert self._end is not None
        self._end.set_exception(error) if error else self._end.set_result(None)

    async def run(self, *_: object) -> None:
        self._end = asyncio.get_running_loop().create_future()
        self.running += 1
        try:
            await self._end
        finally:
            self.running -= 1


class Term:
    """All that `run` is given."""

    def __init__(self, server: Server, name: str = "one") -> None:
        self.api = FakeApi()
        self.reconciler = Slow(Outside())
        self.process = Process(self.api, [self.reconciler])
        self.parts = {name: Part() for name in PARTS}
        self.server, self.stop, self.led = server, asyncio.Event(), 0
        log, clock = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[]), LoopClock()

        def port(_: int) -> Line:
            return Line(server)

        self.elector = Shards([port(0)], port, name, LeaseTimes(), clock, lambda: 0.5, log)
        kinds = Kinds([ApiKind(kind, "test.dev", "v1", kind.lower(), True) for kind in ("Widget", "Parent")])
        secrets = SimpleNamespace(watch=self.parts["secrets"].run)
        connection = Connection(cast("Any", self.api), cast("Any", secrets), self.elector, kinds, cast("Any", None))
        self.task = asyncio.create_task(
            module.run(
                self.process.manager,
                connection,
                cast("Settings", SimpleNamespace(probe_host="", probe_port=0)),
                on_lead=self._lead,
                on_secret=lambda *_: None,
                stop=self.stop,
                random=lambda: 0.5,
                registry=CollectorRegistry(),
                log=log,
            )
        )

    async def _lead(self, shard: int) -> None:
        assert self.elector.holds(shard)
        self.led += 1

    async def at_work(self) -> None:
        """Until something is being reconciled."""
        async with asyncio.timeout(SOON):
            while self.reconciler.begun == self.reconciler.finished:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def ended(self) -> BaseException | None:
        """How it ended, soon."""
        done, _ = await asyncio.wait([self.task], timeout=SOON)
        assert done, "it goes on"
        return None if self.task.cancelled() else self.task.exception()

    async def check_nothing_goes_on(self) -> None:
        """Nobody leads, nothing is reconciled, and the next may begin at once."""
        assert self.server.record is not None
        assert self.server.record.holder == "", "the lease is given back"
        assert not self.elector.is_leader
        assert [part.running for part in self.parts.values()] == [0, 0, 0]
        begun, writes = self.reconciler.begun, self.server.writes
        await asyncio.sleep(60)
        assert (self.reconciler.begun, self.server.writes) == (begun, writes)
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Term]:
    """The terms whose parts are used in place of the real ones, one after the other."""
    terms: list[Term] = []

    @asynccontextmanager
    async def serve(*_: object) -> AsyncIterator[int]:
        yield 0

    class Resync(module.Resync):
        async def run(self) -> None:
            await module._until_first([module._task(super().run()), module._task(terms[-1].parts["resync"].run())])

    class Feed:
        def __init__(self, *_: object) -> None:
            self.run = terms[-1].parts["feed"].run

    monkeypatch.setattr(module.probes, "serve", serve)
    monkeypatch.setattr(module, "Resync", Resync)
    monkeypatch.setattr(module, "Feed", Feed)
    return terms


def play(terms: list[Term], story: Callable[[Term], Any]) -> None:
    async def told() -> None:
        term = Term(Server())
        terms.append(term)
        term.api.create("Widget", "a", size=1)
        await term.at_work()
        await story(term)

    run(told(), end=1000.0)


@pytest.mark.parametrize("error", [BOOM, None], ids=["crashes", "ends"])
@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_fails_ends_the_term(parts: list[Term], name: str, error: Exception | None) -> None:
    """What runs is finished under the lease, which is then given back; nobody leads without a feed."""

    async def story(term: Term) -> None:
        term.parts[name].end(error)
        crash = await term.ended()
        assert isinstance(crash, Crashed)
        if error:
            assert BOOM in (crash.__cause__, *getattr(crash.__cause__, "exceptions", ()))
        assert term.reconciler.finished == term.reconciler.begun, "nothing was cut short"
        await term.check_nothing_goes_on()

    play(parts, story)


def test_a_manager_that_fails_ends_the_term(parts: list[Term], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(term: Term) -> None:
        monkeypatch.setattr(term.process.manager, "_schedule", lambda *_: 1 / 0)
        monkeypatch.setattr(term.process.manager._metrics, "reconciled", lambda *_: 1 / 0)
        crash = await term.ended()
        assert isinstance(crash, Crashed)
        assert isinstance(crash.__cause__, ZeroDivisionError)
        await term.check_nothing_goes_on()

    play(parts, story)


def test_a_term_that_is_cancelled_gives_the_lease_back(parts: list[Term]) -> None:
    async def story(term: Term) -> None:
        term.task.cancel()
        assert await term.ended() is None
        await term.check_nothing_goes_on()

    play(parts, story)


def test_a_term_that_is_stopped_finishes_what_runs(parts: list[Term]) -> None:
    async def story(term: Term) -> None:
        term.stop.set()
        assert await term.ended() is None
        assert term.reconciler.finished == term.reconciler.begun
        await term.check_nothing_goes_on()

    play(parts, story)


def test_a_term_whose_lease_is_lost_ends_at_once(parts: list[Term]) -> None:
    """Also while it is being stopped: what still runs may no longer do anything."""

    async def story(term: Term) -> None:
        term.stop.set()
        await asyncio.sleep(0.1)
        assert not term.task.done()
        term.elector._electors[0]._held_until = 0.0
        term.elector._lost.set()
        assert await term.ended() is None
        assert term.reconciler.finished < term.reconciler.begun

    play(parts, story)


def test_a_term_that_waits_for_the_lease_ends_as_well(parts: list[Term]) -> None:
    async def story(term: Term) -> None:
        other = Term(term.server, "two")
        parts.append(other)
        await asyncio.sleep(20)
        assert other.led == 0
        other.parts["secrets"].end(BOOM)
        assert isinstance(await other.ended(), Crashed)
        assert term.elector.is_leader
        term.stop.set()
        await term.ended()

    play(parts, story)


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.THROTTLED, Fault.REJECTED, Fault.LOST])
def test_faults_of_the_api_server_end_no_term(parts: list[Term], fault: Fault) -> None:
    async def story(term: Term) -> None:
        term.api.fault = lambda *_: fault
        for line in (each._port for each in term.elector._electors):
            cast("Line", line).trouble = lambda: "down" if asyncio.get_running_loop().time() % 8 < 4 else ""
        for kind in ("Widget", "Parent"):
            term.process.resync.request(kind)
        await asyncio.sleep(300)
        assert not term.task.done()
        term.api.fault = lambda *_: None
        begun = term.reconciler.begun
        await asyncio.sleep(400)  # longer than any backoff
        assert term.reconciler.begun > begun
        term.stop.set()
        assert await term.ended() is None

    play(parts, story)


def test_an_api_error_that_nobody_expected_is_a_crash_like_any_other(parts: list[Term]) -> None:
    async def story(term: Term) -> None:
        term.parts["secrets"].end(Unavailable("out of the blue"))
        assert isinstance(await term.ended(), Crashed)
        await term.check_nothing_goes_on()

    play(parts, story)
