"""The order in which a new process looks at what is there."""

from __future__ import annotations

import asyncio

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Result, done

from .fakes import FakeApi
from .models import Widget
from .virtual import run
from .world import Process


class Noting:
    """Is content with everything, and notes what it was shown."""

    kind = Widget
    watches = ()

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def reconcile(self, ctx: Context[Widget]) -> Result:
        self.seen.append(ctx.key.name)
        return done("Seen")

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
