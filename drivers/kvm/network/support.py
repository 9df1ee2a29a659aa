"""What a host can carry its guests' segments with, and why not with the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from drivers.errors import AuthFailed, DriverError, InvalidSpec, Transient, Unanswered, Unsupported
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.switches import Switches
from drivers.types import NetworkBackend, NetworkSupport

LOOKS = 300.0
"""Seconds between two looks whether the rules on Open vSwitch are there: each is two logins or more."""

_NO_FILTERS = "this host's libvirt has no network filters, so guests can claim any address: install its nwfilter driver"
_NO_PORT_RULES = "without rules on the ports of Open vSwitch, set over SSH, guests can claim any address of their segment"
_NOT_ROOT = "to change interfaces and ports of the host, Vireo must log in as root"
_NOT_SEEN = "whether the host has Open vSwitch is seen over SSH only"


class Networks:
    """Asked when the host is connected, again as long as the host did not let Vireo in over SSH, and when rules are gone from its
    Open vSwitch, which forgets them when it is started anew. On that occasion rules are removed whose port has gone. Safe to use
    from threads.
    """

    def __init__(
        self,
        shell: Shell,
        segments: Segments,
        switches: Switches,
        sync: Callable[[Sequence[str]], None],
        *,
        filters: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`filters`: whether its libvirt has network filters. `sync` guards all ports, on these bridges of Open vSwitch. `clock`
        gives monotonic seconds. `asked` tells whether the last `support` asked the host for more than the removal of rules, or in
        vain, and may have waited.
        """
        self.asked = False
        self._shell = shell
        self._segments = segments
        self._switches = switches
        self._sync = sync
        self._filters = filters
        self._lock = threading.Lock()
        self._known: tuple[NetworkSupport, ...] = ()
        self._clock = clock
        self._looked = clock()

    def support(self) -> tuple[NetworkSupport, ...]:
        """One entry for each backend. Never raises: what goes wrong is in the message of the backend that it keeps away."""
        with self._lock:
            self.asked = False
            if self._known and not self._lost_rules():
                return self._known
            self.asked = not self._shell.missing
            found, lasting = self._survey()
            self._known = found if lasting else ()
            self._looked = self._clock()
            return found

    def _lost_rules(self) -> bool:
        """Whether guests on Open vSwitch are not guarded any more, looked at now and then. A login that fails tells nothing.

        Between two looks rules go whose port is said to have gone.
        """
        if not self._switches.able:
            return False
        if self._clock() < self._looked + LOOKS:
            self._tidy()
            return False
        self._looked, self.asked = self._clock(), True
        try:
            return not self._switches.intact()
        except (Unanswered, AuthFailed):
            return False
        except DriverError:  # the bridge is gone, or Open vSwitch does not run
            return True

    def _tidy(self) -> None:
        """What can't be removed is left to the next look; a host that answered may be asked other things at once."""
        try:
            self._switches.tidy()
        except (Unanswered, AuthFailed):
            self.asked = True
        except DriverError:  # the bridge is gone, for example, and its rules with it
            pass

    def _survey(self) -> tuple[tuple[NetworkSupport, ...], bool]:
        """What was found, and whether it need not be asked again."""
        self._switches.able = False
        try:
            obstacle = self._obstacle()
            bridges, reason = self._bridges()
            reason = reason or (self._guard_ports(bridges, obstacle) if bridges else "")
        except (Transient, AuthFailed) as error:
            return self._told(error.message, None, error.message), False
        return self._told(obstacle, None if bridges is None else bool(bridges), reason), True

    def _guard_ports(self, bridges: Sequence[str], obstacle: str) -> str:
        """Why guests on Open vSwitch are not guarded; empty once they are."""
        if obstacle:
            return obstacle
        try:
            self._sync(bridges)
        except (Unsupported, InvalidSpec) as error:
            return error.message
        return ""

    def _told(self, obstacle: str, switches: bool | None, reason: str) -> tuple[NetworkSupport, ...]:
        able, unguarded = self._switches.able, "" if self._filters else _NO_FILTERS
        return (
            NetworkSupport(NetworkBackend.OVS, switches, able, reason if able else _joined(reason, _NO_PORT_RULES)),
            NetworkSupport(NetworkBackend.BRIDGE, True, self._filters, unguarded),
            NetworkSupport(NetworkBackend.LINUX, not obstacle, self._filters, _joined(obstacle, unguarded)),
        )

    def _obstacle(self) -> str:
        """Why Vireo cannot make interfaces on the host; empty if it can. Learns of those that it made before."""
        if self._shell.missing:
            return self._shell.missing
        try:
            if self._shell.run(Command.WHO).strip() != "0":
                return _NOT_ROOT
            self._segments.look()
        except Unsupported as error:
            return error.message
        return ""

    def _bridges(self) -> tuple[Sequence[str] | None, str]:
        """Bridges of Open vSwitch; None where they cannot be seen. With the reason if there are none."""
        if self._shell.missing:
            return None, _NOT_SEEN
        try:
            bridges = self._shell.run(Command.LIST_SWITCHES).split()
        except AuthFailed:
            raise
        except DriverError as error:
            return [], error.message
        return bridges, "" if bridges else "Open vSwitch has no bridge on the host"


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))
