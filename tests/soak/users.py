"""What users do: one random operation after another, each of which may be carried out whatever else is under way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

from tests.soak.declared import VM, Declared, Snapshot, Volume
from tests.support.live import Api
from tests.support.live import manifests as make

Thing = TypeVar("Thing")
OFFERINGS = ["small", "large", "narrow"]
FIRST, SECOND = "front", "back"
"""Networks: each VM is on the first, some on the second."""
MOST = {"vms": 45, "volumes": 20, "snapshots": 15, "restores": 6}
"""When there are so many, some are deleted before more are made."""
LEAST = {"vms": 20, "volumes": 8}
"""As long as there are fewer, none is deleted."""


class Users:
    """Each operation returns what was done, in words, or "" when nothing could be done.

    They heed what the documentation says of snapshots: a VM that has some gets no volumes and its disks don't grow; one that is
    brought back without memory is Off. So everything that is declared can come true.
    """

    def __init__(self, api: Api, random: Random) -> None:
        self._api = api
        self._random = random
        self._made = 0
        self.declared = Declared(networks={FIRST, SECOND}, offerings=set(OFFERINGS), templates={"tiny"})
        self._table: list[tuple[int, Callable[[], str]]] = [
            (10, self.create),
            (6, self.delete),
            (12, self.toggle),
            (6, self.resize),
            (6, self.restart),
            (4, self.grow_root),
            (5, self.change_networks),
            (6, self.create_volume),
            (4, self.delete_volume),
            (7, self.attach),
            (5, self.detach),
            (4, self.grow_volume),
            (5, self.snapshot_vm),
            (4, self.snapshot_volume),
            (4, self.restore_vm),
            (3, self.restore_volume),
            (4, self.delete_snapshot),
            (4, self.delete_restore),
            (3, self.passing_network),
            (3, self.passing_offering),
            (2, self.edit_network),
            (2, self.edit_offering),
        ]

    def act(self) -> str:
        """One operation that is possible now."""
        while True:
            [operation] = self._random.choices([each for _, each in self._table], [weight for weight, _ in self._table])
            if done := operation():
                return done

    # VMs -----------------------------------------------------------------------------------------------------------

    def create(self) -> str:
        if len(self.declared.vms) >= MOST["vms"]:
            return self.delete()
        vm = VM(self._name("vm"), self._random.choice(OFFERINGS), self._random.choice(["On", "On", "On", "Off"]))
        vm.corrects, vm.networks = self._random.random() < 0.5, [FIRST, *([SECOND] if self._random.random() < 0.3 else [])]
        free = self._free_volumes()
        if free and self._random.random() < 0.3:
            self._take(vm, self._random.choice(free))
        spec: dict[str, Any] = {"driftPolicy": "Correct"} if vm.corrects else {}
        spec |= {"volumes": _mounts(vm), "rootDisk": {"size": "1Gi"}, "powerState": vm.power, "offering": vm.offering}
        self._api.apply(make.vm(vm.name, vm.networks, stopTimeout="5s", **spec))
        self.declared.vms[vm.name] = vm
        return f"create {vm.name}"

    def delete(self) -> str:
        """With its snapshots and what was to be restored from them, in any order."""
        if len(self.declared.vms) < LEAST["vms"]:
            return ""
        vm = self._random.choice(list(self.declared.vms.values()))
        snapshots = [each.name for each in self.declared.of_vm(vm.name)]
        gone = [("VirtualMachine", vm.name), *(("Snapshot", each) for each in snapshots)]
        gone += [("SnapshotRestore", each) for each in self.declared.of_snapshots(snapshots)]
        self._random.shuffle(gone)
        for name in vm.volumes:
            volume = self.declared.volumes[name]
            volume.vm, volume.content = "", "" if vm.read else volume.content
        self._delete(gone)
        return f"delete {vm.name} and {len(gone) - 1} of its snapshots and restores"

    def toggle(self) -> str:
        vm = self._any(each for each in self.declared.vms.values() if not each.held)
        if not vm:
            return ""
        vm.power = "Off" if vm.power == "On" else "On"
        return self._change(vm, powerState=vm.power)

    def resize(self) -> str:
        if not (vm := self._any(self.declared.vms.values())):
            return ""
        vm.offering = self._random.choice(OFFERINGS)
        return self._change(vm, offering=vm.offering)

    def restart(self) -> str:
        vm = self._any(each for each in self.declared.vms.values() if not each.held)
        return self._change(vm, restartedAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")) if vm else ""

    def grow_root(self) -> str:
        if not (vm := self._any(self._without_snapshots())):
            return ""
        vm.size, vm.storing = vm.size + 1, True
        return self._change(vm, rootDisk={"size": f"{vm.size}Gi"})

    def change_networks(self) -> str:
        if not (vm := self._any(self.declared.vms.values())):
            return ""
        vm.networks = [FIRST] if SECOND in vm.networks else [FIRST, SECOND]
        return self._change(vm, networks=[{"name": each, "network": each} for each in vm.networks])

    # Volumes -------------------------------------------------------------------------------------------------------

    def create_volume(self) -> str:
        if len(self.declared.volumes) >= MOST["volumes"]:
            return self.delete_volume()
        volume, spec = Volume(self._name("volume"), self._random.randint(1, 4)), {}
        sources = [each for each in self.declared.snapshots.values() if each.volume and each.taken]
        if sources and self._random.random() < 0.4:
            source = self._random.choice(sources)
            spec, volume.content = {"source": {"snapshot": {"name": source.name}}}, source.content
            volume.size = source.size + self._random.randint(0, 2)
        self._api.apply(make.manifest("Volume", volume.name, zone="z", size=f"{volume.size}Gi", **spec))
        self.declared.volumes[volume.name] = volume
        return f"create {volume.name} {spec}"

    def delete_volume(self) -> str:
        """With snapshots that may not be taken yet; those that are outlive it."""
        if len(self.declared.volumes) < LEAST["volumes"]:
            return ""
        vms = self.declared.vms
        volume = self._any(
            each for each in self.declared.volumes.values() if not each.vm or vms[each.vm] in self._without_snapshots()
        )
        if not volume:
            return ""
        gone = [("Snapshot", each.name) for each in self.declared.of_volume(volume.name) if not each.taken]
        restores = self.declared.of_snapshots(each.name for each in self.declared.of_volume(volume.name))
        gone += [("Volume", volume.name), *(("SnapshotRestore", each) for each in restores)]
        if volume.vm:
            self._leave(vms[volume.vm], volume)
        self._delete(gone)
        return f"delete {volume.name}"

    def attach(self) -> str:
        vm, volume = self._any(self._without_snapshots()), self._any(self._free_volumes())
        if not vm or not volume or len(vm.volumes) >= 4:
            return ""
        self._take(vm, volume)
        return self._change(vm, volumes=_mounts(vm))

    def detach(self) -> str:
        vm = self._any(each for each in self._without_snapshots() if each.volumes)
        if not vm:
            return ""
        return self._leave(vm, self.declared.volumes[self._random.choice(vm.volumes)])

    def grow_volume(self) -> str:
        free = {each.name for each in self._without_snapshots()}
        volume = self._any(each for each in self.declared.volumes.values() if not each.vm or each.vm in free)
        if not volume or volume.read:
            return ""
        volume.size += 1
        if volume.vm:
            self.declared.vms[volume.vm].storing = True
        self._api.patch("Volume", volume.name, {"spec": {"size": f"{volume.size}Gi"}})
        return f"grow {volume.name} to {volume.size}"

    # Snapshots -----------------------------------------------------------------------------------------------------

    def snapshot_vm(self) -> str:
        vm = self._any(each for each in self.declared.vms.values() if not each.held and not each.storing)
        if not vm or len(self.declared.snapshots) >= MOST["snapshots"]:
            return self.delete_snapshot()
        snapshot = Snapshot(self._name("snapshot"), vm=vm.name, content=vm.content, memory=self._random.random() < 0.4)
        snapshot.memory = snapshot.memory and vm.power == "On"
        snapshot.contents = {each: self.declared.volumes[each].content for each in vm.volumes}
        vm.read, vm.held = True, vm.held or snapshot.memory
        how: dict[str, Any] = {"includeMemory": True} if snapshot.memory else {}
        if not how and vm.power == "On" and self._random.random() < 0.3:
            how, vm.held = {"quiesce": True}, True
        self._api.apply(make.manifest("Snapshot", snapshot.name, virtualMachine=vm.name, **how))
        self.declared.snapshots[snapshot.name] = snapshot
        return f"{snapshot.name} of {vm.name} {how}"

    def snapshot_volume(self) -> str:
        volume = self._any(each for each in self.declared.volumes.values() if not each.read)
        if not volume or len(self.declared.snapshots) >= MOST["snapshots"]:
            return self.delete_snapshot()
        snapshot = Snapshot(self._name("snapshot"), volume=volume.name, size=volume.size, content=volume.content)
        volume.read = True
        self._api.apply(make.manifest("Snapshot", snapshot.name, volume=volume.name))
        self.declared.snapshots[snapshot.name] = snapshot
        return f"{snapshot.name} of {volume.name}"

    def restore_vm(self) -> str:
        vms = self.declared.vms
        ready = [each for each in self.declared.snapshots.values() if each.vm and each.taken]
        snapshot = self._any(each for each in ready if self._untouched(vms[each.vm]))
        if not snapshot or len(self.declared.restores) >= MOST["restores"]:
            return self.delete_restore()
        vm = vms[snapshot.vm]
        vm.held, vm.read, vm.content = True, True, snapshot.content
        for name, content in snapshot.contents.items():
            self.declared.volumes[name].content = content
            self.declared.volumes[name].read = True
        name = self._restore(snapshot)
        if not snapshot.memory and vm.power == "On":
            vm.power = "Off"
            self._change(vm, powerState="Off")
        return f"{name} of {snapshot.name} to {vm.name}"

    def restore_volume(self) -> str:
        volumes = self.declared.volumes
        ready = [each for each in self.declared.snapshots.values() if each.volume in volumes and each.taken]
        ready = [each for each in ready if not volumes[each.volume].vm and not volumes[each.volume].read]
        snapshot = self._any(each for each in ready if volumes[each.volume].settled)
        if not snapshot or len(self.declared.restores) >= MOST["restores"]:
            return self.delete_restore()
        volumes[snapshot.volume].read, volumes[snapshot.volume].content = True, snapshot.content
        return f"{self._restore(snapshot)} of {snapshot.name} to {snapshot.volume}"

    def delete_snapshot(self) -> str:
        """One that nothing waits for."""
        vms, volumes = self.declared.vms, self.declared.volumes
        busy = set(self.declared.restores.values())
        unsettled = any(not each.settled for each in volumes.values())
        snapshot = self._any(
            each
            for each in self.declared.snapshots.values()
            if each.name not in busy and not (each.volume and unsettled) and not (each.vm and vms[each.vm].read)
        )
        if not snapshot:
            return ""
        self._delete([("Snapshot", snapshot.name)])
        return f"delete {snapshot.name}"

    def delete_restore(self) -> str:
        """One that is done: what is deleted before it began has no effect."""
        done = [name for name, snapshot in self.declared.restores.items() if not self._subject(snapshot).read]
        if not done:
            return ""
        name = self._random.choice(done)
        self._delete([("SnapshotRestore", name)])
        return f"delete {name}"

    # What VMs stand on ---------------------------------------------------------------------------------------------

    def passing_network(self) -> str:
        """A network that comes, or goes again."""
        if gone := sorted(self.declared.networks - {FIRST, SECOND}):
            self._delete([("Network", gone[0])])
            return f"delete {gone[0]}"
        name = self._name("network")
        self._api.apply(make.network(name, "10.9.0.0/24"))
        self.declared.networks.add(name)
        return f"create {name}"

    def passing_offering(self) -> str:
        """An offering that comes, or goes again."""
        if gone := sorted(self.declared.offerings - set(OFFERINGS)):
            self._delete([("ServiceOffering", gone[0])])
            return f"delete {gone[0]}"
        name = self._name("offering")
        self._api.apply(make.offering(name, 1, "1Gi"))
        self.declared.offerings.add(name)
        return f"create {name}"

    def edit_network(self) -> str:
        dns = f"10.0.0.{self._random.randint(1, 9)}"
        self._api.patch("Network", SECOND, {"spec": {"subnet": {"dns": [dns]}}})
        return f"{SECOND} has DNS server {dns}"

    def edit_offering(self) -> str:
        self._api.patch("ServiceOffering", "small", {"spec": {"displayName": f"Small {self._random.randint(1, 9)}"}})
        return "small has another display name"

    # ---------------------------------------------------------------------------------------------------------------

    def _any(self, things: Iterable[Thing]) -> Thing | None:
        found = list(things)
        return self._random.choice(found) if found else None

    def _name(self, stem: str) -> str:
        self._made += 1
        return f"{stem}-{self._made}"

    def _without_snapshots(self) -> list[VM]:
        having = {each.vm for each in self.declared.snapshots.values()}
        return [vm for vm in self.declared.vms.values() if vm.name not in having]

    def _free_volumes(self) -> list[Volume]:
        return [each for each in self.declared.volumes.values() if not each.vm and not each.read]

    def _untouched(self, vm: VM) -> bool:
        return not vm.held and not vm.read and not any(self.declared.volumes[each].read for each in vm.volumes)

    def _subject(self, snapshot: str) -> VM | Volume:
        found = self.declared.snapshots[snapshot]
        return self.declared.vms[found.vm] if found.vm else self.declared.volumes[found.volume]

    def _take(self, vm: VM, volume: Volume) -> None:
        vm.volumes.append(volume.name)
        volume.vm, vm.storing = vm.name, True

    def _leave(self, vm: VM, volume: Volume) -> str:
        vm.volumes.remove(volume.name)
        volume.vm, vm.storing = "", True
        return self._change(vm, volumes=_mounts(vm))

    def _restore(self, snapshot: Snapshot) -> str:
        name = self._name("restore")
        self._api.apply(make.manifest("SnapshotRestore", name, snapshot=snapshot.name))
        self.declared.restores[name] = snapshot.name
        return name

    def _change(self, vm: VM, **spec: Any) -> str:
        vm.changed = True
        self._api.patch("VirtualMachine", vm.name, {"spec": spec})
        return f"{vm.name}: {spec}"

    def _delete(self, gone: Iterable[tuple[str, str]]) -> None:
        tables: dict[str, Any] = {
            "VirtualMachine": self.declared.vms,
            "Volume": self.declared.volumes,
            "Snapshot": self.declared.snapshots,
            "SnapshotRestore": self.declared.restores,
        }
        for kind, name in gone:
            self._api.delete(kind, name)
            if kind in tables:
                del tables[kind][name]
            else:
                self.declared.names()[kind].remove(name)


def _mounts(vm: VM) -> list[dict[str, str]]:
    return [{"name": each, "volume": each} for each in vm.volumes]
