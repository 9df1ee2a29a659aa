"""Which keys a change wakes: the object itself, and those that watch it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from structlog.typing import FilteringBoundLogger

from controller.runtime.keys import Key
from controller.runtime.queue import Priority
from controller.runtime.reconciler import Reconciler, Watch
from controller.runtime.store import Change, Part, Store

_USER = Part.CREATED | Part.DELETED | Part.SPEC | Part.DELETION | Part.ANNOTATIONS | Part.LABELS


@dataclass(frozen=True, slots=True)
class Wake:
    """A key to be queued, in `delay` seconds."""

    key: Key
    priority: Priority
    delay: float = 0.0


class Triggers:
    """Routes changes to keys, from the watches that the reconcilers declare."""

    def __init__(self, store: Store, reconcilers: Sequence[Reconciler[Any]], log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log
        self._own = {reconciler.kind.KIND for reconciler in reconcilers}
        self._watches: dict[str, list[Watch]] = defaultdict(list)
        for reconciler in reconcilers:
            for watch in reconciler.watches:
                self._watches[watch.kind.KIND].append(watch)

    def of(self, change: Change, *, own: bool) -> Iterator[Wake]:
        """Yield what a change wakes; our own write doesn't wake its own object, except by making it disappear."""
        if change.key.kind in self._own and (not own or change.gone):
            yield Wake(change.key, Priority.USER if change.parts & _USER else Priority.DEPENDENCY)
        for watch in self._watches.get(change.key.kind, ()):
            for key in self._watchers(watch, change):
                yield Wake(key, Priority.DEPENDENCY, watch.settle)

    def _watchers(self, watch: Watch, change: Change) -> Iterable[Key]:
        """Return whom one watch wakes; one that raises is reported and wakes nobody, the rest go on."""
        try:
            before, after = change.before(), change.after()
            if watch.of is not None and before is not None and after is not None and watch.of(before) == watch.of(after):
                return ()
            return {key for obj in (before, after) if obj is not None for key in watch.keys(obj, self._store)}
        except Exception as error:
            self._log.error("watch failed", changed=str(change.key), exc_info=error)
            return ()
