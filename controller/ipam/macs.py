"""MAC addresses that are pinned: each belongs to one NIC in a zone, or two guests would answer for one address."""

from __future__ import annotations

from collections.abc import Collection

from controller.ipam.ledger import Owner
from controller.ipam.refusal import Reason, Refusal

__all__ = ["PinnedMACs"]


class PinnedMACs:
    """Who pins which MAC address, by zone. Whoever has one keeps it until it is released."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], Owner] = {}
        self._held: dict[str, set[tuple[str, str]]] = {}

    def hold(self, zone: str, mac: str, owner: Owner) -> Refusal | None:
        """Take a MAC address for a NIC, again at no cost; refused while another NIC of the zone has it."""
        holder = self._holders.setdefault((zone, mac), owner)
        if holder != owner:
            return Refusal(Reason.MAC_IN_USE, f"MAC address {mac} of {owner.part} is pinned by {holder} too, which has it", holder)
        self._held.setdefault(owner.uid, set()).add((zone, mac))
        return None

    def holder(self, zone: str, mac: str) -> Owner | None:
        """The NIC of a zone that has this MAC address pinned."""
        return self._holders.get((zone, mac))

    def keep(self, owner: Owner, mac: str | None) -> None:
        """Give back what this NIC has beside this one MAC address; all if it pins none any more."""
        self._drop(owner.uid, {each for each in self._held.get(owner.uid, ()) if self._holders[each] == owner and each[1] != mac})

    def hand_over(self, zone: str, mac: str, owner: Owner) -> None:
        """Give a MAC address that another NIC of the same object has to this one, which is to have it in its place."""
        holder = self.holder(zone, mac)
        if holder is None or holder.uid != owner.uid:
            raise ValueError(f"{mac} of {zone} is not {owner}'s to hand over")
        self._holders[zone, mac] = owner

    def retain(self, uid: str, macs: Collection[str]) -> None:
        """Give back what the NICs of the object with this uid have beside these MAC addresses."""
        self._drop(uid, {each for each in self._held.get(uid, ()) if each[1] not in macs})

    def release_all(self, uid: str) -> None:
        """Give back what all NICs of the object with this uid have."""
        self._drop(uid, set(self._held.get(uid, ())))

    def _drop(self, uid: str, entries: set[tuple[str, str]]) -> None:
        for entry in entries:
            del self._holders[entry]
        left = self._held.get(uid, set()) - entries
        if left:
            self._held[uid] = left
        else:
            self._held.pop(uid, None)
