"""VMs that announce themselves on an endpoint where nobody made them: moved there, or not ours at all."""

from __future__ import annotations

from collections.abc import Iterable

from drivers.types import InstanceID

_REMEMBERED = 4096


class Strangers:
    """Instances to look for, and those looked for in vain: VMs of others are not to cost a look with each of their events."""

    def __init__(self) -> None:
        self._new: set[InstanceID] = set()
        self._others: set[InstanceID] = set()

    def meet(self, instance: InstanceID) -> bool:
        """Note an instance that made itself heard. False if it is known not to be ours."""
        if instance in self._others:
            return False
        self._new.add(instance)
        return True

    def looked(self, ours: Iterable[InstanceID]) -> None:
        """Everything was looked at; what is not among `ours` belongs to others."""
        self._others |= self._new - set(ours)
        self._new.clear()
        if len(self._others) > _REMEMBERED:
            self._others.clear()

    def forget(self) -> None:
        """Give all of them another chance."""
        self._others.clear()
