"""Control of a running simulator: faults, acts behind Vireo's back, and the census."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from drivers.types import Credentials

from .client import SocketTransport
from .connect import parse_url
from .connection import Session, Transport
from .engine.actions import Act, Action
from .engine.census import Census
from .engine.faults import Fault
from .polls import Polls

__all__ = ["Control", "open_control"]

NOBODY = Credentials()


class Control:
    """A session for control. Raises DriverError as drivers do."""

    def __init__(self, transport: Transport, credentials: Credentials = NOBODY) -> None:
        self._session = Session(transport, credentials, "")

    def add_fault(self, fault: Fault) -> int:
        """Put a fault in force; returns its number."""
        number: int = self._call("add_fault", fault)
        return number

    def list_faults(self) -> dict[int, Fault]:
        """Faults in force by number."""
        faults: dict[int, Fault] = self._call("list_faults")
        return faults

    def clear_faults(self) -> None:
        """End all faults."""
        self._call("clear_faults")

    def act(self, act: Act, target: str = "", value: str = "") -> None:
        """Do something behind Vireo's back."""
        self._call("act", Action(act, target, value))

    def set_durations(self, durations: dict[str, float]) -> None:
        """Seconds that native tasks take from now on, by method; those not named are done at once."""
        self._call("set_durations", durations)

    def set_guests(self, boot: float, shutdown: float) -> None:
        """Seconds that guests take from now on to boot and to obey a soft stop."""
        self._call("set_guests", boot, shutdown)

    def census(self) -> Census:
        """Everything that exists."""
        census: Census = self._call("census")
        return census

    def close(self) -> None:
        """Log out."""
        self._session.close()

    def _call(self, method: str, *args: Any) -> Any:
        return self._session.call(f"control.{method}", *args)

    def __enter__(self) -> Control:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def open_control(url: str, credentials: Credentials = NOBODY) -> Control:
    """Control the simulator at `simulator://HOST:PORT`. Raises InvalidSpec, Transient, AuthFailed."""
    target = parse_url(url)
    return Control(SocketTransport(target.address, Polls(), timeout=target.timeout), credentials)
