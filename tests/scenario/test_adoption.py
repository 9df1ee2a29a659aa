"""Adoption with a real API server, a simulator of many hosts behind one endpoint, and a controller that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import CensusVM
from drivers.types import Power
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings

HOSTS = 4
ID = "4f3c2b1a-0d9e-4c8b-a7f6-e5d4c3b2a190"
TARGET = f"host-00003/{ID}"
IP = "10.1.0.60"


@pytest.fixture
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=HOSTS) as running:
        running.controller.start()
        running.basics(HOSTS)
        running.api.apply(make.cluster(running.simulator.url) | {"spec": spec(running)})
        for kind in ("Host", "StoragePool", "Template", "Network"):
            running.await_current(kind)
        running.control.act(Act.FOREIGN_VM, TARGET, description(running))
        yield running


def spec(cloud: LiveCloud) -> dict[str, Any]:
    """The cluster's, which lets every namespace adopt."""
    return make.cluster(cloud.simulator.url)["spec"] | {"adopters": {"from": "All"}}


def description(cloud: LiveCloud) -> str:
    vlan = cloud.api.get("Network", "front")["status"]["segment"]["vlan"]  # type: ignore[index]
    return f"name=legacy cpus=1 memory={1 << 30} disk=/pools/shared/legacy.img:{1 << 30} nic=52:54:00:00:00:01/{vlan}/{IP}"


def adopting(mode: str, offering: str = "small") -> dict[str, Any]:
    adopt = {"instanceID": ID, "mode": mode}
    return make.manifest(
        "VirtualMachine", "legacy", zone="z", offering=offering, adopt=adopt, networks=[{"name": "front", "network": "front"}]
    )


def there(cloud: LiveCloud) -> CensusVM:
    return next(vm for vm in cloud.control.census().vms if vm.instance == ID)


def test_from_a_report_to_an_adopted_vm_and_back(cloud: LiveCloud) -> None:
    before = cloud.control.census()
    cloud.api.apply(adopting("Report", "large"))
    found = cloud.await_reason("VirtualMachine", "legacy", "AdoptionReport", "spec.offering")
    assert found["status"]["adoption"]["phase"] == "Differs"
    cloud.api.apply(adopting("Report"))
    found = cloud.await_reason("VirtualMachine", "legacy", "AdoptionReport", "exactly as declared")
    assert found["status"]["adoption"] == {"phase": "Matches", "host": "host-00003"}
    assert cloud.control.census() == before

    cloud.api.apply(adopting("Adopt"))
    cloud.await_current(names=["legacy"])
    mine = there(cloud)
    assert (mine.power, mine.starts, [nic.ip for nic in mine.nics]) == (Power.ON, 1, [IP])
    assert findings(cloud.api, cloud.control.census()) == []

    cloud.controller.kill()
    cloud.api.wipe_status()
    cloud.controller.start()
    for kind in ("Network", "VirtualMachine"):
        cloud.await_current(kind)
    assert there(cloud) == mine

    cloud.control.act(Act.POWER_OFF, TARGET)
    cloud.until(lambda: there(cloud).power is Power.ON, "it is started again")
    cloud.await_current(names=["legacy"])
    cloud.api.delete("VirtualMachine", "legacy")
    cloud.await_gone("VirtualMachine", "legacy")
    left = there(cloud)
    assert (left.owner, left.power, left.starts) == ("", Power.ON, 2)
