"""The way from a Host object to its hypervisor."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from controller.inventory.calls import SnapshotCalls, VolumeCalls
from drivers.adoption import Adoption
from drivers.errors import NotFound, Transient
from drivers.types import (
    ApplyMode,
    Capability,
    Change,
    DesiredVM,
    Done,
    HostID,
    ImageFile,
    InstanceID,
    ObservedHost,
    ObservedPool,
    ObservedVM,
    OpRef,
    PoolSpec,
    Progress,
    Started,
    StopMode,
    StoredFile,
    VolumeID,
)

if TYPE_CHECKING:
    from controller.inventory.session import Session


P = ParamSpec("P")
R = TypeVar("R")


class LinkState(StrEnum):
    """How an endpoint stands."""

    CONNECTING = "Connecting"
    UP = "Up"
    DOWN = "Down"
    REFUSED = "Refused"


class HostLink:
    """Calls to one host, each in a lane of its endpoint. Every call raises only `drivers.errors`; Transient while not up.

    `sole`: the endpoint is this Host's own, so if it lists a single host, that is the one, whatever its name. A Host that the
    endpoint does not list has `info` None.
    """

    def __init__(self, name: str, session: Session, native_name: str, *, sole: bool) -> None:
        self.name = name
        self.native_name = native_name
        self.sole = sole
        self._session = session
        self._refusal: tuple[str, str] | None = None
        self.volumes = VolumeCalls(session, self._host, self._changing)
        self.snapshots = SnapshotCalls(session, self._host, self._changing)

    def refuse(self, reason: str, message: str) -> None:
        """Make no calls through this link, and say why: the host behind it must not be used under this name."""
        self._refusal = (reason, message)

    def accept(self) -> None:
        """Take back a `refuse`."""
        self._refusal = None

    @property
    def refused(self) -> bool:
        """Whether this link was refused by `refuse`."""
        return self._refusal is not None

    @property
    def state(self) -> LinkState:
        """State of the endpoint; REFUSED when this link was, DOWN when the endpoint says that this host is or does not list it."""
        if self._session.state is not LinkState.UP:
            return self._session.state
        if self._refusal:
            return LinkState.REFUSED
        return LinkState.UP if self.info is not None and self.info.up else LinkState.DOWN

    @property
    def message(self) -> str:
        """Why the link is not up, in one sentence; empty while it is."""
        return self._trouble[1]

    @property
    def reason(self) -> str:
        """Why the link is not up, as the reason of a condition; empty while it is."""
        return self._trouble[0]

    @property
    def up(self) -> bool:
        """Whether calls can be made."""
        return self.state is LinkState.UP

    @property
    def reachable(self) -> bool:
        """Whether the endpoint answers, be it to say that this host is down."""
        return self._session.state is LinkState.UP

    @property
    def attempted(self) -> bool:
        """Whether the first attempt to reach the endpoint has ended: before that, nothing is known."""
        return self._session.attempted

    @property
    def info(self) -> ObservedHost | None:
        """The host as last listed by its endpoint."""
        hosts = self._session.hosts
        return hosts.get(self.host_id) if self.host_id else None

    @property
    def host_id(self) -> HostID | None:
        """The endpoint's name for this host, None if the endpoint does not list it."""
        hosts = self._session.hosts
        if HostID(self.native_name) in hosts:
            return HostID(self.native_name)
        return next(iter(hosts)) if self.sole and len(hosts) == 1 else None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the endpoint can do; empty before the first contact."""
        return self._session.capabilities

    @property
    def observed(self) -> bool:
        """Whether all VMs of the endpoint have been observed since it was connected, those of this host among them."""
        return self._session.snapshot.complete and self.host_id is not None

    @property
    def epoch(self) -> int:
        """Counts connections of the endpoint and returns of the host: what was prepared on a host holds for one epoch."""
        return self._session.epoch(self.host_id) if self.host_id else 0

    @property
    def tells_guests(self) -> bool:
        """Whether a look at all VMs of the endpoint tells what their guests say; else each has to be asked by itself."""
        return self._session.snapshot.tells_guests

    def doubt(self, instance: InstanceID) -> None:
        """Others have changed a VM here: look at it before anything that was seen of it is relied on."""
        self._session.snapshot.mark_stale(instance)

    def known(self, instance: InstanceID) -> ObservedVM | None:
        """What was last seen of a VM on this host, without a call and maybe out of date."""
        vm = self._session.snapshot.get(instance)
        return vm if vm is not None and vm.host == self.host_id else None

    def vms(self) -> list[ObservedVM]:
        """VMs with our mark last seen on this host."""
        host = self.host_id
        return list(self._session.snapshot.on_host(host)) if host else []

    def settled(self, instance: InstanceID) -> bool:
        """Whether nothing has happened to a VM, by us or by others, since it was last seen or found missing."""
        return self._session.snapshot.is_fresh(instance)

    def with_volume(self, volume: VolumeID) -> list[ObservedVM]:
        """VMs with our mark last seen with this volume on this host."""
        host = self.host_id
        return [vm for vm in self._session.snapshot.with_volume(volume) if vm.host == host] if host else []

    async def observe(self, instance: InstanceID, *, fresh: bool = False) -> ObservedVM | None:
        """The VM as it is, None if it does not exist here; without a call when the snapshot is fresh."""
        snapshot, host = self._session.snapshot, self._host()
        if not fresh and snapshot.is_fresh(instance):
            return self.known(instance)
        connection, asked = self._session.connection(), snapshot.moment()
        try:
            vm = await self._session.lanes.read(connection.compute.observe, host, instance)
        except NotFound:
            vm = None
            if self.known(instance) is not None and len(self._session.hosts) > 1:
                self._session.look_around()
        snapshot.put(instance, vm, asked)
        return vm

    async def confirm(self) -> bool:
        """Whether the endpoint still has this host, asked now: a VM is not gone that went out of sight with its host.

        Raises DriverError.
        """
        await self._session.relist()
        return self.up

    def apply_mode(self, change: Change, observed: ObservedVM) -> ApplyMode:
        """What this hypervisor needs for the change."""
        return self._session.connection().compute.apply_mode(change, observed)

    async def create(self, vm: DesiredVM) -> Done | Started:
        """See `drivers.base.Compute.create`."""
        host, connection = self._host(), self._session.connection()
        lanes, copied = self._session.lanes, any(disk.pool.raw for disk in vm.disks)
        with self._changing(vm.instance):
            return await (lanes.copy if copied else lanes.change)(connection.compute.create, host, vm)

    async def apply(self, instance: InstanceID, changes: Sequence[Change], ended: Callable[[], None]) -> Done | Started:
        """See `drivers.base.Compute.apply`; `ended` is called as for `adopt`."""
        with _until_returned(ended):
            host, connection = self._host(), self._session.connection()
            with self._changing(instance):
                return await self._session.lanes.change(_telling(connection.compute.apply, ended), host, instance, tuple(changes))

    async def delete(self, instance: InstanceID, pools: Sequence[PoolSpec]) -> Done | Started:
        """See `drivers.base.Compute.delete`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.change(connection.compute.delete, host, instance, tuple(pools))

    async def start(self, instance: InstanceID) -> Done | Started:
        """See `drivers.base.Power.start`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.change(connection.power.start, host, instance)

    async def stop(self, instance: InstanceID, mode: StopMode) -> Done | Started:
        """See `drivers.base.Power.stop`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.change(connection.power.stop, host, instance, mode)

    async def resume(self, instance: InstanceID) -> Done | Started:
        """See `drivers.base.Power.resume`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.change(connection.power.resume, host, instance)

    async def adopt(self, instance: InstanceID, adoption: Adoption, ended: Callable[[], None]) -> Done | Started:
        """See `drivers.adoption.Adopting.adopt`.

        `ended` is called when the call has returned, or won't be made: in any thread, and long after this has raised Transient if
        the hypervisor was not waited for.
        """
        with _until_returned(ended):
            host, connection = self._host(), self._session.connection()
            with self._changing(instance):
                return await self._session.lanes.change(_telling(connection.adoption.adopt, ended), host, instance, adoption)

    async def disown(self, instance: InstanceID, uid: str) -> Done | Started:
        """See `drivers.adoption.Adopting.disown`."""
        host, connection = self._host(), self._session.connection()
        with self._changing(instance):
            outcome = await self._session.lanes.change(connection.adoption.disown, host, instance, uid)
        if isinstance(outcome, Done):
            self.let_go(instance)
        return outcome

    def let_go(self, instance: InstanceID) -> None:
        """Know no more of a VM that was left to others: it has no mark of ours any longer, and nothing of ours."""
        self._session.snapshot.put(instance, None, self._session.snapshot.moment())

    async def poll(self, op: OpRef, instance: InstanceID | None = None) -> Progress:
        """See `drivers.base.Tasks.poll`; name the VM that the task works on, so that it is observed anew as long as it runs."""
        connection = self._session.connection()
        with self._changing(instance):
            return await self._session.lanes.read(connection.tasks.poll, op)

    async def ensure_pool(self, pool: PoolSpec) -> ObservedPool:
        """See `drivers.base.Storage.ensure_pool`."""
        host, connection = self._host(), self._session.connection()
        make = self._session.lanes.change if pool.nfs is None else self._session.lanes.mount
        return await make(connection.storage.ensure_pool, host, pool)

    async def release_pool(self, pool: PoolSpec) -> Done:
        """See `drivers.base.Storage.release_pool`."""
        host, connection = self._host(), self._session.connection()
        make = self._session.lanes.change if pool.nfs is None else self._session.lanes.mount
        return await make(connection.storage.release_pool, host, pool)

    async def list_pools(self) -> Sequence[PoolSpec]:
        """See `drivers.base.Storage.list_pools`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.survey(connection.storage.list_pools, host)

    async def has_image(self, pool: PoolSpec, image: str) -> bool:
        """See `drivers.base.Storage.has_image`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.read(connection.storage.has_image, host, pool, image)

    async def put_image(self, pool: PoolSpec, image: ImageFile) -> Done | Started:
        """See `drivers.base.Storage.put_image`; in the slow lane."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.copy(connection.storage.put_image, host, pool, image)

    async def delete_image(self, pool: PoolSpec, image: str) -> Done:
        """See `drivers.base.Storage.delete_image`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.change(connection.storage.delete_image, host, pool, image)

    async def list_files(self, pool: PoolSpec) -> Sequence[StoredFile]:
        """See `drivers.base.Storage.list_files`."""
        host, connection = self._host(), self._session.connection()
        return await self._session.lanes.survey(connection.storage.list_files, host, pool)

    @contextlib.contextmanager
    def _changing(self, instance: InstanceID | None) -> Iterator[None]:
        """Let no observation of this VM be relied on that was asked for before the end of a change, whatever its outcome."""
        marks = (instance,) if instance else ()
        for mark in marks:
            self._session.snapshot.mark_stale(mark)
        try:
            yield
        finally:
            for mark in marks:
                self._session.snapshot.mark_stale(mark)

    @property
    def _trouble(self) -> tuple[str, str]:
        if self._session.state is not LinkState.UP:
            return self._session.reason, self._session.message
        if self._refusal:
            return self._refusal
        if self.info is None:
            return "HostNotListed", f"the endpoint lists no host named {self.native_name}"
        return ("", "") if self.info.up else ("HostDown", self.info.message or "the endpoint says that the host is down")

    def _host(self) -> HostID:
        """The host to name in a call. Raises Transient while the link is not up."""
        host = self.host_id
        if host is None or not self.up:
            raise Transient(self.message)
        return host


@contextlib.contextmanager
def _until_returned(ended: Callable[[], None]) -> Iterator[None]:
    """Tell the end of a call that failed, unless it may go on where it is."""
    try:
        yield
    except Exception as error:
        if not (isinstance(error, Transient) and error.outcome_unknown):
            ended()
        raise


def _telling(call: Callable[P, R], ended: Callable[[], None]) -> Callable[P, R]:
    """The same call, which tells when it has returned."""

    @wraps(call)
    def telling(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        finally:
            ended()

    return telling
