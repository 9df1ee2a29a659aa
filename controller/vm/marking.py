"""Calls that put our mark on a VM, until they have returned, however late: what they may still do is not to outlive the object."""

from __future__ import annotations

from functools import partial

from controller.inventory import HostLink
from drivers.adoption import Adoption
from drivers.types import Done, InstanceID, Started


class Marking:
    """One call at a time for an object: as long as nobody knows what it does, no other is made."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()

    def under_way(self, uid: str) -> bool:
        """Whether a call for this object that is awaited no longer may still put its mark on a VM."""
        return uid in self._under_way

    def took_effect(self, uid: str) -> None:
        """The mark was seen: whenever the call returns, it has nothing left to do."""
        self._under_way.discard(uid)

    async def mark(self, uid: str, link: HostLink, instance: InstanceID, adoption: Adoption) -> Done | Started:
        """Put the mark on a VM. Raises DriverError."""
        self._under_way.add(uid)
        return await link.adopt(instance, adoption, partial(self._under_way.discard, uid))
