"""The queue's order, delays and waiting."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar, copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.backoff import Backoff
from controller.runtime.keys import Key
from controller.runtime.queue import Closed, Priority, Queue

from .virtual import LoopClock, SetClock, run

A, B, C = (Key("Widget", "ns", name) for name in "abc")


def quiet() -> float:
    return 0.0


def popped(queue: Queue) -> list[Key]:
    """Everything that is ready, in order, each done before the next."""
    order = []
    while found := queue.pop():
        order.append(found[0])
        queue.done(found[0])
    return order


@pytest.mark.parametrize(
    ("adds", "order"),
    [
        ([(A, Priority.USER), (B, Priority.USER)], [A, B]),
        ([(A, Priority.RESYNC), (B, Priority.DEPENDENCY), (C, Priority.USER)], [C, B, A]),
        ([(A, Priority.RESYNC), (B, Priority.RESYNC), (A, Priority.USER)], [A, B]),
        ([(A, Priority.USER), (B, Priority.USER), (A, Priority.RESYNC)], [A, B]),
        ([(A, Priority.USER), (A, Priority.USER)], [A]),
    ],
    ids=["first come", "by priority", "lifted", "never lowered", "one entry"],
)
def test_order(adds: list[tuple[Key, Priority]], order: list[Key]) -> None:
    queue = Queue(SetClock().monotonic, quiet)
    for key, priority in adds:
        queue.add(key, priority)
    assert popped(queue) == order


def test_priority_added_during_a_run_is_kept_for_the_next() -> None:
    queue = Queue(SetClock().monotonic, quiet)
    queue.add(A)
    assert queue.pop() == (A, 0.0)
    queue.add(A, Priority.RESYNC)
    queue.add(B, Priority.DEPENDENCY)
    queue.add(A, Priority.USER)
    queue.done(A)
    assert popped(queue) == [A, B]


def test_low_priority_does_not_starve() -> None:
    queue = Queue(SetClock().monotonic, quiet)
    queue.add(A, Priority.RESYNC)
    served = []
    for number in range(100):
        queue.add(Key("Widget", "ns", f"user{number}"))
        found = queue.pop()
        assert found is not None
        served.append(found[0])
        queue.done(found[0])
    assert served.index(A) <= 16


def test_waiting_time_counts_from_when_the_key_became_ready() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.add(A, Priority.RESYNC)
    clock.time = 3.0
    queue.add(A, Priority.USER)
    clock.time = 5.0
    assert queue.pop() == (A, 5.0)


def test_the_earliest_delay_wins() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.add_after(A, 10)
    queue.add_after(A, 5)
    queue.add_after(A, 20)
    clock.time = 4.9
    assert queue.pop() is None
    clock.time = 5.0
    assert popped(queue) == [A]
    clock.time = 100.0
    assert queue.pop() is None


def test_one_that_is_hastened_comes_now_with_its_priority_and_once() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.add_after(A, 10, Priority.RESYNC)
    queue.add_after(B, 20)
    queue.hasten(A)
    queue.hasten(B)
    assert popped(queue) == [B, A]
    clock.time = 100.0
    assert queue.pop() is None


def test_to_hasten_one_that_waits_for_nothing_does_nothing() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.hasten(A)
    assert queue.pop() is None
    queue.add(A, Priority.RESYNC)
    queue.hasten(A)
    assert popped(queue) == [A]
    queue.add_after(B, 10)
    queue.close()
    queue.hasten(B)
    assert queue.pop() is None


def test_a_run_takes_the_place_of_its_delayed_add() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.add_after(A, 10)
    queue.add(A)
    assert popped(queue) == [A]
    clock.time = 11.0
    assert queue.pop() is None


def test_a_delayed_add_during_a_run_stays() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    queue.add(A)
    queue.pop()
    queue.add_after(A, 10)
    queue.done(A)
    assert queue.pop() is None
    clock.time = 10.0
    assert popped(queue) == [A]


def test_delays_replaced_many_times_take_no_memory() -> None:
    clock = SetClock()
    queue = Queue(clock.monotonic, quiet)
    for _ in range(10_000):
        queue.add_after(A, 300)
        queue.add(A)
        popped(queue)
    assert len(queue._heap) < 200


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(retries: int, random: float) -> None:
    backoff = Backoff(base=0.5, cap=60, jitter=0.4)
    assert 0.5 * 0.6 <= backoff.delay(retries, random) <= 60


def test_backoff_grows_until_forgotten() -> None:
    queue = Queue(SetClock().monotonic, quiet, Backoff(base=1, cap=10, jitter=0.3))
    assert [queue.retry(A) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue._retries[A] == 6
    queue.forget(A)
    assert A not in queue._retries
    assert queue.retry(A) == 1


def test_backoff_is_cut_short_for_one_that_gets_further() -> None:
    queue = Queue(SetClock().monotonic, quiet, Backoff(base=1, cap=10, jitter=0.3))
    queue.ease(A)
    assert [queue.retry(A) for _ in range(4)] == [1, 2, 4, 8]
    queue.ease(A)
    assert [queue.retry(A) for _ in range(2)] == [4, 8]


def test_get_waits_for_an_add() -> None:
    async def main() -> None:
        queue = Queue(LoopClock().monotonic, quiet)
        getter = asyncio.create_task(queue.get())
        await asyncio.sleep(5)
        assert not getter.done()
        queue.add(A)
        assert (await getter)[0] == A

    run(main())


def test_get_waits_for_what_comes_due_first() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue = Queue(LoopClock().monotonic, quiet)
        queue.add_after(B, 60)
        getters = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(1)
        queue.add_after(A, 9)
        seen = []
        for getter in asyncio.as_completed(getters[:2]):
            seen.append(((await getter)[0], round(loop.time())))
        assert seen == [(A, 10), (B, 60)]
        queue.close()
        with pytest.raises(Closed):
            await getters[2]

    run(main())


def test_a_wakeup_of_a_cancelled_waiter_is_passed_on() -> None:
    async def main() -> None:
        queue = Queue(LoopClock().monotonic, quiet)
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(1)
        queue.add(A)
        first.cancel()
        assert (await second)[0] == A

    run(main())


def test_every_key_is_handed_to_exactly_one_of_many_waiters() -> None:
    async def main() -> None:
        queue = Queue(LoopClock().monotonic, quiet)
        served: list[Key] = []

        async def work() -> None:
            while True:
                key, _ = await queue.get()
                served.append(key)
                await asyncio.sleep(0.1)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(5)]
        wanted = [Key("Widget", "ns", str(number)) for number in range(50)]
        for number, key in enumerate(wanted):
            queue.add_after(key, number * 0.05)
        await asyncio.sleep(10)
        assert sorted(served) == sorted(wanted)
        for worker in workers:
            worker.cancel()

    run(main())


def test_a_closed_queue_takes_and_gives_nothing() -> None:
    async def main() -> None:
        queue = Queue(LoopClock().monotonic, quiet)
        queue.add(A)
        queue.close()
        queue.add(B)
        queue.add_after(B, 1)
        with pytest.raises(Closed):
            await queue.get()

    run(main())


def test_what_a_reconcile_has_is_not_held_until_the_next_key_is_due() -> None:
    """Timers keep the context in which they were set, even cancelled ones, which the loop drops when they are due."""

    class Held:
        pass

    async def main() -> None:
        queue = Queue(LoopClock().monotonic, quiet)
        waiter = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        seen: list[weakref.ref[Held]] = []

        def reconcile() -> None:
            seen.append(weakref.ref(held := Held()))
            variable.set(held)
            queue.add_after(A, 600)
            queue.add_after(B, 300)

        variable: ContextVar[Held] = ContextVar("held")
        copy_context().run(reconcile)
        gc.collect()
        assert [each() for each in seen] == [None]
        waiter.cancel()

    run(main())
