"""The protocol between client and server: which methods there are, what they take and return, and how that is written as JSON.

A request is the line `METHOD SESSION` and the JSON of its arguments; a reply is the line `ok` or `error` and the JSON of the
result or of a `Problem`. On the socket each has its length before it, four bytes, big-endian.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import GenericAlias
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from drivers import errors
from drivers.adoption import Adoption, FoundVM
from drivers.errors import Busy, DriverError, InvalidSpec, Transient
from drivers.types import (
    AttachNIC,
    AttachVolume,
    Capability,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachNIC,
    DetachVolume,
    Done,
    Failed,
    GrowDisk,
    HostChanged,
    HostID,
    ImageFile,
    InstanceID,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    OpRef,
    PoolContents,
    PoolSpec,
    Running,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    SnapshotID,
    Started,
    StopMode,
    StoredFile,
    Succeeded,
    VMChanged,
    VolumeID,
)

from .engine.actions import Action
from .engine.census import Census
from .engine.compute import VMPage
from .engine.faults import Fault

__all__ = [
    "METHODS",
    "Method",
    "News",
    "Problem",
    "SessionExpired",
    "Welcome",
    "codec",
]


class SessionExpired(Transient):
    """The server no longer knows the session; nothing was done. The client logs in again and repeats the call."""


class Welcome(NamedTuple):
    """What a login returns. `epoch` names the life of the server; `cursor` is where its events stand."""

    session: str
    epoch: str
    cursor: int
    capabilities: frozenset[Capability]


class News(NamedTuple):
    """Events after a cursor; `lost` when some may be missing."""

    epoch: str
    cursor: int
    events: tuple[VMChanged | HostChanged, ...]
    lost: bool


Outcome = tuple[Literal["Done"], Done] | tuple[Literal["Started"], Started]
Report = tuple[Literal["Running"], Running] | tuple[Literal["Succeeded"], Succeeded] | tuple[Literal["Failed"], Failed]
Changes = tuple[
    tuple[Literal["SetCPUs"], SetCPUs]
    | tuple[Literal["SetMemory"], SetMemory]
    | tuple[Literal["GrowDisk"], GrowDisk]
    | tuple[Literal["SetDiskLimits"], SetDiskLimits]
    | tuple[Literal["AttachNIC"], AttachNIC]
    | tuple[Literal["DetachNIC"], DetachNIC]
    | tuple[Literal["SetSeed"], SetSeed]
    | tuple[Literal["AttachVolume"], AttachVolume]
    | tuple[Literal["DetachVolume"], DetachVolume],
    ...,
]
Pools = tuple[PoolSpec, ...]


class Method(NamedTuple):
    """A method. `mutates` tells whether a lost reply leaves the outcome unknown; `tagged` that its result names its type."""

    params: Any
    result: Any
    mutates: bool = False
    capability: Capability | None = None
    tagged: bool = False


def _work(params: Any, capability: Capability) -> Method:
    """A method that changes something and may be a native task."""
    return Method(params, Outcome, True, capability, tagged=True)


METHODS: dict[str, Method] = {
    "login": Method(tuple[str, str, str], Welcome),
    "logout": Method(tuple[()], None),
    "hosts.list": Method(tuple[()], tuple[ObservedHost, ...]),
    "compute.observe_page": Method(tuple[str, int], VMPage),
    "compute.observe": Method(tuple[HostID, InstanceID], ObservedVM),
    "compute.create": Method(tuple[HostID, DesiredVM], Outcome, True, tagged=True),
    "compute.apply": Method(tuple[HostID, InstanceID, Changes], Outcome, True, tagged=True),
    "compute.delete": Method(tuple[HostID, InstanceID, Pools], Outcome, True, tagged=True),
    "power.start": Method(tuple[HostID, InstanceID], Outcome, True, Capability.POWER, tagged=True),
    "power.stop": Method(tuple[HostID, InstanceID, StopMode], Outcome, True, Capability.POWER, tagged=True),
    "power.resume": Method(tuple[HostID, InstanceID], Outcome, True, Capability.POWER, tagged=True),
    "storage.ensure_pool": Method(tuple[HostID, PoolSpec, str], ObservedPool, True, Capability.STORAGE),
    "storage.release_pool": _work(tuple[HostID, PoolSpec, str], Capability.STORAGE),
    "storage.list_pools": Method(tuple[HostID, str], Pools, False, Capability.STORAGE),
    "storage.has_image": Method(tuple[HostID, PoolSpec, str], bool, False, Capability.STORAGE),
    "storage.put_image": Method(tuple[HostID, PoolSpec, ImageFile], Outcome, True, Capability.STORAGE, tagged=True),
    "storage.delete_image": Method(tuple[HostID, PoolSpec, str], Outcome, True, Capability.STORAGE, tagged=True),
    "storage.list_files": Method(tuple[HostID, PoolSpec], tuple[StoredFile, ...], False, Capability.STORAGE),
    "volumes.contents": Method(tuple[HostID, PoolSpec], PoolContents, False, Capability.VOLUMES),
    "volumes.create_volume": _work(tuple[HostID, DesiredVolume], Capability.VOLUMES),
    "volumes.grow_volume": _work(tuple[HostID, PoolSpec, VolumeID, int], Capability.VOLUMES),
    "volumes.delete_volume": _work(tuple[HostID, PoolSpec, VolumeID], Capability.VOLUMES),
    "volumes.snapshot_volume": _work(tuple[HostID, PoolSpec, VolumeID, DesiredSnapshot], Capability.VOLUME_SNAPSHOTS),
    "volumes.restore_volume": _work(tuple[HostID, PoolSpec, VolumeID, SnapshotID, str], Capability.VOLUME_SNAPSHOTS),
    "volumes.delete_volume_snapshot": _work(tuple[HostID, PoolSpec, SnapshotID], Capability.VOLUME_SNAPSHOTS),
    "snapshots.create_snapshot": _work(tuple[HostID, InstanceID, DesiredSnapshot], Capability.SNAPSHOTS),
    "snapshots.restore": _work(tuple[HostID, InstanceID, SnapshotID, str], Capability.SNAPSHOTS),
    "snapshots.delete_snapshot": _work(tuple[HostID, InstanceID, SnapshotID], Capability.SNAPSHOTS),
    "adoption.find": Method(tuple[InstanceID], tuple[FoundVM, ...], False, Capability.ADOPTION),
    "adoption.adopt": _work(tuple[HostID, InstanceID, Adoption], Capability.ADOPTION),
    "adoption.disown": _work(tuple[HostID, InstanceID, str], Capability.ADOPTION),
    "tasks.poll": Method(tuple[OpRef], Report, tagged=True),
    "events.wait": Method(tuple[str, int, float], News, False, Capability.EVENTS),
    "control.add_fault": Method(tuple[Fault], int, True),
    "control.list_faults": Method(tuple[()], dict[int, Fault]),
    "control.clear_faults": Method(tuple[()], None, True),
    "control.act": Method(tuple[Action], None, True),
    "control.set_durations": Method(tuple[dict[str, float]], None, True),
    "control.set_guests": Method(tuple[float, float], None, True),
    "control.census": Method(tuple[()], Census),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error on its way to the client: the name of its class in `drivers.errors` and what it carries."""

    type: str
    message: str
    native_code: str = ""
    retry_after: float = 0.0

    @classmethod
    def of(cls, error: DriverError) -> Problem:
        """From an error."""
        after = error.retry_after if isinstance(error, Busy) else 0.0
        return cls(type(error).__name__, error.message, error.native_code, after)

    def error(self) -> DriverError:
        """To an error; an unknown class becomes Transient, as does Unanswered: it has come as an answer."""
        if self.type == "Busy":
            return Busy(self.message, native_code=self.native_code, retry_after=self.retry_after)
        if self.type == "SessionExpired":
            return SessionExpired(self.message, native_code=self.native_code)
        known = {name: getattr(errors, name) for name in errors.__all__ if name not in ("DriverError", "Unanswered")}
        made: DriverError = known.get(self.type, Transient)(self.message, native_code=self.native_code)
        return made


