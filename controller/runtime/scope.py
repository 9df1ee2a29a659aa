"""What is being reconciled here, for whoever logs: in this task, and in the threads that make its calls (`lanes`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, replace
from typing import Any

from controller.runtime import jobs
from controller.runtime.keys import Key


@dataclass(frozen=True, slots=True)
class Scope:
    """One reconcile; `object` is its draft, whose job may begin at any time, `shard` the one whose work this is.

    What a reconcile began and outlives it has neither its id nor the draft, see `lasting`.
    """

    key: Key
    reconcile: str
    object: Any
    shard: int = 0

    def fields(self) -> dict[str, str]:
        """What a log line says of it: kind, namespace, name, reconcile id, and the id of the job under way."""
        key = self.key
        found = {"kind": key.kind, "namespace": key.namespace, "name": key.name}
        if self.object is None:
            return found
        found["reconcile"] = self.reconcile
        job = getattr(self.object.status, "job", None)
        return found | {"job": job.id} if job is not None and jobs.running(job) else found


_current: ContextVar[Scope | None] = ContextVar("reconcile", default=None)


def current() -> Scope | None:
    """The reconcile that this code runs for, None if it runs for none."""
    return _current.get()


@contextmanager
def entered(scope: Scope) -> Iterator[None]:
    """Have everything in the block, and what it starts, run for this reconcile."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


def lasting() -> Context:
    """A context for what outlives this reconcile: it tells for which object that was begun, and holds nothing else of it."""
    context, here = copy_context(), current()
    if here is not None:
        context.run(_current.set, replace(here, reconcile="", object=None))
    return context
