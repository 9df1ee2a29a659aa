"""What users do to VMs, volumes and snapshots, and operators to hosts and pools, while something fails, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import Census
from tests.support import kstatus
from tests.support.live import manifests as make
from tests.support.live.api import Manifest
from tests.support.live.audit import findings
from tests.support.live.cloud import LiveCloud, host_names

KINDS = ("SnapshotRestore", "Snapshot", "Volume", "VirtualMachine")
"""What they make. Each is looked at before those that it works on: what is done to them is over when it is."""

OLD, NEW = "old", "new"
"""What was written to each volume, and to the disk of the VM `returning`: OLD before snapshots were taken, NEW after it."""

HOLDS = {"leaving": NEW, "spare": NEW, "growing": NEW, "kept": NEW, "data": OLD, "copied": OLD, "fresh": ""}
"""What the volumes hold in the end: `data` was brought back, `copied` made of its snapshot."""


MAINTAINED = host_names(4)[-1]
"""The host that operators look after."""

PASSING = ("passing", "coming")
"""Pools that go while it fails, the second one being made meanwhile; nothing is placed there."""


def mounts(*volumes: str) -> list[dict[str, str]]:
    """spec.volumes of a VM."""
    return [{"name": each, "volume": each} for each in volumes]


def volume(name: str, size: str = "1Gi", **spec: Any) -> Manifest:
    """A Volume in the pool that all hosts share."""
    return make.manifest("Volume", name, zone="z", pool="shared", size=size, **spec)


class Users:
    """Users and operators: `begin`, then `act` while it fails, then `act_again`; `left` are the objects that shall be there in the
    end.
    """

    def __init__(self, cloud: LiveCloud) -> None:
        self.cloud = cloud
        self.api = cloud.api
        self.left: dict[str, set[str]] = {kind: set() for kind in KINDS}

    def begin(self, patience: float) -> None:
        """A cloud where all is well, with snapshots of what was there before it was written to."""
        self.api.apply(make.offering("passing", 1, "1Gi"), _pool(PASSING[0]))
        self.cloud.await_current("StoragePool")
        self._make(*map(volume, ("leaving", "spare", "growing", "doomed", "kept", "data")))
        self._make(*(make.vm(f"old-{number}") for number in range(5)), make.vm("old-5", volumes=mounts("leaving")))
        self._make(make.vm("keeper", volumes=mounts("kept")), make.vm("returning", powerState="Off"))
        self.await_done(patience)
        self._write(OLD)
        self._snap("virtualMachine", early="keeper", taken="returning")
        self._snap("volume", copy="data", stale="growing")
        self.await_done(patience)
        self._write(NEW)

    def act(self) -> None:
        """A bit of everything, while the fault is there."""
        self._make(*(make.vm(f"new-{number}") for number in range(4)))
        self._change("VirtualMachine", "old-0", powerState="Off")
        self._change("VirtualMachine", "old-1", restartedAt="2026-01-02T03:04:05Z")
        self._change("VirtualMachine", "old-4", powerState="Off", offering="large")
        self._delete("VirtualMachine", "old-2", "old-3")
        self.api.delete("ServiceOffering", "passing")
        self._make(volume("fresh"), make.vm("owner", volumes=mounts("fresh")), volume("fleeting"))
        self._make(make.manifest("Volume", "copied", zone="z", size="2Gi", source={"snapshot": {"name": "copy"}}))
        self._change("VirtualMachine", "old-5", volumes=mounts("spare"))  # one goes, another one comes
        self._change("Volume", "growing", size="2Gi")
        self._delete("Volume", "doomed")
        self._snap("virtualMachine", shot="keeper")
        self._snap("volume", passing="growing", nightly="kept")
        self._make(*(make.manifest("SnapshotRestore", f"back-{to}", snapshot=to) for to in ("taken", "copy")))
        self._delete("Snapshot", "early", "stale")
        self._change("Host", MAINTAINED, adminState="Maintenance")
        self.api.apply(_pool(PASSING[1]))
        self.api.delete("StoragePool", PASSING[0])

    def act_again(self) -> None:
        """More of it when the fault has been there for a while, on what may be half done by now."""
        self._delete("VirtualMachine", "new-0", "owner")
        self._change("VirtualMachine", "new-1", powerState="Off")
        self._make(*(make.vm(f"late-{number}") for number in range(2)))
        self._change("VirtualMachine", "old-5", volumes=mounts("leaving"))
        self._change("VirtualMachine", "old-1", volumes=mounts("spare"))
        self._change("Volume", "growing", size="3Gi")
        self._delete("Volume", "fleeting")
        self._delete("Snapshot", "passing")
        self._change("Host", MAINTAINED, adminState="Enabled")
        self.api.delete("StoragePool", PASSING[1])

    def end(self, patience: float) -> None:
        """All of it has come true."""
        self.cloud.await_gone("ServiceOffering", "passing")
        self.cloud.await_gone("StoragePool", *PASSING)
        self.await_done(patience)
        for kind in ("Host", "StoragePool"):
            self.cloud.await_current(kind)

    def await_done(self, patience: float) -> None:
        """All that shall be there is as declared, in one look, and nothing else is there. Raises AssertionError."""
        self.cloud.until(lambda: all(map(self._is_done, KINDS)), f"all is as declared: {self.left}", patience)

    def wrong(self) -> list[str]:
        """Everything that is not as declared, does not hold what it should, or was done more often than once."""
        census = self.cloud.control.census()
        return [*findings(self.api, census), *_contents(census), *_repeated(census)]

    def _is_done(self, kind: str) -> bool:
        found = self.api.list(kind)
        current = (kstatus.compute(each) == kstatus.CURRENT and kstatus.wait_for_ready(each) for each in found)
        return {each["metadata"]["name"] for each in found} == self.left[kind] and all(current)

    def _make(self, *manifests: Manifest) -> None:
        self.api.apply(*manifests)
        for each in manifests:
            self.left[each["kind"]].add(each["metadata"]["name"])

    def _snap(self, of: str, **names: str) -> None:
        self._make(*(make.manifest("Snapshot", name, **{of: source}) for name, source in names.items()))

    def _change(self, kind: str, name: str, **spec: Any) -> None:
        self.api.patch(kind, name, {"spec": spec})

    def _delete(self, kind: str, *names: str) -> None:
        for name in names:
            self.api.delete(kind, name)
        self.left[kind].difference_update(names)

    def _write(self, content: str) -> None:
        census = self.cloud.control.census()
        for each in census.volumes:
            self.cloud.control.act(Act.WRITE_VOLUME, f"{host_names(1)[0]}/{each.volume}", content)
        [vm] = [vm for vm in census.vms if vm.name == "shop-returning"]
        self.cloud.control.act(Act.WRITE_DISK, f"{vm.host}/{vm.instance}", f"root={content}")


def clear_away(cloud: LiveCloud) -> None:
    """Delete all that was made, in no particular order, and wait until it is gone."""
    cloud.api.patch("Host", MAINTAINED, {"spec": {"adminState": "Enabled"}})
    for name in PASSING:
        cloud.api.delete("StoragePool", name)
    for kind in KINDS:
        for each in cloud.api.list(kind):
            cloud.api.delete(kind, each["metadata"]["name"])
    cloud.until(lambda: not any(map(cloud.api.list, KINDS)), "all is deleted")
    cloud.await_gone("StoragePool", *PASSING)


def _pool(name: str) -> Manifest:
    found = make.pool(name)
    return {**found, "spec": {**found["spec"], "allocationState": "Disabled"}}


def _contents(census: Census) -> Iterator[str]:
    """What volumes, and the disk that was brought back, hold and should not."""
    volumes = {each.name.removeprefix("shop-"): each.content for each in census.volumes}
    yield from _differences(volumes, HOLDS)
    [vm] = [vm for vm in census.vms if vm.name == "shop-returning"]
    disks = {disk.name: disk.content for disk in census.disks if disk.instance == vm.instance}
    yield from _differences(disks, {"root": OLD})


def _differences(found: dict[str, str], wanted: dict[str, str]) -> Iterable[str]:
    unlike = [name for name in found | wanted if found.get(name) != wanted.get(name)]
    return [f"{name} holds {found.get(name)!r}, not {wanted.get(name)!r}" for name in unlike]


def _repeated(census: Census) -> Iterator[str]:
    """What was done twice, though the controller never died."""
    for vm in census.vms:
        if vm.restores != (vm.name == "shop-returning"):
            yield f"{vm.name} was brought back {vm.restores} times"
    yield from (f"snapshot {each.name} was made {each.made} times" for each in census.snapshots if each.made != 1)
