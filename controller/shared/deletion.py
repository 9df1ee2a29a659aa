"""Deletion of what others may use: it waits for its users and names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.objects import Resource
from controller.runtime.results import Result, waiting
from controller.runtime.store import Store

IN_USE = "InUse"
FORCE_DELETE = "vireo.dev/force-delete"
_NAMED = 10

T = TypeVar("T", bound=Resource)


def listing(names: Sequence[object]) -> str:
    """Names for a message, at most ten of them: `a, b and 3 more`."""
    shown = ", ".join(str(name) for name in names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def blocked(ctx: Context[Any], users: Sequence[object], retry_after: float | None = None) -> Result | None:
    """Condition InUse and the result for an object whose deletion must wait for these users; None if there are none.

    `retry_after` seconds it is looked at again, where no watch tells that a user has gone.
    """
    if not users:
        ctx.conditions.remove(IN_USE)
        return None
    message = f"deletion waits for {len(users)} that use it: {listing(users)}"
    ctx.conditions.set(IN_USE, True, IN_USE, message)
    return waiting(IN_USE, message, retry_after=retry_after)


def forced(ctx: Context[Any]) -> bool:
    """Whether the user gave up what an unreachable hypervisor holds of this very object: the annotation repeats its uid."""
    return bool(ctx.object.metadata.annotations.get(FORCE_DELETE) == ctx.uid)


def if_deleting(kind: type[T], names: Callable[[Any], Iterable[str]]) -> Callable[[Any, Store], Iterable[Key]]:
    """For a watch on users: the keys of those cluster-scoped objects of `kind`, by name, whose deletion may wait for the user."""

    def keys(user: Any, store: Store) -> Iterable[Key]:
        found = ((name, store.get(kind, name)) for name in names(user))
        return [Key(kind.KIND, "", name) for name, used in found if used and used.metadata.deletion_timestamp]

    return keys


def existence(_: object) -> object:
    """For a watch: wakes only when an object appears or disappears."""
    return True
