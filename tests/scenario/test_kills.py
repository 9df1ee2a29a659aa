"""The controller is killed again and again while users change everything: afterwards the cloud is exactly as declared."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.types import Power
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings

HOSTS = 8
VMS = 100
KILLS = 50
SLOW = [f"--duration={method}=0.7" for method in ("compute.create", "compute.delete", "power.start", "power.stop", "compute.apply")]
"""Native tasks take a moment, so that kills meet work under way."""

BEGUN = 15.0
"""Seconds after which a controller that leads surely is at work."""

FOREIGN = ["host-00001/11111111-1111-4111-8111-111111111111", "host-00004/22222222-2222-4222-8222-222222222222"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path / "cloud", *SLOW, hosts=HOSTS) as running:
        yield running


class Users:
    """Change VMs at random; `powers` is what each is declared, `ons` how often it was told to run or to restart."""

    def __init__(self, cloud: LiveCloud, seed: int) -> None:
        self.api = cloud.api
        self.random = random.Random(seed)
        self.powers: dict[str, str] = {}
        self.ons: Counter[str] = Counter()
        self.made = 0

    def create(self) -> None:
        name = f"vm-{self.made:03}"
        self.made += 1
        self.powers[name], self.ons[name] = "On", 1
        self.api.apply(make.vm(name, rootDisk={"size": "1Gi"}))

    def act(self) -> None:
        """Do one thing to a VM chosen at random."""
        name = self.random.choice(sorted(self.powers))
        self.random.choice([self.toggle, self.toggle, self.resize, self.resize, self.grow, self.restart, self.delete])(name)

    def toggle(self, name: str) -> None:
        power = "Off" if self.powers[name] == "On" else "On"
        self.powers[name] = power
        self.ons[name] += power == "On"
        self._change(name, powerState=power)

    def resize(self, name: str) -> None:
        self._change(name, offering=self.random.choice(["small", "large", "narrow"]))

    def grow(self, name: str) -> None:
        found = self.api.get("VirtualMachine", name)
        assert found is not None
        size = int(found["spec"]["rootDisk"]["size"].removesuffix("Gi"))
        self._change(name, rootDisk={"size": f"{size + 1}Gi"})

    def restart(self, name: str) -> None:
        self.ons[name] += 1
        self._change(name, restartedAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def delete(self, name: str) -> None:
        del self.powers[name]
        self.api.delete("VirtualMachine", name)

    def _change(self, name: str, **spec: object) -> None:
        self.api.patch("VirtualMachine", name, {"spec": spec})


@pytest.mark.timeout(2700)
def test_fifty_kills_leave_exactly_the_declared_vms(cloud: LiveCloud) -> None:
    users = Users(cloud, seed=3)
    for target in FOREIGN:
        cloud.control.act(Act.FOREIGN_VM, target)
    cloud.control.add_fault(Fault(FaultKind.LOSE_REPLY, probability=0.01))
    cloud.basics(HOSTS)
    interrupted = 0
    for kill in range(KILLS):
        cloud.controller.start()
        _work(users, kill)
        cloud.until(lambda: cloud.controller.leads, "the controller leads")
        _await_work(cloud)
        time.sleep(users.random.uniform(0.5, 2.5))
        assert cloud.controller.alive, cloud.controller.log.read_text()[-2000:]
        cloud.controller.kill()
        interrupted += _at_work(cloud)
    cloud.control.clear_faults()
    cloud.controller.start()
    cloud.until(
        lambda: {each["metadata"]["name"] for each in cloud.api.list("VirtualMachine")} == set(users.powers), "deleted are gone"
    )
    cloud.await_current(names=sorted(users.powers), deadline=600)
    census = cloud.control.census()
    assert findings(cloud.api, census) == []
    assert users.made == VMS
    assert interrupted > KILLS, "the kills met too little work to prove anything"
    starts = {vm.name.removeprefix("shop-"): vm.starts for vm in census.vms if vm.owner}
    assert {name: count for name, count in starts.items() if count > users.ons[name]} == {}, "powered on more often than told"
    foreign = {f"{vm.host}/{vm.instance}": vm.power for vm in census.vms if not vm.owner}
    assert foreign == dict.fromkeys(FOREIGN, Power.ON)


def _await_work(cloud: LiveCloud) -> None:
    """Give a controller on a busy machine the time to begin; it may as well be done already."""
    end = time.monotonic() + BEGUN
    while not _at_work(cloud) and time.monotonic() < end:
        time.sleep(0.1)


def _at_work(cloud: LiveCloud) -> int:
    """VMs in the middle of a job."""
    jobs = [each.get("status", {}).get("job") or {} for each in cloud.api.list("VirtualMachine")]
    return sum(job.get("status") == "InProgress" for job in jobs)


def _work(users: Users, kill: int) -> None:
    """Two or more VMs are made before each kill, and others are changed."""
    while users.made * KILLS < VMS * (kill + 1):
        users.create()
    for _ in range(4):
        users.act()
