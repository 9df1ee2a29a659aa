"""How often an endpoint is looked at, and how soon it is tried again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from controller.inventory.outcomes import is_refusal
from drivers.errors import DriverError
from drivers.types import Capability

_SPREAD: Final = 0.1
_CRC32: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often, in seconds, a session looks at its endpoint; per endpoint, whatever the number of VMs.

    `heartbeat` lists the hosts. `resync` observes all VMs where native events tell of changes, `untold` where they don't tell of
    all, `poll` where there are none.
    `first_retry` doubles up to `last_retry` while the endpoint can't be reached, and starts anew once a connection has lasted
    longer than that. `gather` is how long changes that may concern any VM are gathered before all are observed. `first_refused`
    doubles up to `last_refused` while an endpoint refuses us: soon enough to notice a repair on its side, and too rarely to get an
    account locked, for which vCenter by default counts five failures within 180 seconds.
    """

    heartbeat: float = 15.0
    resync: float = 600.0
    untold: float = 60.0
    poll: float = 30.0
    first_retry: float = 1.0
    last_retry: float = 30.0
    first_refused: float = 60.0
    last_refused: float = 300.0
    gather: float = 1.0

    def looks(self, capabilities: Collection[Capability], url: str) -> float:
        """Seconds between two looks at all VMs of the endpoint at `url`.

        Where events leave something out there are ten times as many looks: each endpoint has a pace of its own, up to a tenth
        more or less, so that those that were connected together are not looked at together for ever.
        """
        if Capability.EVENTS not in capabilities:
            return self.poll
        if Capability.DEFINITION_EVENTS in capabilities:
            return self.resync
        return self.untold * (1 + _SPREAD * (2 * crc32(url.encode()) / _CRC32 - 1))


class Pace:
    """Tells when an endpoint is tried again."""

    def __init__(self, cadence: Cadence) -> None:
        self._cadence = cadence
        self._lost, self._refused = cadence.first_retry, cadence.first_refused

    def after(self, failure: DriverError, lasted: float) -> float:
        """Seconds until the next attempt, after one that ended with `failure` when it had `lasted` so many seconds."""
        if lasted > self._cadence.last_retry:
            self._lost, self._refused = self._cadence.first_retry, self._cadence.first_refused
        if is_refusal(failure):
            pause, self._refused = self._refused, min(2 * self._refused, self._cadence.last_refused)
        else:
            pause, self._lost = self._lost, min(2 * self._lost, self._cadence.last_retry)
        return pause