class Codec(NamedTuple):
    """Writes and reads the arguments and the result of one method."""

    write_params: Callable[[tuple[Any, ...]], bytes]
    read_params: Callable[[bytes], tuple[Any, ...]]
    write_result: Callable[[Any], bytes]
    read_result: Callable[[bytes], Any]


_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", allow_inf_nan=False, hide_input_in_errors=True)


_EVENTS: dict[str, Callable[[Any], VMChanged | HostChanged]] = {"instance": VMChanged, "host": HostChanged}


@cache
def problem_adapter() -> TypeAdapter[Problem]:
    """Writes and reads problems."""
    return TypeAdapter(Problem)


@cache
def codec(name: str) -> Codec:
    """How a method's values are written. Reading raises InvalidSpec with the places, not the values, that are wrong."""
    method = METHODS[name]
    params: TypeAdapter[Any] = TypeAdapter(method.params, config=_CONFIG)
    # A tuple around it, because pydantic takes no configuration for a bare dataclass.
    wrapped: Any = GenericAlias(tuple, (method.result,))
    result: TypeAdapter[Any] = TypeAdapter(wrapped, config=_CONFIG)
    tag_params = name == "compute.apply"
    if name == "events.wait":

        def write_news(value: News) -> bytes:
            return result.dump_json((value,), warnings="error")

        return Codec(_write_plainly, lambda raw: _read(params, name, raw), write_news, _read_news)
    return Codec(
        write_params=lambda args: params.dump_json(_tag_changes(args) if tag_params else args, warnings=False),
        read_params=lambda raw: _untag_changes(_read(params, name, raw)) if tag_params else _read(params, name, raw),
        write_result=lambda value: result.dump_json((_tag(value) if method.tagged else value,), warnings="error"),
        read_result=lambda raw: _read(result, name, raw)[0][1] if method.tagged else _read(result, name, raw)[0],
    )


def _write_plainly(args: tuple[Any, ...]) -> bytes:
    return json.dumps(args).encode()


def _read_news(raw: bytes) -> News:
    """Read what a wait for events returned, in a tenth of pydantic's time: one thread does it for all. Raises InvalidSpec."""
    try:
        [[epoch, cursor, events, lost]] = json.loads(raw)
        told = tuple(_EVENTS[name](value) for event in events for name, value in event.items())
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InvalidSpec(f"events.wait: {type(error).__name__} in the reply", native_code="SIM_PROTOCOL") from None
    named = all(isinstance(value, str) for event in events for value in event.values())
    if not named or (type(epoch), type(cursor), type(lost)) != (str, int, bool):
        raise InvalidSpec("events.wait: a value of the wrong type", native_code="SIM_PROTOCOL")
    return News(epoch, cursor, told, lost)


def _read(adapter: TypeAdapter[Any], name: str, raw: bytes) -> Any:
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidSpec(f"{name}: {place}: {first['msg']}", native_code="SIM_PROTOCOL") from None


def _tag(value: object) -> tuple[str, object]:
    return type(value).__name__, value


def _tag_changes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*args[:2], tuple(map(_tag, args[2])))


def _untag_changes(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*args[:2], tuple(change for _, change in args[2]))
