"""Connecting in a thread that may outlive our patience."""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller.inventory.lanes import Lanes
from drivers.base import Connection, Driver
from drivers.errors import Unanswered
from drivers.types import Endpoint


class _Opening:
    """One attempt to connect. Whoever comes second, the connection or the end of our patience, closes the connection."""

    def __init__(self, load: Callable[[], Driver], endpoint: Endpoint) -> None:
        self._load = load
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._given_up = False

    def open(self) -> Connection:
        """Load the driver and connect; runs in a thread."""
        connection = self._load().connect(self._endpoint)
        with self._lock:
            late = self._given_up
            self._connection = connection
        if late:
            connection.close()
            raise Unanswered("connected too late")
        return connection

    def give_up(self) -> Connection | None:
        """Wait no longer; returns a connection that was made but not delivered."""
        with self._lock:
            self._given_up = True
            return self._connection


async def opened(lanes: Lanes, load: Callable[[], Driver], endpoint: Endpoint) -> Connection:
    """A new connection to the endpoint; one that is made too late, or after a cancellation, is closed again.

    Raises what `Driver.connect` raises, Busy while earlier attempts still hang.
    """
    opening = _Opening(load, endpoint)
    try:
        return await lanes.connect(opening.open)
    except BaseException:
        undelivered = opening.give_up()
        if undelivered is not None:
            threading.Thread(target=undelivered.close, daemon=True).start()
        raise
