"""Which hypervisor is behind which Host: one Host for each, and the same one as long as VMs are on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from crds.v1alpha1 import Host


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a Host must not use the hypervisor that answers under its endpoint."""

    reason: str
    message: str


class Identities:
    """The hypervisors' own identifiers as seen behind the Hosts, and which Host was first let in, in memory."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._of: dict[str, str] = {}
        self._hosts: dict[str, set[str]] = defaultdict(set)

    def note(self, host: str, native_id: str) -> None:
        """Record that this identifier was seen behind this Host."""
        if self._of.get(host) != native_id:
            self.forget(host)
            self._of[host] = native_id
            self._hosts[native_id].add(host)

    def forget(self, host: str) -> None:
        """The Host is gone."""
        native_id = self._of.pop(host, None)
        if native_id is not None:
            self._hosts[native_id].discard(host)
            if not self._hosts[native_id]:
                del self._hosts[native_id]
            if self._holders.get(native_id) == host:
                del self._holders[native_id]

    def admit(self, host: str) -> None:
        """The Host may use the hypervisor seen behind it: until its status says so, memory does."""
        self._holders[self._of[host]] = host

    def holder(self, host: str) -> str | None:
        """The Host that was let in last to the hypervisor behind this one, by name."""
        return self._holders.get(self._of.get(host, ""))

    def rivals(self, host: str) -> list[str]:
        """Other Hosts that the same hypervisor was seen behind, by name."""
        native_id = self._of.get(host)
        return sorted(self._hosts[native_id] - {host}) if native_id is not None else []


def refusal(host: Host, native_id: str, rivals: Iterable[Host], carries_vms: bool, holder: str | None = None) -> Refusal | None:
    """Whether the Host must not use the hypervisor `native_id` that answers.

    Another hypervisor than before is refused while VMs are recorded on the Host: they would read as deleted, and be made a second
    time. Of several Hosts with the same hypervisor, the one that had it first is right: it has recorded the identifier; else it has
    lost its status but still our finalizer, which comes with the first contact; else it was let in by this process, where the
    record is still being written (`holder`); else it is the older.
    """
    if carries_vms and host.status.native_id not in (None, native_id):
        known = host.status.native_id
        return Refusal("HostReplaced", f"another hypervisor answers: {native_id} and not {known}, which carries this host's VMs")
    first = min([host, *rivals], key=lambda each: _claim(each, native_id, holder))
    if first is host:
        return None
    return Refusal("DuplicateHost", f"host {first.metadata.name} is the same hypervisor ({native_id})")


def _claim(host: Host, native_id: str, holder: str | None) -> tuple[bool, bool, bool, str, str]:
    """Sorts the best claim first."""
    meta, known = host.metadata, host.status.native_id
    had_it = known is None and bool(meta.finalizers)
    return known != native_id, not had_it, meta.name != holder, meta.creation_timestamp or "", meta.uid
