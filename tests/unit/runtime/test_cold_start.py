"""The order in which a new process looks at what is there."""

from __future__ import annotations

import asyncio

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, done, waiting

from .fakes import FakeApi
from .models import Widget
from .virtual import run
from .world import Process


class Noting:
    """Is content with everything but `late`, and notes what it was shown."""

    kind = Widget
    watches = ()

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        self.seen.append(ctx.key.name)
        return waiting("NotYet", "as its name says") if ctx.key.name == "late" else done("Seen")

    def forget(self, key: Key, uid: str) -> None:
        raise AssertionError("nothing is deleted here")


def test_what_nobody_has_looked_at_yet_comes_first() -> None:
    async def main() -> list[str]:
        api = FakeApi()
        keys = [api.create("Widget", f"w{number}", size=1) for number in range(20)]
        first = Process(api, [Noting()], workers=1)
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        api.edit(keys[17], size=2)
        api.create("Widget", "new", size=1)
        noting = Noting()
        second = Process(api, [noting], workers=1)
        await second.start()
        await asyncio.sleep(5)
        await second.kill()
        return noting.seen

    seen = run(main())
    assert set(seen[:2]) == {"w17", "new"}
    assert sorted(seen) == sorted([*(f"w{number}" for number in range(20)), "new"])


def seen_after_a_start(seconds: float, calm_at: float = 1000.0, **settled_after: float) -> list[str]:
    """Start anew with two objects that are as declared, one that is not, and one that is new; return who had a turn.

    `calm_at`: seconds until what comes first is done. One of the two is to be looked at after a second.
    """

    async def main() -> list[str]:
        api = FakeApi()
        settled, other, edited = (api.create("Widget", name, size=1) for name in ("settled", "other", "edited"))
        first = Process(api, [Noting()])
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        api.edit(edited, size=2)
        api.create("Widget", "new", size=1)
        noting, loop = Noting(), asyncio.get_running_loop()
        began = loop.time()
        second = Process(api, [noting], settled_after=settled_after, calm=lambda: loop.time() - began >= calm_at)
        await second.start()
        await asyncio.sleep(1)
        second.manager.look_at(other)
        await asyncio.sleep(seconds)
        await second.kill()
        assert settled.name == "settled"
        return noting.seen

    return run(main())


def test_what_is_as_declared_is_left_until_what_comes_first_is_done() -> None:
    """Nobody waits for it, and its turn would keep others waiting: no answer of a host changes that."""
    assert sorted(seen_after_a_start(18, calm_at=20, Widget=30.0)) == ["edited", "new"]
    assert sorted(seen_after_a_start(20, calm_at=20, Widget=30.0)) == ["edited", "new", "other", "settled"]


def test_what_nothing_wakes_is_looked_at_all_the_same_and_nothing_twice() -> None:
    assert sorted(seen_after_a_start(28, Widget=30.0)) == ["edited", "new"]
    assert sorted(seen_after_a_start(60, Widget=30.0)) == ["edited", "new", "other", "settled"]


def test_where_nothing_comes_first_all_are_looked_at_at_once() -> None:
    assert sorted(seen_after_a_start(0.5, calm_at=0, Widget=30.0)) == ["edited", "new", "other", "other", "settled"]


def test_other_kinds_are_looked_at_at_once() -> None:
    assert sorted(set(seen_after_a_start(0.5, Parent=30.0))) == ["edited", "new", "other", "settled"]


def test_one_that_is_held_is_looked_at_as_soon_as_something_of_it_changes_and_again_when_it_is_to_be() -> None:
    async def main() -> list[str]:
        api = FakeApi()
        keys = [api.create("Widget", name, size=1) for name in ("changed", "held")]
        first = Process(api, [Noting()])
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        noting = Noting()
        second = Process(api, [noting], settled_after={"Widget": 30.0})
        await second.start()
        await asyncio.sleep(1)
        api.edit(keys[0], size=2)
        await asyncio.sleep(1)
        for key in keys:
            second.manager.look_at(key)  # the one that has had its turn is no longer held
        await asyncio.sleep(1)
        await second.kill()
        return noting.seen

    assert run(main()) == ["changed", "changed"]


def test_a_term_that_ends_early_holds_nothing_over_to_the_next() -> None:
    async def main() -> list[str]:
        api = FakeApi()
        key = api.create("Widget", "w", size=1)
        first = Process(api, [Noting()])
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        noting = Noting()
        second = Process(api, [noting], settled_after={"Widget": 30.0})
        await second.start()
        await asyncio.sleep(1)
        await second.kill()
        assert noting.seen == []
        assert not second.manager._held
        second.manager.look_at(key)  # nobody works any more
        return noting.seen

    assert run(main()) == []


def test_those_that_somebody_waits_for_come_before_those_that_nobody_need_hurry_for() -> None:
    async def main() -> list[str]:
        api = FakeApi()
        keys = [api.create("Widget", f"w{number}", size=1) for number in range(9)]
        first = Process(api, [Noting()])
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        late = api.create("Widget", "late", size=1)
        noting = Noting()
        second = Process(api, [noting], workers=1, settled_after={"Widget": 1000.0}, calm=lambda: True)
        await second.start()
        await asyncio.sleep(5)
        noting.seen.clear()
        for key in keys:
            second.manager.look_at(key)
        second.manager.look_at(late)
        await asyncio.sleep(5)
        await second.kill()
        return noting.seen

    seen = run(main())
    assert seen[0] == "late"
    assert sorted(seen) == sorted([*(f"w{number}" for number in range(9)), "late"])


def test_to_look_at_what_is_not_there_does_nothing() -> None:
    async def main() -> list[str]:
        noting = Noting()
        process = Process(FakeApi(), [noting])
        await process.start()
        process.manager.look_at(Key("Widget", "default", "never"))
        await asyncio.sleep(5)
        await process.kill()
        return noting.seen

    assert run(main()) == []


def test_those_that_are_held_come_in_the_order_in_which_their_hosts_answered() -> None:
    """VMs of one host need the same objects: side by side they are looked at with each of these parsed once."""

    async def main() -> list[str]:
        api = FakeApi()
        keys = [api.create("Widget", f"w{number}", size=1) for number in range(6)]
        first = Process(api, [Noting()])
        await first.start()
        await asyncio.sleep(5)
        await first.kill()
        noting, loop = Noting(), asyncio.get_running_loop()
        calm_at = loop.time() + 10
        second = Process(api, [noting], workers=1, settled_after={"Widget": 1000.0}, calm=lambda: loop.time() >= calm_at)
        await second.start()
        await asyncio.sleep(1)
        for number in (5, 1, 4, 0):
            second.manager.look_at(keys[number])
        second.manager.look_at(keys[1])
        await asyncio.sleep(5)
        assert noting.seen == []
        await asyncio.sleep(10)
        await second.kill()
        return noting.seen

    assert run(main()) == ["w2", "w3", "w5", "w4", "w0", "w1"]
