"""Whatever happens in whatever order: the sums are right, and what a connection keeps is what there is."""

import copy
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drivers.errors import DriverError
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.datacentre import DISK_OVERHEAD, Datacentre
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.model import VM
from drivers.simulator.engine.settings import Settings
from drivers.simulator.server.state import StateFile
from drivers.simulator.service import Service
from drivers.types import (
    AttachNIC,
    AttachVolume,
    DetachNIC,
    DetachVolume,
    DiskLimits,
    GrowDisk,
    HostID,
    PoolSpec,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    StopMode,
    VolumeAttachment,
)

from .world import BRIDGE, HOST, MIB, OTHER, POOL, SHARED, World, attachment, disk, nic, snapshot, vm, volume

HOSTS = st.sampled_from([HOST, OTHER])
NUMBERS = st.integers(1, 4)
POOLS = st.sampled_from([POOL, SHARED])
VM_ACTS = (
    Act.POWER_ON,
    Act.POWER_OFF,
    Act.PAUSE,
    Act.CRASH_VM,
    Act.DELETE_VM,
    Act.DISOWN_VM,
    Act.REMOVE_DISK,
    Act.MOVE_VM,
    Act.WRITE_DISK,
    Act.DETACH_VOLUME,
    Act.SET_DISK_LIMITS,
    Act.DELETE_SNAPSHOT,
)
VALUES = {
    Act.REMOVE_DISK: "root",
    Act.MOVE_VM: OTHER,
    Act.WRITE_DISK: "root=written",
    Act.DETACH_VOLUME: volume(1).volume,
    Act.DELETE_SNAPSHOT: snapshot(1).snapshot,
    Act.SET_DISK_LIMITS: "root=65536:0",
}
POOL_ACTS = (Act.WRITE_VOLUME, Act.DELETE_VOLUME, Act.DELETE_VOLUME_SNAPSHOT)
FEW = st.integers(1, 2)
HOST_ACTS = (Act.CRASH_HOST, Act.BOOT_HOST, Act.CUT_HOST, Act.HEAL_HOST, Act.REMOVE_HOST, Act.ADD_HOST, Act.UNLIST_HOST)
HOST_ACTS += (Act.LIST_HOST, Act.LOSE_NETWORK, Act.HEAL_NETWORK)
HOST_VALUES = {Act.LOSE_NETWORK: BRIDGE.bridge, Act.HEAL_NETWORK: BRIDGE.bridge}
CHANGES = st.sampled_from(
    [
        SetCPUs(1),
        SetCPUs(8),
        SetMemory(256 * MIB),
        SetMemory(1024 * MIB),
        GrowDisk("root", 9 * MIB),
        SetDiskLimits("root", DiskLimits(MIB)),
        DetachNIC("front"),
        AttachNIC(nic("back")),
    ]
)


class Checked(RuleBasedStateMachine):
    """A world whose state is saved after each step, as the server does, and everything that must hold in it."""

    durations: ClassVar[dict[str, float]]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Settings(hosts=2, memory=2048 * MIB, boot=4, shutdown=2, durations=self.durations))
        self.directory = TemporaryDirectory()
        self.state = StateFile(Path(self.directory.name) / "state")
        self.world.dc.dirty.update(("host", host) for host in self.world.dc.hosts)
        self.keeper = self.world.connect()

    def teardown(self) -> None:
        self.state.close()
        self.directory.cleanup()

    @rule(seconds=st.floats(0, 10))
    def let(self, seconds: float) -> None:
        self.world.let(seconds)

    @invariant()
    def pools_add_up(self) -> None:
        for pool in self.world.dc.pools.values():
            disks = [disk for disks in pool.disks.values() for disk in disks.values()]
            thin = len(disks) + len(pool.volumes) + len(pool.snapshots)
            assert pool.used == thin * DISK_OVERHEAD + sum(image.physical_size for image in pool.images.values())
            assert +Counter(pool.layered) == Counter(disk.image for disk in disks if disk.image)
            assert all(pool.disks.values())

    @invariant()
    def places_are_where_vms_are(self) -> None:
        there = {(vm.instance, vm.host) for host in self.world.dc.hosts.values() for vm in host.vms.values()}
        assert there == {(instance, host) for instance, hosts in self.world.dc.places.items() for host in hosts}

    @invariant()
    def running_vms_fit(self) -> None:
        """What Vireo did fits; somebody's hand may have forced more, so only sizes are looked at."""
        for host in self.world.dc.hosts.values():
            for one in host.vms.values():
                assert one.has_power or (one.booted, one.ready_at, one.stop_at) == (None, None, None)

    @invariant()
    def what_is_in_the_air_is_a_nic_of_a_vm_that_runs(self) -> None:
        for one in _vms(self.world.dc):
            assert one.unplugged <= one.nics.keys()
            assert one.has_power or not one.unplugged

    @invariant()
    def what_is_kept_is_what_there_is(self) -> None:
        """A connection that only hears of changes sees what a fresh one sees."""
        with suppress(DriverError):
            fresh = self.world.connect().compute.observe_all()
            assert self.keeper.compute.observe_all() == fresh

    @invariant()
    def users_are_who_has_a_volume(self) -> None:
        self._check_users(self.world.dc)

    def _check_users(self, dc: Datacentre) -> None:
        vms = _vms(dc)
        there = {((one.volume.pool, name), vm.host, vm.instance) for vm in vms for name, one in vm.volumes.items()}
        assert there == {(place, vm.host, vm.instance) for place, users in dc.attached.items() for vm in users}
        for user in vms:
            for name, one in user.volumes.items():
                pool = dc.pools.get(one.volume.pool)
                assert pool is None or pool.volumes.get(name, one.volume) is one.volume

    @invariant()
    def snapshots_are_trees(self) -> None:
        for one in _vms(self.world.dc):
            assert one.current is None or one.current in one.snapshots
            for taken in one.snapshots.values():
                assert taken.parent is None or taken.parent in one.snapshots
                assert _depth(one.snapshots, taken.snapshot) <= len(one.snapshots)

    @invariant()
    def what_is_saved_is_what_there_is(self) -> None:
        self.state.save(self.world.dc)
        self.world.dc.dirty.clear()
        restored = Service(Settings(hosts=0), VirtualClock(self.world.clock.now()), random=Random(1)).dc
        self.state.load(restored)
        assert shape(restored) == shape(self.world.dc)
        self._check_users(restored)


