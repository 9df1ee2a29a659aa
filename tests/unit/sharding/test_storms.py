"""Whatever users do and whatever happens to the processes: nobody's work is done twice, and in the end all is as declared."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from tests.support.live.audit import findings
from tests.support.snapshots import restore, snapshot
from tests.support.vms import vm
from tests.support.volumes import mounts, volume

from .world import Replica, ShardedCloud, clusters, play

VMS = [f"vm-{number}" for number in range(6)]
VOLUMES = ["data-0", "data-1"]
NICS: list[list[dict[str, str]]] = [
    [{"name": "front", "network": "front"}],
    [{"name": "front", "network": "front"}, {"name": "more", "network": "front"}],
]


class Objects:
    """The API server, as the audit looks at it."""

    def __init__(self, cloud: ShardedCloud) -> None:
        self._cloud = cloud

    def list(self, kind: str) -> list[dict[str, Any]]:
        return [raw for key, raw in self._cloud.api.objects.items() if key.kind == kind]


class Users:
    """Ask for anything, at any time."""

    def __init__(self, cloud: ShardedCloud, source: random.Random) -> None:
        self.cloud, self.source = cloud, source
        self.snapshots = 0
        self.deeds: list[Callable[[str], None]] = [
            self.make,
            self.make,
            self.remove,
            self.switch,
            self.resize,
            self.rewire,
            self.attach,
            self.snap,
            self.unsnap,
            self.kick,
        ]

    def act(self) -> None:
        self.source.choice(self.deeds)(self.source.choice(VMS))

    def there(self, name: str) -> bool:
        raw = self.cloud.api.objects.get(next((key for key in self.cloud.api.objects if key.name == name), None))  # type: ignore[arg-type]
        return raw is not None and "deletionTimestamp" not in raw["metadata"]

    def make(self, name: str) -> None:
        if not self.cloud.exists("VirtualMachine", f"shop/{name}"):
            self.cloud.apply(vm(name))

    def remove(self, name: str) -> None:
        if self.there(name):
            self.cloud.delete("VirtualMachine", f"shop/{name}")

    def switch(self, name: str) -> None:
        self.change(name, powerState=self.source.choice(["On", "Off"]))

    def resize(self, name: str) -> None:
        self.change(name, offering=self.source.choice(["small", "large"]))

    def rewire(self, name: str) -> None:
        self.change(name, networks=self.source.choice(NICS))

    def attach(self, name: str) -> None:
        self.change(name, volumes=mounts(*self.source.choice([[], ["data-0"], ["data-1"]])))

    def change(self, name: str, **spec: Any) -> None:
        if self.there(name):
            self.cloud.edit(name, **spec)

    def snap(self, name: str) -> None:
        if self.there(name) and not any(key.kind == "Snapshot" for key in self.cloud.api.objects):
            self.snapshots += 1
            self.cloud.apply(snapshot(f"snap-{self.snapshots}", f"virtualMachine: {name}"))
            if self.source.random() < 0.5:
                self.cloud.apply(restore(f"back-{self.snapshots}", f"snap-{self.snapshots}"))

    def unsnap(self, _name: str) -> None:
        for key in [key for key in self.cloud.api.objects if key.kind in ("Snapshot", "SnapshotRestore")]:
            self.cloud.delete(key.kind, f"shop/{key.name}")

    def kick(self, name: str) -> None:
        """Somebody switches a VM off on the hypervisor."""
        if any(each.owner and each.owner.name == name for each in self.cloud.datacentre.vms):
            self.cloud.datacentre.act(Act.POWER_OFF, name)


class Fate:
    """Processes die, end, come, and lose their way to the API server for a while."""

    def __init__(self, cloud: ShardedCloud, source: random.Random) -> None:
        self.cloud, self.source, self.born = cloud, source, 0
        for _ in range(3):
            self.bear()

    def bear(self) -> None:
        self.born += 1
        self.cloud.add(f"r{self.born}")

    async def act(self) -> None:
        name = self.source.choice(sorted(self.cloud.replicas))
        replica = self.cloud.replicas[name]
        match self.source.choice(["kill", "stop", "cut", "mend", "mend"]):
            case "kill":
                await self.cloud.replicas.pop(name).kill()
                self.bear()
            case "stop":
                await replica.stop()  # which has its Leases until then
                del self.cloud.replicas[name]
                self.bear()
            case "cut":
                replica.cut()
            case "mend":
                replica.mend()


def sleeping() -> Callable[[Replica], float]:
    """Each fourth call finds its process asleep, cut off, and is made 40 seconds later, when others have its Lease.

    Only the fence is in its way.
    """
    numbers = itertools.count(1)

    def still(replica: Replica) -> float:
        if next(numbers) % 4:
            return 0.0
        replica.cut()
        asyncio.get_running_loop().call_later(45.0, replica.mend)
        return 40.0

    return still


@pytest.mark.parametrize("seed", range(8))
def test_any_interleaving(seed: int) -> None:
    async def story(cloud: ShardedCloud) -> None:
        source = random.Random(seed)
        users, fate = Users(cloud, source), Fate(cloud, source)
        cloud.apply(clusters())
        await asyncio.sleep(20)
        cloud.stands_still = sleeping()
        for name in VOLUMES:
            cloud.apply(volume(name))
        for _ in range(60):
            users.act()
            if source.random() < 0.2:
                await fate.act()
            await asyncio.sleep(source.choice([0.0, 0.01, 0.3, 2.0, 6.0]))
        for replica in cloud.replicas.values():
            replica.mend()
        cloud.stands_still = lambda _: 0.0
        await asyncio.sleep(60)
        users.unsnap("")
        for name in VMS:
            users.change(name, powerState="On", volumes=[])
        await cloud.settled(400)
        assert findings(Objects(cloud), cloud.datacentre.census) == []
        assert not [cloud.text(name) for name in VMS if users.there(name) and cloud.reason(name) != ("True", "Running")]
        assert sorted(n for each in cloud.replicas.values() for n in each.shards) == [0, 1, 2]
        assert len({call.shard for call in cloud.calls}) > 1

    play(story, seed=seed)
