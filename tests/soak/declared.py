"""What users have declared: the model that a soak compares the cloud with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from drivers.types import HostID, InstanceID, Power


@dataclass
class VM:
    """A VM. `content` is what was written to its root disk last, "" if that is not known; `size` in GiB.

    `settled`: it was there at the last calm. Until the next one its power must stay if it is `held`, what its disks hold if it is
    `read`; and no snapshot may be taken if it is `storing`: disks grow, come or go. `changed`: something was asked of it,
    or done to it by hand.
    """

    name: str
    offering: str
    power: str = "On"
    size: int = 1
    corrects: bool = False
    volumes: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    content: str = ""
    settled: bool = False
    held: bool = False
    read: bool = False
    storing: bool = False
    changed: bool = False


@dataclass
class Volume:
    """A volume, on the VM `vm` or on none. `read`: its content, and that no VM has it, must stay until the next calm."""

    name: str
    size: int
    vm: str = ""
    content: str = ""
    settled: bool = False
    read: bool = False


@dataclass
class Snapshot:
    """A snapshot of a VM or of a volume, with what that held; `size` in GiB at most. `taken`: it was there at the last calm."""

    name: str
    vm: str = ""
    volume: str = ""
    memory: bool = False
    size: int = 0
    content: str = ""
    contents: dict[str, str] = field(default_factory=dict)
    """Of a VM's volumes, by name."""
    taken: bool = False


@dataclass(frozen=True)
class Seen:
    """What must stay of a VM that is let go or adopted: interfaces as (MAC address, VLAN), disks as (path, bytes, content).

    `starts` counts power-ons, `crashes` those of its host.
    """

    host: HostID
    power: Power
    starts: int
    cpus: int
    memory: int
    nics: frozenset[tuple[str, int | None]]
    disks: frozenset[tuple[str, int, str]]
    crashes: int


@dataclass
class Stay:
    """A VM that stays when its object comes or goes. `owner` is the mark that it has to carry while no object is there."""

    instance: InstanceID
    offering: str
    networks: list[str]
    before: Seen
    owner: str = ""
    settled: bool = False


@dataclass
class Declared:
    """All objects that users made and did not delete, by name; `restores` name their snapshot.

    `adopted` are VMs that somebody else made, or that had been let go, by the name of their object; `left` those that were let go
    and have no object, by their identity.
    """

    vms: dict[str, VM] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    restores: dict[str, str] = field(default_factory=dict)
    networks: set[str] = field(default_factory=set)
    offerings: set[str] = field(default_factory=set)
    templates: set[str] = field(default_factory=set)
    adopted: dict[str, Stay] = field(default_factory=dict)
    left: dict[str, Stay] = field(default_factory=dict)

    def names(self) -> dict[str, set[str]]:
        """Names by kind."""
        return {
            "VirtualMachine": {*self.vms, *self.adopted},
            "Volume": set(self.volumes),
            "Snapshot": set(self.snapshots),
            "SnapshotRestore": set(self.restores),
            "Network": self.networks,
            "ServiceOffering": self.offerings,
            "Template": self.templates,
        }

    def staying(self) -> list[Stay]:
        """What was adopted or let go."""
        return [*self.adopted.values(), *self.left.values()]

    def of_vm(self, vm: str) -> list[Snapshot]:
        """Snapshots of a VM."""
        return [each for each in self.snapshots.values() if each.vm == vm]

    def of_volume(self, volume: str) -> list[Snapshot]:
        """Snapshots of a volume."""
        return [each for each in self.snapshots.values() if each.volume == volume]

    def of_snapshots(self, names: Iterable[str]) -> list[str]:
        """Restores of these snapshots."""
        wanted = set(names)
        return [restore for restore, snapshot in self.restores.items() if snapshot in wanted]

    def calm(self) -> None:
        """All is as declared: nothing is under way any more."""
        for vm in self.vms.values():
            vm.settled, vm.held, vm.read, vm.storing, vm.changed = True, False, False, False, False
        for stay in self.staying():
            stay.settled = True
        for volume in self.volumes.values():
            volume.settled, volume.read = True, False
        for snapshot in self.snapshots.values():
            snapshot.taken = True
