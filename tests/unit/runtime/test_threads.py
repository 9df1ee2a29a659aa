"""Threads that are shared: how many there are, who gets them, and what is left when nobody needs them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

from controller.runtime import threads as module
from controller.runtime.threads import Tell, Threads

LONG = 120.0  # never waited for in a passing test


class Job:
    """Work that waits until it is let go, and notes which thread did it."""

    def __init__(self, tell: Tell = lambda: None) -> None:
        self.entered, self.release, self.told = threading.Event(), threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None
        self.name = ""
        self._tell = tell

    def __call__(self) -> Tell:
        self.thread = threading.current_thread()
        self.name = self.thread.name
        self.entered.set()
        assert self.release.wait(LONG)
        return self.tell

    def tell(self) -> None:
        self.told.set()
        self._tell()


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    made: list[Job] = []
    yield made
    for job in made:
        job.release.set()


def begin(threads: Threads, jobs: list[Job], name: str = "job") -> Job:
    job = Job()
    jobs.append(job)
    threads.run(job, name)
    assert job.entered.wait(LONG)
    return job


def end(job: Job) -> None:
    job.release.set()
    assert job.told.wait(LONG)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_work_begins_at_once_however_much_hangs(threads: Threads, jobs: list[Job]) -> None:
    hung = [begin(threads, jobs) for _ in range(20)]
    assert len({job.thread for job in hung}) == 20


def test_an_idle_thread_is_taken_before_one_is_made(threads: Threads, jobs: list[Job]) -> None:
    first = begin(threads, jobs, "one")
    end(first)
    second = begin(threads, jobs, "two")
    assert second.thread is first.thread
    assert (first.name, second.name) == ("one", "two")


def test_work_given_while_the_outcome_is_told_needs_no_other_thread(threads: Threads, jobs: list[Job]) -> None:
    """The outcome of one call often leads to the next."""
    after = Job()
    first = Job(tell=lambda: threads.run(after, "after"))
    jobs += [first, after]
    threads.run(first, "first")
    first.release.set()
    assert after.entered.wait(LONG)
    assert after.thread is first.thread


def test_the_last_to_become_idle_is_the_first_to_go_on(threads: Threads, jobs: list[Job]) -> None:
    """So that of many idle threads those that are not needed can end."""
    early, late = begin(threads, jobs), begin(threads, jobs)
    end(early)
    end(late)
    for _ in range(5):
        job = begin(threads, jobs)
        assert job.thread is late.thread
        end(job)
    assert threads.idle == 2


def test_idle_threads_end(threads: Threads, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE", 0.01)
    done = [begin(threads, jobs) for _ in range(3)]
    for job in done:
        end(job)
    until(lambda: not any(job.thread and job.thread.is_alive() for job in done))
    assert threads.idle == 0
    end(begin(threads, jobs))


def test_work_given_at_the_very_end_of_idling_is_done(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE", 0.0005)
    done = []
    for number in range(300):
        told = threading.Event()

        def work(number: int = number, told: threading.Event = told) -> Tell:
            done.append(number)
            return told.set

        threads.run(work, "work")
        assert told.wait(LONG)
        time.sleep(0.0005 * (number % 3))
    assert done == list(range(300))


def test_threads_are_daemons_so_that_a_hung_call_does_not_keep_the_process(threads: Threads, jobs: list[Job]) -> None:
    hung = begin(threads, jobs)
    assert hung.thread is not None
    assert hung.thread.daemon


def test_a_listener_that_is_gone_does_not_end_the_thread(threads: Threads, jobs: list[Job]) -> None:
    def closed() -> None:
        raise RuntimeError("the loop is closed")

    job = Job(tell=closed)
    jobs.append(job)
    threads.run(job, "job")
    end(job)
    until(lambda: threads.idle == 1)
    again = begin(threads, jobs)
    assert again.thread is job.thread


def test_an_idle_thread_holds_nothing_of_what_it_did(threads: Threads) -> None:
    class Result:
        pass

    told = threading.Event()
    kept: list[weakref.ref[Result]] = []

    def work() -> Tell:
        result = Result()
        kept.append(weakref.ref(result))

        def tell(result: Result = result) -> None:
            told.set()

        return tell

    threads.run(work, "work")
    assert told.wait(LONG)

    def let_go() -> bool:
        gc.collect()
        return kept[0]() is None

    until(let_go)
