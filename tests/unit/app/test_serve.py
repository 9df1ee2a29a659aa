"""One term follows another; after one that crashed there is a pause, and no process ever ends by itself for that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from controller import app
from controller.kube.credentials import CredentialsError
from controller.kube.run import Crashed
from controller.settings import Settings
from tests.unit.runtime.virtual import LoopClock, run

End = tuple[float, Exception | None]


def terms(
    monkeypatch: pytest.MonkeyPatch, ends: Sequence[End], after: Callable[[asyncio.Event], Any] = asyncio.Event.set
) -> list[float]:
    """Serve for terms that last so many seconds and end so, then `after`; returns when each term began."""
    begun: list[float] = []
    log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[])

    async def term(_settings: object, _identity: str, stop: asyncio.Event, _log: object) -> None:
        loop = asyncio.get_running_loop()
        begun.append(loop.time())
        seconds, error = ends[len(begun) - 1]
        await asyncio.sleep(seconds)
        if len(begun) == len(ends):
            after(stop)
        if error is not None:
            raise error

    async def main() -> None:
        settings = Settings(kubeconfig=Path("none"), identity="one", image_directory=Path("none"))
        await app.serve(settings, asyncio.Event(), cast("Any", log))

    monkeypatch.setattr(app, "_term", term)
    monkeypatch.setattr(app, "SystemClock", LoopClock)
    run(main())
    return begun


def test_terms_that_end_in_order_follow_each_other_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terms(monkeypatch, [(5, None), (5, None), (5, None)]) == [0, 5, 10]


def test_crashes_are_followed_by_longer_and_longer_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = terms(monkeypatch, [(1, Crashed())] * 9)
    assert [after - before - 1 for before, after in itertools.pairwise(begun)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_a_term_that_went_well_for_long_the_pause_is_short_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = terms(monkeypatch, [(1, Crashed()), (1, Crashed()), (1000, Crashed()), (1, None)])
    assert begun == [0, 2, 5, 1006]


def test_a_stop_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    def soon(stop: asyncio.Event) -> None:
        asyncio.get_running_loop().call_later(2.5, stop.set)

    begun = terms(monkeypatch, [(1, Crashed())] * 4, soon)
    assert begun == [0, 2, 5, 10]


@pytest.mark.parametrize("error", [OSError("the port is taken"), CredentialsError("no kubeconfig")])
def test_what_only_a_person_can_mend_ends_the_process(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        terms(monkeypatch, [(1, Crashed()), (1, error)])
