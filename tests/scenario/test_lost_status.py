"""All status is lost, as after a restore of etcd without it: the same VMs are found again, none made or started twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import Census
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings

HOSTS = 4
VMS = 24
NETWORKS = ["front", "back"]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=HOSTS) as running:
        running.controller.start()
        running.basics(HOSTS, endpoint_per_host=True)
        running.api.apply(make.network("back", "10.2.0.0/24"))
        running.api.apply(*(make.vm(f"vm-{number:02}", NETWORKS[: 1 + number % 2], **_spec(number)) for number in range(VMS)))
        for kind in ("Network", "VirtualMachine"):
            running.await_current(kind)
        yield running


def _spec(number: int) -> dict[str, Any]:
    """Some are off."""
    return {"powerState": "Off"} if number % 6 == 5 else {}


def wiped_while_stopped(cloud: LiveCloud) -> None:
    cloud.controller.kill()
    cloud.api.wipe_status()
    cloud.controller.start()


def wiped_while_running(cloud: LiveCloud) -> None:
    cloud.api.wipe_status()


def wiped_twice_with_a_kill_between(cloud: LiveCloud) -> None:
    cloud.api.wipe_status()
    cloud.controller.kill()
    cloud.api.wipe_status()
    cloud.controller.start()


@pytest.mark.parametrize("wipe", [wiped_while_stopped, wiped_while_running, wiped_twice_with_a_kill_between])
def test_the_same_vms_are_found_again(cloud: LiveCloud, wipe: Callable[[LiveCloud], None]) -> None:
    statuses, census = what_stays(cloud), cloud.control.census()
    wipe(cloud)
    for kind in ("Host", "Network", "VirtualMachine"):
        cloud.await_current(kind)
    assert what_stays(cloud) == statuses
    assert untouched(cloud.control.census()) == untouched(census)
    assert findings(cloud.api, cloud.control.census()) == []


def test_new_vms_get_nothing_that_a_lost_status_recorded(cloud: LiveCloud) -> None:
    before = what_stays(cloud)
    cloud.controller.kill()
    cloud.api.wipe_status()
    cloud.api.apply(*(make.vm(f"late-{number}", NETWORKS) for number in range(4)), make.network("third", "10.3.0.0/24"))
    cloud.controller.start()
    for kind in ("Network", "VirtualMachine"):
        cloud.await_current(kind)
    after = what_stays(cloud)
    assert {name: after[name] for name in before} == before
    assert findings(cloud.api, cloud.control.census()) == []
    cloud.api.delete("Network", "third")
    for number in range(4):
        cloud.api.delete("VirtualMachine", f"late-{number}")
    cloud.await_gone("VirtualMachine", *(f"late-{number}" for number in range(4)))
    cloud.await_gone("Network", "third")


def test_a_vm_on_a_host_out_of_reach_is_waited_for_and_not_made_again(cloud: LiveCloud) -> None:
    """VMs elsewhere are found at once; those on the host, and new ones, wait for it or go where they can't collide."""
    statuses, census = what_stays(cloud), cloud.control.census()
    there = {vm.name.removeprefix("shop-") for vm in census.vms if vm.host == "host-00002"}
    assert there
    cloud.controller.kill()
    cloud.control.act(Act.CUT_HOST, "host-00002")
    cloud.api.wipe_status()
    cloud.controller.start()
    cloud.await_current(names=sorted({name for name, kind in statuses if kind == "VirtualMachine"} - there))
    for name in there:
        cloud.await_reason("VirtualMachine", name, "HostsNotObserved", "host-00002")
    assert untouched(cloud.control.census()) == untouched(census)
    cloud.control.act(Act.HEAL_HOST, "host-00002")
    cloud.await_current()
    assert what_stays(cloud) == statuses
    assert untouched(cloud.control.census()) == untouched(census)


def what_stays(cloud: LiveCloud) -> dict[tuple[str, str], Any]:
    """What the controller chose once and for all: host, identity and addresses of VMs, VLANs of networks."""
    vms = {(each["metadata"]["name"], "VirtualMachine"): _chosen(each["status"]) for each in cloud.api.list("VirtualMachine")}
    networks = {(each["metadata"]["name"], "Network"): each["status"]["segment"] for each in cloud.api.list("Network")}
    return vms | networks


def untouched(census: Census) -> Any:
    """What must not change: VMs with their power, starts and times made, and disks."""
    return sorted(census.vms, key=lambda vm: vm.instance), sorted(census.disks, key=lambda disk: disk.instance)


def _chosen(status: dict[str, Any]) -> Any:
    return {name: status.get(name) for name in ("host", "cluster", "instanceID", "nics", "ipAddress", "disks", "state")}