class Life(Checked):
    """Everybody at work on two hosts; some tasks take time."""

    durations: ClassVar = {"compute.create": 3.0, "compute.delete": 2.0, "power.start": 1.0}

    @rule(host=HOSTS, number=NUMBERS, act=st.sampled_from(VM_ACTS))
    def by_hand(self, host: HostID, number: int, act: Act) -> None:
        with suppress(DriverError):
            self.world.control.act(act, f"{host}/{vm(number).instance}", VALUES.get(act, ""))

    @rule(host=HOSTS, number=NUMBERS, pool=POOLS, alone=st.booleans())
    def create(self, host: HostID, number: int, pool: PoolSpec, alone: bool) -> None:
        wanted = vm(number, disks=(disk(pool=pool), disk("data", pool=pool, image="")), nics=())
        with suppress(DriverError):
            connection = self.world.connect(host if alone else "")
            connection.compute.create(host, wanted)

    @rule(host=HOSTS, number=NUMBERS, pools=st.lists(POOLS, max_size=2))
    def delete(self, host: HostID, number: int, pools: list[PoolSpec]) -> None:
        with suppress(DriverError):
            self.world.connection.compute.delete(host, vm(number).instance, pools)

    @rule(host=HOSTS, number=NUMBERS)
    def start(self, host: HostID, number: int) -> None:
        with suppress(DriverError):
            self.world.connection.power.start(host, vm(number).instance)

    @rule(host=HOSTS, number=NUMBERS, mode=st.sampled_from(StopMode))
    def stop(self, host: HostID, number: int, mode: StopMode) -> None:
        with suppress(DriverError):
            self.world.connection.power.stop(host, vm(number).instance, mode)

    @rule(host=HOSTS, number=NUMBERS, changes=st.lists(CHANGES, max_size=3))
    def apply(self, host: HostID, number: int, changes: list[Any]) -> None:
        with suppress(DriverError):
            self.world.connection.compute.apply(host, vm(number).instance, changes)

    @rule(host=HOSTS, act=st.sampled_from(HOST_ACTS))
    def hardware(self, host: HostID, act: Act) -> None:
        with suppress(DriverError):
            self.world.control.act(act, host, HOST_VALUES.get(act, ""))

    @rule(kind=st.sampled_from([FaultKind.LOSE_REPLY, FaultKind.ERROR, FaultKind.TASK_ERROR, FaultKind.EXPIRE_SESSION]))
    def fault(self, kind: FaultKind) -> None:
        self.world.control.add_fault(Fault(kind, count=1))

    @rule(host=HOSTS, pool=POOLS)
    def storage(self, host: HostID, pool: PoolSpec) -> None:
        with suppress(DriverError):
            self.world.connection.storage.ensure_pool(host, pool)
            self.world.put(host, pool)


