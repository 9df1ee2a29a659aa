"""The simulator as a counterpart of the contract suite."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from drivers.base import Connection
from drivers.simulator.connect import SimulatorDriver
from drivers.simulator.connection import SimulatorConnection
from drivers.simulator.control import Control
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.local import LocalTransport
from drivers.simulator.service import Service
from drivers.types import (
    Attachment,
    Credentials,
    Endpoint,
    GuestInfo,
    HostID,
    ImageFile,
    InstanceID,
    ISCSITarget,
    NetworkBackend,
    NFSExport,
    PoolSpec,
    RBDPool,
    SnapshotID,
    VolumeID,
)
from tests.support.simulator import SimulatorProcess

from .suite import Alteration

VOLUME_CALLS = ("create_volume", "grow_volume", "delete_volume", "snapshot_volume", "restore_volume", "delete_volume_snapshot")
METHODS = {
    "create": "compute.create",
    "delete": "compute.delete",
    "apply": "compute.apply",
    "start": "power.start",
    "stop": "power.stop",
    "put_image": "storage.put_image",
    **{call: f"volumes.{call}" for call in VOLUME_CALLS},
    **{call: f"snapshots.{call}" for call in ("create_snapshot", "restore", "delete_snapshot")},
}


class SimulatorBinding:
    """Common to all ways of reaching the simulator; `control` is a session with the same datacentre."""

    driver = SimulatorDriver()
    host = HostID("host-00002")
    pool = PoolSpec("contract", "/var/lib/vireo/contract")
    root = pool.path
    """What the paths of its files begin with."""
    _other = PoolSpec("other", "/var/lib/vireo/other")
    san = PoolSpec("san", "", shared=True, iscsi=ISCSITarget("san.example.org", "iqn.2026-01.org.example:contract"))
    ceph = PoolSpec("ceph", "", shared=True, rbd=RBDPool(("mon1.example.org", "192.0.2.9:6789"), "vms", "vireo", "c2VjcmV0"))
    attachment = Attachment(NetworkBackend.OVS, "br-guests")
    memory = 64 * 1024**2
    bad_urls: Sequence[str] = (
        "simulator://",
        "simulator://127.0.0.1",
        "simulator://127.0.0.1:x",
        "simulator://127.0.0.1:1/a/b",
        "simulator://127.0.0.1:1?host=a",
        "simulator://127.0.0.1:1?timeout=-1",
        "simulator://127.0.0.1:1#a",
        "simulator://user:word@127.0.0.1:1",
    )
    dead = Endpoint("simulator://127.0.0.1:1?timeout=2")
    told_of_running = ()
    bad_pools: Sequence[str] = ("/proc/vireo", "/", "/var//vireo", "/var/\n")

    def __init__(self, control: Control, endpoint: Endpoint, directory: Path) -> None:
        self._control = control
        self.endpoint = endpoint
        image = directory / "image.qcow2"
        image.write_bytes(b"QFI\xfb" + b"\0" * 4092)
        self.image = ImageFile("contract-image-sha256-0.qcow2", str(image), 1024**2, 4096)

    def connect(self, cloud: str = "") -> Connection:
        return self.driver.connect(replace(self.endpoint, cloud=cloud))

    def make_foreign_vm(self, instance: InstanceID) -> None:
        self._control.act(Act.FOREIGN_VM, f"{self.host}/{instance}")

    def remove_foreign_vm(self, instance: InstanceID) -> None:
        self.drop_definition(instance)

    def drop_definition(self, instance: InstanceID) -> None:
        self._control.act(Act.DELETE_VM, f"{self.host}/{instance}")

    def make_unmanaged_vm(self, instance: InstanceID, mac: str, other_mac: str, size: int) -> None:
        connection = self.connect()
        connection.storage.ensure_pool(self.host, self._other)
        connection.close()
        disks = f"disk={self.pool.path}/old-{instance}.img:{size} disk={self._other.path}/old-{instance}.img:{size}"
        words = f"name=old memory={self.memory} {disks} nic={mac}/10 nic={other_mac}/"
        self._control.act(Act.FOREIGN_VM, f"{self.host}/{instance}", words)

    def remove_unmanaged_vm(self, instance: InstanceID) -> None:
        for vm in self._control.census().vms:
            if vm.instance == instance:
                self.drop_definition(instance)

    def share_disk(self, path: str, instance: InstanceID) -> None:
        self._control.act(Act.FOREIGN_VM, f"{self.host}/{instance}", f"off disk={path}:1")

    def essence(self, instance: InstanceID) -> object:
        census = self._control.census()
        [vm] = [vm for vm in census.vms if (vm.host, vm.instance) == (self.host, instance)]
        disks = sorted((disk.path, disk.size, disk.content) for disk in census.disks if disk.instance == instance)
        return vm.name, vm.power, vm.cpus, vm.memory, vm.starts, disks

    def unmanaged_disks(self, instance: InstanceID) -> set[str]:
        disks = (disk for disk in self._control.census().disks if disk.instance == instance)
        return {f"{disk.path}/{disk.content}" for disk in disks}

    def move_nic(self, instance: InstanceID, mac: str, vlan: int) -> None:
        [vm] = [vm for vm in self._control.census().vms if (vm.host, vm.instance) == (self.host, instance)]
        [name] = [nic.name for nic in vm.nics if nic.mac == mac]
        self._control.act(Act.MOVE_NIC, f"{self.host}/{instance}", f"{name}={self.attachment.bridge}/{vlan}")

    def alter(self, instance: InstanceID, what: Alteration) -> None:
        [vm] = [vm for vm in self._control.census().vms if (vm.host, vm.instance) == (self.host, instance)]
        acts = {
            Alteration.CPUS: (Act.SET_CPUS, str(vm.cpus // 2)),
            Alteration.MEMORY: (Act.SET_MEMORY, str(vm.memory // 2)),
            Alteration.ADDED_DEVICE: (Act.ADD_DEVICE, "usb-1"),
            Alteration.REMOVED_NIC: (Act.REMOVE_NIC, vm.nics[0].name),
            Alteration.MOVED_NIC: (Act.MOVE_NIC, f"{vm.nics[0].name}={self.attachment.bridge}/11"),
        }
        act, value = acts[what]
        self._control.act(act, f"{self.host}/{instance}", value)

    def lose_network(self) -> None:
        self._control.act(Act.LOSE_NETWORK, self.host, self.attachment.bridge)

    def heal_network(self) -> None:
        self._control.act(Act.HEAL_NETWORK, self.host, self.attachment.bridge)

    def cut_power(self, instance: InstanceID) -> None:
        self._control.act(Act.POWER_OFF, f"{self.host}/{instance}")

    def fingerprint(self, instance: InstanceID) -> object:
        census = self._control.census()
        [vm] = [vm for vm in census.vms if (vm.host, vm.instance) == (self.host, instance)] or [None]
        if vm is None or not vm.owner:
            return vm
        connection = self.connect()
        seen = replace(connection.compute.observe(self.host, instance), guest=GuestInfo())
        connection.close()
        return vm, seen

    def leftovers(self, identity: InstanceID | VolumeID | SnapshotID) -> set[str]:
        census = self._control.census()
        vms = {f"VM on {vm.host}" for vm in census.vms if vm.instance == identity}
        disks = {disk.name for disk in census.disks if disk.instance == identity}
        stored = {f"volume in {one.path}" for one in census.volumes if one.volume == identity}
        kept = {f"snapshot in {one.path}" for one in census.snapshots if one.snapshot == identity}
        taken = {f"snapshot of {vm.instance}" for vm in census.vms for one in vm.snapshots if one.snapshot == identity}
        return vms | disks | stored | kept | taken

    def write(self, path: str, marker: str) -> None:
        name = path.removeprefix(f"{self.root}/")
        if name.startswith("volume-"):
            self._control.act(Act.WRITE_VOLUME, f"{self.host}/{name.removeprefix('volume-')}", marker)
        else:
            self._control.act(Act.WRITE_DISK, f"{self.host}/{name[:36]}", f"{name[37:]}={marker}")

    def read(self, path: str) -> str:
        census = self._control.census()
        disks = [disk.content for disk in census.disks if f"{disk.path}/{disk.instance}-{disk.name}" == path]
        volumes = [one.content for one in census.volumes if f"{one.path}/volume-{one.volume}" == path]
        [content] = disks + volumes
        return content

    def have_lun(self, number: int, size: int) -> None:
        self._control.act(Act.SET_LUN, f"iqn.2026-01.org.example:contract@san.example.org:3260/{number}", str(size))

    def lose_reply(self, call: str) -> None:
        self._control.add_fault(Fault(FaultKind.LOSE_REPLY, METHODS[call], count=1))


class ServedBinding(SimulatorBinding):
    """Over TCP, from a server process."""

    def __init__(self, process: SimulatorProcess, directory: Path, host: str = "") -> None:
        super().__init__(process.control(), process.endpoint(host), directory)


class LocalBinding(SimulatorBinding):
    """In this process, without sockets."""

    def __init__(self, service: Service, directory: Path) -> None:
        super().__init__(Control(LocalTransport(service)), Endpoint("simulator://127.0.0.1:1"), directory)
        self._service = service

    def connect(self, cloud: str = "") -> Connection:
        return SimulatorConnection(LocalTransport(self._service), Credentials(), cloud=cloud)


class NFSBinding(LocalBinding):
    """In this process, with a pool that is an NFS export."""

    pool = PoolSpec("contract", "/mnt/contract", shared=True, nfs=NFSExport("nfs1", "/vms"))
    root = "nfs://nfs1/vms"
