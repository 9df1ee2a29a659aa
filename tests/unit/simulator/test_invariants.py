"""Whatever happens in whatever order: the sums are right, and what a connection keeps is what there is."""

import copy
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drivers.errors import DriverError
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.datacentre import DISK_OVERHEAD
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.simulator.server.state import StateFile
from drivers.simulator.service import Service
from drivers.types import AttachNIC, DetachNIC, GrowDisk, HostID, PoolSpec, SetCPUs, SetMemory, StopMode

from .world import HOST, MIB, OTHER, POOL, SHARED, World, disk, nic, vm

HOSTS = st.sampled_from([HOST, OTHER])
NUMBERS = st.integers(1, 4)
POOLS = st.sampled_from([POOL, SHARED])
VM_ACTS = (Act.POWER_ON, Act.POWER_OFF, Act.PAUSE, Act.CRASH_VM, Act.DELETE_VM, Act.DISOWN_VM, Act.REMOVE_DISK, Act.MOVE_VM)
VALUES = {Act.REMOVE_DISK: "root", Act.MOVE_VM: OTHER}
HOST_ACTS = (Act.CRASH_HOST, Act.BOOT_HOST, Act.CUT_HOST, Act.HEAL_HOST, Act.REMOVE_HOST, Act.ADD_HOST)
CHANGES = st.sampled_from(
    [
        SetCPUs(1),
        SetCPUs(8),
        SetMemory(256 * MIB),
        SetMemory(1024 * MIB),
        GrowDisk("root", 9 * MIB),
        DetachNIC("front"),
        AttachNIC(nic("back")),
    ]
)


class Life(RuleBasedStateMachine):
    """Everybody at work on two hosts; some tasks take time. State is saved after each step, as the server does."""

    def __init__(self) -> None:
        super().__init__()
        durations = {"compute.create": 3.0, "compute.delete": 2.0, "power.start": 1.0}
        self.world = World(Settings(hosts=2, memory=2048 * MIB, boot=4, shutdown=2, durations=durations))
        self.directory = TemporaryDirectory()
        self.state = StateFile(Path(self.directory.name) / "state")
        self.world.dc.dirty.update(("host", host) for host in self.world.dc.hosts)
        self.keeper = self.world.connect()
        self.now: dict[Any, Any] = {}

    def teardown(self) -> None:
        self.state.close()
        self.directory.cleanup()

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

    @rule(host=HOSTS, number=NUMBERS, act=st.sampled_from(VM_ACTS))
    def by_hand(self, host: HostID, number: int, act: Act) -> None:
        with suppress(DriverError):
            self.world.control.act(act, f"{host}/{vm(number).instance}", VALUES.get(act, ""))

    @rule(host=HOSTS, act=st.sampled_from(HOST_ACTS))
    def hardware(self, host: HostID, act: Act) -> None:
        with suppress(DriverError):
            self.world.control.act(act, host)

    @rule(kind=st.sampled_from([FaultKind.LOSE_REPLY, FaultKind.ERROR, FaultKind.TASK_ERROR, FaultKind.EXPIRE_SESSION]))
    def fault(self, kind: FaultKind) -> None:
        self.world.control.add_fault(Fault(kind, count=1))

    @rule(host=HOSTS, pool=POOLS)
    def storage(self, host: HostID, pool: PoolSpec) -> None:
        with suppress(DriverError):
            self.world.connection.storage.ensure_pool(host, pool)
            self.world.put(host, pool)

    @rule(seconds=st.floats(0, 10))
    def let(self, seconds: float) -> None:
        self.world.let(seconds)

    @invariant()
    def pools_add_up(self) -> None:
        for pool in self.world.dc.pools.values():
            disks = [disk for disks in pool.disks.values() for disk in disks.values()]
            assert pool.used == len(disks) * DISK_OVERHEAD + sum(image.physical_size for image in pool.images.values())
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
    def what_is_kept_is_what_there_is(self) -> None:
        """A connection that only hears of changes sees what a fresh one sees."""
        with suppress(DriverError):
            fresh = self.world.connect().compute.observe_all()
            assert self.keeper.compute.observe_all() == fresh

    @invariant()
    def what_is_saved_is_what_there_is(self) -> None:
        self.state.save(self.world.dc)
        self.world.dc.dirty.clear()
        restored = Service(Settings(hosts=0), VirtualClock(self.world.clock.now()), random=Random(1)).dc
        self.state.load(restored)
        assert shape(restored) == shape(self.world.dc)


def shape(dc: Any) -> Any:
    """Everything of a datacentre that must survive, to compare."""
    hosts = copy.deepcopy(dc.hosts)
    for host in hosts.values():
        host.revision = 0
    pools = {key: (pool.capacity, pool.used, pool.images, pool.disks, +Counter(pool.layered)) for key, pool in dc.pools.items()}
    return hosts, pools, {instance: set(places) for instance, places in dc.places.items()}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
