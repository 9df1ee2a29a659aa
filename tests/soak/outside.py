"""What somebody does on the hypervisors, past Vireo: some of it must be put right, some of it left alone."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from random import Random

from controller.ipam import volume_id
from drivers.errors import InvalidSpec, NotFound
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import CensusVM
from drivers.types import InstanceID, Power
from tests.soak.declared import VM, Declared
from tests.soak.site import HOSTS, THEIRS, Site
from tests.soak.users import FIRST
from tests.support.live.cloud import host_names

MOST_FOREIGN = 4


class Outside:
    """Each act returns what was done, in words, or "" when nothing could be done.

    `deleted` counts how often a VM was deleted by hand, `foreign` are VMs that aren't ours, as HOST/UUID.
    """

    def __init__(self, site: Site, declared: Declared, random: Random) -> None:
        self._site = site
        self._declared = declared
        self._random = random
        self.deleted: Counter[InstanceID] = Counter()
        self.foreign: list[str] = []
        self._made = 0
        self._acts: list[Callable[[VM, CensusVM], str]] = [
            self._power,
            self._power,
            self._write,
            self._write,
            self._write_volume,
            self._set_cpus,
            self._remove_nic,
            self._detach,
            self._move,
            self._delete,
            self._rename,
        ]

    def act(self) -> str:
        """One act, on a VM that was there at the last calm, or on none."""
        if self._random.random() < 0.1:
            return self._strange()
        owners = {each["metadata"]["uid"]: each["metadata"]["name"] for each in self._site.cloud.api.list("VirtualMachine")}
        names = {uid: name for uid, name in owners.items() if name in self._declared.vms and self._declared.vms[name].settled}
        there = [each for each in self._site.cloud.control.census().vms if each.owner in names]
        if not there:
            return ""
        have = self._random.choice(sorted(there, key=lambda each: names[each.owner]))
        vm = self._declared.vms[names[have.owner]]
        vm.changed = True
        try:
            return self._random.choice(self._acts)(vm, have)
        except (NotFound, InvalidSpec):  # Vireo was quicker
            return ""

    def _do(self, act: Act, have: CensusVM, value: str = "") -> str:
        self._site.cloud.control.act(act, f"{have.host}/{have.instance}", value)
        return f"{act} {have.name} {value}".strip()

    def _strange(self) -> str:
        if len(self.foreign) >= MOST_FOREIGN or self._random.random() < 0.5:
            self._site.cloud.control.act(Act.FORGET_TASKS)
            return "tasks are forgotten"
        identity = uuid.UUID(int=self._random.getrandbits(128), version=4)
        target = f"{self._random.choice(host_names(HOSTS))}/{identity}"
        self._site.cloud.control.act(Act.FOREIGN_VM, target, self._described())
        self.foreign.append(target)
        return f"foreign VM {target}"

    def _described(self) -> str:
        """A VM that can be adopted, on the first network and in the pool; or one without disks and interfaces."""
        network = self._site.cloud.api.get("Network", FIRST) or {}
        if self._random.random() < 0.3:
            return ""
        self._made = (self._made + 1) % (255 - THEIRS)
        disk, vlan = f"disk=/pools/shared/legacy-{self._made}.img:{1 << 30}", network["status"]["segment"]["vlan"]
        nic = f"nic=52:54:00:00:00:{self._made:02x}/{vlan}/10.1.0.{THEIRS + self._made}"
        return f"name=legacy-{self._made} cpus=1 memory={1 << 30} {disk} {nic}"

    def _power(self, _: VM, have: CensusVM) -> str:
        acts = [Act.POWER_OFF, Act.CRASH_VM] if have.power is Power.ON else [Act.POWER_ON]
        return self._do(self._random.choice(acts), have)

    def _write(self, vm: VM, have: CensusVM) -> str:
        """What the guest writes must stay, whatever happens to the VM."""
        if vm.read:
            return ""
        content = f"{vm.name} {self._random.randrange(10**6)}"
        done = self._do(Act.WRITE_DISK, have, f"root={content}")
        vm.content = content
        return done

    def _write_volume(self, _: VM, have: CensusVM) -> str:
        """The same for a volume, which need not be this VM's."""
        free = [each for each in self._declared.volumes.values() if each.settled and not each.read]
        free = [each for each in free if not each.vm or not self._declared.vms[each.vm].read]
        if not free:
            return ""
        volume = self._random.choice(free)
        found = self._site.cloud.api.get("Volume", volume.name) or {}
        content = f"{volume.name} {self._random.randrange(10**6)}"
        self._site.cloud.control.act(Act.WRITE_VOLUME, f"{have.host}/{volume_id(found['metadata']['uid'])}", content)
        volume.content = content
        return f"write to {volume.name}"

    def _set_cpus(self, vm: VM, have: CensusVM) -> str:
        return self._do(Act.SET_CPUS, have, "7") if vm.corrects else ""

    def _remove_nic(self, vm: VM, have: CensusVM) -> str:
        return self._do(Act.REMOVE_NIC, have, have.nics[0].name) if vm.corrects and have.nics else ""

    def _detach(self, vm: VM, have: CensusVM) -> str:
        if not vm.corrects or not have.volumes or self._declared.of_vm(vm.name):
            return ""
        return self._do(Act.DETACH_VOLUME, have, have.volumes[0].volume)

    def _move(self, vm: VM, have: CensusVM) -> str:
        """To another host."""
        others = [name for name in host_names(HOSTS) if name != have.host]
        return "" if vm.held or vm.read else self._do(Act.MOVE_VM, have, self._random.choice(others))

    def _delete(self, vm: VM, have: CensusVM) -> str:
        """It must come back, on its own disks. Snapshots would be lost with it."""
        if self._declared.of_vm(vm.name) or have.snapshots or vm.read:
            return ""
        done = self._do(Act.DELETE_VM, have)
        self.deleted[have.instance] += 1
        return done

    def _rename(self, _: VM, have: CensusVM) -> str:
        return self._do(Act.RENAME_VM, have, f"{have.name}-renamed")
