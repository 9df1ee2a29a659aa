"""What a driver may raise.

    DriverError
    ├── Transient      try again with backoff; the outcome of a mutating call may be unknown
    │   ├── Unanswered the same, and nothing was heard: other calls of the endpoint will hardly fare better
    │   ├── StorageUnavailable  the same, for want of a server of storage: calls for other pools fare well
    │   └── NetworkMissing  the same, for want of what a NIC is plugged in to: calls for other networks fare well
    ├── Busy           try again after a fixed delay; the hypervisor is at work on this object
    ├── NotFound       the object does not exist
    ├── NoRoom         a pool has too little room now: nothing was changed; try again when it has more
    ├── Conflict       an object with this identity exists and is not ours, or is in a state that forbids the call
    ├── InvalidSpec    the hypervisor will never accept this; wait for another generation of the spec
    ├── AuthFailed     credentials or certificates were refused; wait until the Secret changes
    └── Unsupported    this hypervisor, or this version of it, cannot do that

The names follow what a caller must do next, not what went wrong inside.
"""

from __future__ import annotations

from drivers.types import show_size

__all__ = [
    "AuthFailed",
    "Busy",
    "Conflict",
    "DriverError",
    "InvalidSpec",
    "NetworkMissing",
    "NoRoom",
    "NotFound",
    "StorageUnavailable",
    "Transient",
    "Unanswered",
    "Unsupported",
]


class DriverError(Exception):
    """A call to a hypervisor failed.

    `message` is for people: what was tried, on which object, in one sentence, without credentials.
    `native_code` is the hypervisor's own error code, for example `VIR_ERR_NO_DOMAIN`; empty if it gave none.
    """

    reason = "DriverError"

    def __init__(self, message: str, *, native_code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.native_code = native_code

    def __str__(self) -> str:
        return f"{self.message} ({self.native_code})" if self.native_code else self.message


class Transient(DriverError):
    """The call failed for a reason that may pass.

    With `outcome_unknown` the connection was lost after a mutating call was sent: the caller observes afresh before it
    tries anything again.
    """

    reason = "HypervisorUnavailable"

    def __init__(self, message: str, *, native_code: str = "", outcome_unknown: bool = False) -> None:
        super().__init__(message, native_code=native_code)
        self.outcome_unknown = outcome_unknown


class Unanswered(Transient):
    """Nothing was heard: the hypervisor can't be reached, the connection was lost or closed, or time ran out.

    An endpoint that does so several times in a row is left alone for a while, with all its hosts. So a refusal, however it came
    about, is not this: whoever refuses has answered. Nor is one host that is silent behind an endpoint that says so.
    """


class StorageUnavailable(Transient):
    """The host has answered; the server behind one of its pools has not, or refuses the host."""

    reason = "StorageUnavailable"


class NetworkMissing(Transient):
    """The host lacks a bridge, an interface or a VLAN that a NIC needs; calls succeed again once somebody has made it there."""

    reason = "NetworkMissing"


class Busy(DriverError):
    """The hypervisor is at work on this object; try again after `retry_after` seconds."""

    reason = "HypervisorBusy"

    def __init__(self, message: str, *, native_code: str = "", retry_after: float = 2.0) -> None:
        super().__init__(message, native_code=native_code)
        self.retry_after = retry_after


class NotFound(DriverError):
    """The object does not exist on the hypervisor."""

    reason = "NotFoundOnHypervisor"


class NoRoom(DriverError):
    """A storage pool has too little room for what was asked. Nothing was made or changed, and nothing of it is under way.

    It passes: what is in the pool goes, or somebody makes it larger; so also for one thing that is larger than its pool is now.
    """

    reason = "InsufficientStorage"

    @classmethod
    def of(cls, pool: str, needed: int, free: int, *, native_code: str = "") -> NoRoom:
        """With both sizes in bytes; `pool` in words, such as "the pool fast"."""
        return cls(
            f"{pool} has {show_size(max(free, 0), down=True)} free of the {show_size(needed)} needed", native_code=native_code
        )


class Conflict(DriverError):
    """The identity is taken by an object without our owner mark, or the object's state forbids the call."""

    reason = "HypervisorConflict"


class InvalidSpec(DriverError):
    """The hypervisor refused the request itself; the same request will be refused again."""

    reason = "RefusedByHypervisor"


class AuthFailed(DriverError):
    """Credentials, key or certificate were refused, or the peer's certificate is not trusted."""

    reason = "CredentialsRefused"


class Unsupported(DriverError):
    """The hypervisor lacks this capability."""

    reason = "Unsupported"
