"""What a kind's reconciler is: one class per kind, called by the manager with one object at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.objects import Resource
from controller.runtime.results import Result
from controller.runtime.store import Store

T = TypeVar("T", bound=Resource)


@dataclass(frozen=True, slots=True)
class Watch:
    """Wake other objects when one of `kind` changes.

    `keys(object, store)` returns the keys to wake; it is called with the object before and after the change, so that what it
    referred to before is woken too.  It runs for every change: look keys up in an index, don't list.

    `settle` seconds pass before they are woken, once for all changes within them: for sums over many objects, where each
    single change would cost a write.

    `of(object)` narrows that to the changes that matter: nobody is woken while it returns equal values before and after.
    """

    kind: type[Any]
    keys: Callable[[Any, Store], Iterable[Key]]
    of: Callable[[Any], object] | None = None
    settle: float = 0.0


class Reconciler(Protocol[T]):
    """Drives the objects of one kind towards their spec.

    `reconcile` may run for many objects at once, never twice at once for one object.  It must converge when called again after
    a crash at any point.  It may raise anything: the manager turns exceptions into a retried failure.
    """

    @property
    def kind(self) -> type[T]:
        """The kind whose objects are reconciled."""
        ...

    @property
    def watches(self) -> Sequence[Watch]:
        """What else wakes them."""
        ...

    async def reconcile(self, ctx: Context[T]) -> Result:
        """Drive one object one step towards its spec and say how it went."""
        ...

    def forget(self, key: Key, uid: str) -> None:
        """Release what is held in memory for an object that is gone from the API."""
        ...
