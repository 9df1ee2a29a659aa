"""What changed when: one growing number, a revision for each host, and bounded logs that native events are read from."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

from drivers.types import Event, HostChanged, HostID, InstanceID, VMChanged

from .model import Host

__all__ = ["Changes", "News"]

LOG_SIZE = 200_000
HOST_LOG_SIZE = 64


class News(NamedTuple):
    """Events after a cursor, each object once; `lost` when older ones had to be dropped."""

    cursor: int
    events: tuple[Event, ...]
    lost: bool


class _Log:
    """The last changes, newest at the right. `dropped` is the number of the newest one that was forgotten."""

    __slots__ = ("dropped", "entries")

    def __init__(self, size: int, dropped: int) -> None:
        self.entries: deque[tuple[int, Event]] = deque(maxlen=size)
        self.dropped = dropped

    def append(self, number: int, event: Event) -> None:
        if len(self.entries) == self.entries.maxlen:
            self.dropped = self.entries[0][0]
        self.entries.append((number, event))

    def after(self, cursor: int) -> tuple[Event, ...]:
        newest_first: dict[Event, None] = {}
        for number, event in reversed(self.entries):
            if number <= cursor:
                break
            newest_first.setdefault(event)
        return tuple(reversed(newest_first))


class Changes:
    """The change counter, and who changed. Reading costs what has changed, not what there is."""

    def __init__(self, log_size: int = LOG_SIZE) -> None:
        self.number = 0
        self._log = _Log(log_size, 0)
        self._host_logs: dict[HostID, _Log] = {}
        self._hosts: OrderedDict[HostID, int] = OrderedDict()
        self.touched: set[HostID] = set()
        """Hosts changed since the reader cleared it: whom to wake."""

    def vm(self, host: Host, instance: InstanceID) -> None:
        """A VM on `host` changed, came or went."""
        self._note(host, VMChanged(instance))

    def host(self, host: Host) -> None:
        """A host changed."""
        self._note(host, HostChanged(host.host))

    def untold(self, host: Host) -> None:
        """Something on `host` changed without an event."""
        self.number += 1
        host.revision = self.number
        self._hosts[host.host] = self.number
        self._hosts.move_to_end(host.host)

    def _note(self, host: Host, event: Event) -> None:
        self.untold(host)
        self._log.append(self.number, event)
        if (log := self._host_logs.get(host.host)) is not None:
            log.append(self.number, event)
        self.touched.add(host.host)

    def subscribe(self, host: HostID | None = None) -> int:
        """Cursor for `news` from now on. A host keeps a log of its own from its first subscription."""
        self._log_of(host)
        return self.number

    def news(self, cursor: int, host: HostID | None = None) -> News:
        """Events after `cursor`, of one host or of all."""
        log = self._log_of(host)
        return News(self.number, log.after(cursor), lost=log.dropped > cursor)

    def _log_of(self, host: HostID | None) -> _Log:
        if host is None:
            return self._log
        if (log := self._host_logs.get(host)) is None:
            log = self._host_logs[host] = _Log(HOST_LOG_SIZE, self._hosts.get(host, 0))
        return log

    def hosts_after(self, cursor: int, only: HostID | None = None) -> list[tuple[HostID, int]]:
        """Hosts with their revisions that changed after `cursor`, oldest change first."""
        if only is not None:
            number = self._hosts.get(only, 0)
            return [(only, number)] if number > cursor else []
        found: list[tuple[HostID, int]] = []
        for host, number in reversed(self._hosts.items()):
            if number <= cursor:
                break
            found.append((host, number))
        found.reverse()
        return found
