"""Volumes and snapshots of an endpoint that does not declare them: each call says so, and nothing else is promised."""

import uuid
from dataclasses import replace
from typing import Any

from drivers.adoption import Adoption
from drivers.base import Connection
from drivers.errors import Unsupported
from drivers.types import (
    ApplyMode,
    AttachVolume,
    Capability,
    DesiredSnapshot,
    DesiredVolume,
    DetachVolume,
    DiskLimits,
    InstanceID,
    Owner,
    Power,
    SetDiskLimits,
    SnapshotID,
    VolumeAttachment,
    VolumeID,
)

from .base import ContractBase
from .binding import Binding
from .tools import MIB, Maker, raises_ours

OWNER = Owner("uid-1", "shop", "data")
VOLUME = VolumeID(str(uuid.UUID(int=1)))
SNAPSHOT = SnapshotID(str(uuid.UUID(int=2)))
WANTED = DesiredSnapshot(SNAPSHOT, "snap", OWNER)

NEEDS = {
    Capability.DEFINITION_EVENTS: {Capability.EVENTS},
    Capability.VOLUMES: {Capability.STORAGE},
    Capability.VOLUME_HOTPLUG: {Capability.VOLUMES},
    Capability.VOLUME_SNAPSHOTS: {Capability.VOLUMES},
    Capability.VOLUME_SNAPSHOT_LIVE: {Capability.VOLUME_SNAPSHOTS},
    Capability.SNAPSHOT_RUNNING: {Capability.SNAPSHOTS},
    Capability.SNAPSHOT_MEMORY: {Capability.SNAPSHOTS},
    Capability.SNAPSHOT_QUIESCE: {Capability.GUEST_AGENT},
}


class Undeclared(ContractBase):
    """For every driver: what is declared is tested elsewhere, what is not declared here."""

    def test_what_is_declared_rests_on_what_it_needs(self, connection: Connection) -> None:
        declared = connection.capabilities
        assert [one for one, needs in NEEDS.items() if one in declared and not needs <= declared] == []

    def _refuse(self, calls: dict[str, tuple[Any, ...]], group: object) -> None:
        for name, args in calls.items():
            with raises_ours(Unsupported):
                getattr(group, name)(*args)

    def test_volumes(self, binding: Binding, connection: Connection, make: Maker) -> None:
        if Capability.VOLUMES in connection.capabilities:
            return
        host, pool = binding.host, binding.pool
        wanted = DesiredVolume(VOLUME, "data", OWNER, pool, 8 * MIB)
        calls: dict[str, tuple[Any, ...]] = {
            "contents": (host, pool),
            "create_volume": (host, wanted),
            "grow_volume": (host, pool, VOLUME, 16 * MIB),
            "delete_volume": (host, pool, VOLUME),
        }
        self._refuse(calls, connection.volumes)
        attachment = VolumeAttachment("data", VOLUME, pool)
        vm = make.created(empty=True)
        for change in (AttachVolume(attachment), DetachVolume(VOLUME)):
            with raises_ours(Unsupported):
                connection.compute.apply(host, vm.instance, [change])
        other = replace(make.vm(empty=True), volumes=(attachment,))
        with raises_ours(Unsupported):
            connection.compute.create(host, other)
        assert binding.leftovers(other.instance) == binding.leftovers(VOLUME) == set()

    def test_adoption(self, binding: Binding, connection: Connection) -> None:
        if Capability.ADOPTION in connection.capabilities:
            return
        instance = InstanceID(str(uuid.UUID(int=3)))
        calls: dict[str, tuple[Any, ...]] = {
            "find": (instance,),
            "adopt": (binding.host, instance, Adoption(OWNER)),
            "disown": (binding.host, instance, OWNER.uid),
        }
        self._refuse(calls, connection.adoption)

    def test_limits_of_disks(self, binding: Binding, connection: Connection, make: Maker) -> None:
        if Capability.DISK_LIMITS in connection.capabilities:
            return
        slow = DiskLimits(write_iops=100)
        vm = make.created(empty=True)
        with raises_ours(Unsupported):
            connection.compute.apply(binding.host, vm.instance, [SetDiskLimits("root", slow)])
        other = make.vm(empty=True)
        with raises_ours(Unsupported):
            connection.compute.create(binding.host, replace(other, disks=(replace(make.disk("root"), limits=slow),)))
        assert binding.leftovers(other.instance) == set()

    def test_hotplug_of_volumes(self, binding: Binding, connection: Connection, make: Maker) -> None:
        running = replace(make.observe(make.created(empty=True)), power=Power.ON)
        attach = AttachVolume(VolumeAttachment("data", VOLUME, binding.pool))
        live = connection.compute.apply_mode(attach, running) is ApplyMode.LIVE
        assert live == (Capability.VOLUME_HOTPLUG in connection.capabilities)

    def test_snapshots_of_volumes(self, binding: Binding, connection: Connection) -> None:
        if Capability.VOLUME_SNAPSHOTS in connection.capabilities:
            return
        host, pool = binding.host, binding.pool
        calls: dict[str, tuple[Any, ...]] = {
            "snapshot_volume": (host, pool, VOLUME, WANTED),
            "restore_volume": (host, pool, VOLUME, SNAPSHOT, "token"),
            "delete_volume_snapshot": (host, pool, SNAPSHOT),
            "create_volume": (host, DesiredVolume(VOLUME, "data", OWNER, pool, 8 * MIB, snapshot=SNAPSHOT)),
        }
        self._refuse(calls, connection.volumes)
        assert binding.leftovers(VOLUME) == binding.leftovers(SNAPSHOT) == set()

    def test_consoles(self, binding: Binding, connection: Connection, make: Maker) -> None:
        if Capability.CONSOLE in connection.capabilities:
            return
        vm = make.created(empty=True)
        self._refuse({"open": (binding.host, vm.instance), "log": (binding.host, vm.instance)}, connection.consoles)

    def test_snapshots_of_vms(self, binding: Binding, connection: Connection, make: Maker) -> None:
        if Capability.SNAPSHOTS in connection.capabilities:
            return
        vm = make.created(empty=True)
        before = binding.fingerprint(vm.instance)
        calls: dict[str, tuple[Any, ...]] = {
            "create_snapshot": (binding.host, vm.instance, WANTED),
            "restore": (binding.host, vm.instance, SNAPSHOT, "token"),
            "delete_snapshot": (binding.host, vm.instance, SNAPSHOT),
        }
        self._refuse(calls, connection.snapshots)
        assert binding.fingerprint(vm.instance) == before
