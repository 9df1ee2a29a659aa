"""The record of all versions of objects: who waits for a part of it finds all that came before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.support.live.api import Api
from tests.support.live.history import History

Manifest = dict[str, Any]


def version(number: int, generation: int = 1) -> Manifest:
    return {"metadata": {"name": "web", "uid": "u", "generation": generation, "resourceVersion": str(number)}}


class Watched:
    """An API server with one object that is gone, of which the watch tells only what the test takes itself."""

    closed = True

    def version(self, kind: str) -> str:
        return "1"

    def get(self, kind: str, name: str) -> Manifest | None:
        return None

    def watch(self, kind: str, since: str) -> Iterator[Manifest]:
        yield from ()


class Looking(list[Any]):
    """Somebody looks at the history in the very moment in which it is known that an object is gone."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self.seen: list[int] = []

    def append(self, name: Any) -> None:
        super().append(name)
        self.seen.append(self._history.writes(name))


@pytest.fixture
def history() -> History:
    return History(cast("Api", Watched()), "VirtualMachine")


def test_what_is_known_to_be_gone_has_all_its_versions(history: History) -> None:
    """The last write, which took the finalizer away, too."""
    history.deleted = looking = Looking(history)
    for number, (type, generation) in enumerate((("ADDED", 1), ("MODIFIED", 1), ("MODIFIED", 2), ("DELETED", 2)), 2):
        history._take({"type": type, "object": version(number, generation)})
    assert looking.seen == [2]
    assert len(history.of("web")) == len(history.seen_at) == 4


def test_an_error_of_the_watch_is_no_version(history: History) -> None:
    with pytest.raises(RuntimeError, match="410"):
        history._take({"type": "ERROR", "object": {"code": 410}})
    assert history.versions == []
