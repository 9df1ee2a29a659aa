"""What a reconciler gets to work with: one object, and everything it may do to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from controller.runtime.clock import Clock
from controller.runtime.conditions import Conditions
from controller.runtime.keys import Key
from controller.runtime.objects import ConditionFactory, Resource
from controller.runtime.ports import EventType
from controller.runtime.queue import Priority
from controller.runtime.results import requeue
from controller.runtime.session import Session
from controller.runtime.store import Store

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T", bound=Resource)


class Context(Generic[T]):
    """One reconcile of one object.

    `object` is a private copy: its `status` is the draft, to be changed in place; the rest is read only.  When the reconcile
    returns, the manager adds the
    conditions of its result and writes the draft once, only if it differs from what the API has.  Objects from `store` are
    shared: never change them.
    """

    def __init__(
        self,
        session: Session[T],
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
        make_condition: ConditionFactory,
        record: Callable[[Key, str, EventType, str, str], None],
        enqueue: Callable[[Key, Priority], None],
    ) -> None:
        self.store = store
        self.clock = clock
        self.log = log
        self._session = session
        self._make_condition = make_condition
        self._record = record
        self._enqueue = enqueue

    @property
    def object(self) -> T:
        """The object under reconcile; its status is the draft."""
        return self._session.object

    @property
    def key(self) -> Key:
        """The object's key."""
        return self._session.key

    @property
    def uid(self) -> str:
        """The object's uid: the root of every identity derived from it."""
        return self._session.uid

    @property
    def deleting(self) -> bool:
        """Whether deletion was asked for."""
        return self.object.metadata.deletion_timestamp is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether our finalizer is on the object, as of the last write."""
        return self._session.has_finalizer

    @property
    def conditions(self) -> Conditions:
        """The draft's conditions; for those that are not Ready, Reconciling or Stalled, which follow from the result."""
        return Conditions(self.object.status.conditions, self._make_condition, self.object.metadata.generation, self.clock.now())

    async def save(self, reason: str = "Progressing", message: str = "") -> None:
        """Write the draft now, before an action whose intent must outlive a crash.

        The object then reads as being worked on (Ready=False, Reconciling=True with `reason`), whatever comes after.  Nothing is
        written when the API has all that already.  Raises ApiError: let it pass, the reconcile must end before any driver call.
        """
        self.conditions.apply(requeue(0, reason, message))
        await self._session.write_status()

    async def add_finalizer(self) -> None:
        """Put our finalizer on the object, before anything is made for it outside.

        One write, none when it is there.  Raises ApiError.
        """
        await self._session.add_finalizer()

    async def remove_finalizer(self) -> None:
        """Let the object go, when nothing of it is left outside.  One write, none when it isn't there.  Raises ApiError."""
        await self._session.remove_finalizer()

    def event(self, type: EventType, reason: str, message: str) -> None:
        """Write a Kubernetes Event, on a transition only.  Best effort: never fails, repeats of the last one are dropped."""
        self._record(self.key, self.uid, type, reason, message)

    def enqueue(self, key: Key, priority: Priority = Priority.DEPENDENCY) -> None:
        """Have another object (or this one again) reconciled soon."""
        self._enqueue(key, priority)