class Storing(Checked):
    """Volumes and snapshots of a VM on each host, made, moved about and removed by everybody."""

    durations: ClassVar = {"volumes.delete_volume": 1.0, "snapshots.restore": 2.0}

    def __init__(self) -> None:
        super().__init__()
        for host, pool in ((HOST, POOL), (HOST, SHARED), (OTHER, POOL)):
            self.world.connection.volumes.create_volume(host, volume(1, pool=pool))
        for number, pool in ((1, POOL), (2, SHARED)):
            self._create(number, pool, (attachment(volume(1, pool=pool), "v1"),))
        for number in (1, 2):
            self.world.connection.snapshots.create_snapshot(HOST, vm(1).instance, snapshot(number))

    def _create(self, number: int, pool: PoolSpec, volumes: tuple[VolumeAttachment, ...] = ()) -> None:
        wanted = vm(number, disks=(disk(pool=pool),), nics=(), volumes=volumes)
        self.world.connection.compute.create(_home(number), wanted)

    @rule(number=FEW, act=st.sampled_from(VM_ACTS))
    def by_hand(self, number: int, act: Act) -> None:
        with suppress(DriverError):
            self.world.control.act(act, f"{_home(number)}/{vm(number).instance}", VALUES.get(act, ""))

    @rule(host=HOSTS, number=FEW, pool=POOLS, source=st.one_of(st.none(), FEW))
    def store(self, host: HostID, number: int, pool: PoolSpec, source: int | None) -> None:
        wanted = volume(number, pool=pool, snapshot=source and snapshot(source).snapshot)
        with suppress(DriverError):
            self.world.connection.volumes.create_volume(host, wanted)

    @rule(host=HOSTS, number=FEW, pool=POOLS, what=st.sampled_from(["grow", "delete", "keep", "back", "drop"]), other=FEW)
    def storage_calls(self, host: HostID, number: int, pool: PoolSpec, what: str, other: int) -> None:
        volumes, wanted, kept = self.world.connection.volumes, volume(number).volume, snapshot(other)
        with suppress(DriverError):
            if what == "grow":
                volumes.grow_volume(host, pool, wanted, (8 + other) * MIB)
            elif what == "delete":
                volumes.delete_volume(host, pool, wanted)
            elif what == "keep":
                volumes.snapshot_volume(host, pool, wanted, kept)
            elif what == "back":
                volumes.restore_volume(host, pool, wanted, kept.snapshot, f"token-{other}")
            else:
                volumes.delete_volume_snapshot(host, pool, kept.snapshot)

    @rule(number=FEW, other=FEW, pool=POOLS, attach=st.sampled_from([True, True, False]), alone=st.booleans())
    def attach(self, number: int, other: int, pool: PoolSpec, attach: bool, alone: bool) -> None:
        host = _home(number)
        wanted = volume(other, pool=pool)
        change = AttachVolume(attachment(wanted, f"v{other}")) if attach else DetachVolume(wanted.volume)
        with suppress(DriverError):
            self.world.connect(host if alone else "").compute.apply(host, vm(number).instance, [change])

    @rule(number=FEW, other=FEW, memory=st.booleans())
    def take(self, number: int, other: int, memory: bool) -> None:
        host = _home(number)
        with suppress(DriverError):
            self.world.connection.snapshots.create_snapshot(host, vm(number).instance, snapshot(other, memory=memory))

    @rule(number=FEW, other=FEW, token=st.sampled_from(["", "a", "b"]))
    def restore(self, number: int, other: int, token: str) -> None:
        host = _home(number)
        with suppress(DriverError):
            self.world.connection.snapshots.restore(host, vm(number).instance, snapshot(other).snapshot, token)

    @rule(number=FEW, other=FEW)
    def forget(self, number: int, other: int) -> None:
        host = _home(number)
        with suppress(DriverError):
            self.world.connection.snapshots.delete_snapshot(host, vm(number).instance, snapshot(other).snapshot)

    @rule(host=HOSTS, number=FEW, act=st.sampled_from(POOL_ACTS))
    def files_by_hand(self, host: HostID, number: int, act: Act) -> None:
        identity = snapshot(number).snapshot if act is Act.DELETE_VOLUME_SNAPSHOT else volume(number).volume
        with suppress(DriverError):
            self.world.control.act(act, f"{host}/{identity}", "written")

    @rule(number=FEW, on=st.booleans())
    def power(self, number: int, on: bool) -> None:
        host, instance = _home(number), vm(number).instance
        with suppress(DriverError):
            if on:
                self.world.connection.power.start(host, instance)
            else:
                self.world.connection.power.stop(host, instance, StopMode.HARD)

    @rule(number=FEW, again=st.booleans())
    def delete(self, number: int, again: bool) -> None:
        with suppress(DriverError):
            self.world.connection.compute.delete(_home(number), vm(number).instance, [POOL, SHARED])
            if again:
                self._create(number, SHARED)


def _vms(dc: Datacentre) -> list[VM]:
    return [vm for host in dc.hosts.values() for vm in host.vms.values()]


def _home(number: int) -> HostID:
    """The host that a VM was made on."""
    return HOST if number == 1 else OTHER


def _depth(tree: Any, snapshot: Any) -> int:
    """How far it is to the root; more than there are snapshots if that is never reached."""
    depth = 1
    while tree[snapshot].parent is not None and depth <= len(tree):
        snapshot, depth = tree[snapshot].parent, depth + 1
    return depth


def shape(dc: Any) -> Any:
    """Everything of a datacentre that must survive, to compare."""
    hosts = copy.deepcopy(dc.hosts)
    for host in hosts.values():
        host.revision = 0
    pools = {
        key: (pool.capacity, pool.used, pool.images, pool.disks, pool.volumes, pool.snapshots, +Counter(pool.layered))
        for key, pool in dc.pools.items()
    }
    return hosts, pools, {instance: set(places) for instance, places in dc.places.items()}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStoring = Storing.TestCase
TestStoring.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
