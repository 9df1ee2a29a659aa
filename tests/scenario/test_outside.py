"""What happens behind Vireo's back: on the hypervisor, to a host, to the API server, to a leader."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller.ipam import instance_id
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import CensusVM
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.types import Power
from tests.kubectl import Kubectl
from tests.support import kstatus
from tests.support.live import History, LiveCloud, working_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings

HOSTS = 4
SICK = "host-00003"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with working_cloud(tmp_path_factory.mktemp("cloud"), HOSTS) as running:
        yield running


@pytest.fixture(autouse=True)
def tidy(cloud: LiveCloud) -> Iterator[None]:
    """Each test ends with all its VMs deleted and nothing of ours left."""
    yield
    cloud.control.clear_faults()
    for vm in cloud.api.list("VirtualMachine"):
        cloud.api.delete("VirtualMachine", vm["metadata"]["name"])
    cloud.until(lambda: not cloud.api.list("VirtualMachine"), "VMs are deleted")
    assert findings(cloud.api, cloud.control.census()) == []


def made(cloud: LiveCloud, name: str, **spec: Any) -> CensusVM:
    cloud.api.apply(make.vm(name, **spec))
    cloud.await_current(names=[name])
    return seen(cloud, name)


def seen(cloud: LiveCloud, name: str) -> CensusVM:
    return next(vm for vm in cloud.control.census().vms if vm.name == f"shop-{name}")


def events(cloud: LiveCloud, name: str, reason: str) -> list[str]:
    """What Events of that reason say of a VM."""
    found = Kubectl(cloud.plane.kubectl()).json("get", "events.events.k8s.io", "-A")["items"]
    return [each["note"] for each in found if (each["regarding"].get("name"), each["reason"]) == (name, reason)]


def test_a_power_loss_is_corrected(cloud: LiveCloud) -> None:
    vm = made(cloud, "web")
    cloud.control.act(Act.POWER_OFF, f"{vm.host}/{vm.instance}")
    cloud.until(lambda: seen(cloud, "web").power is Power.ON, "it is started again")
    cloud.await_current(names=["web"])
    assert seen(cloud, "web").starts == vm.starts + 1


def test_a_power_loss_is_reported_where_that_is_the_policy(cloud: LiveCloud) -> None:
    vm = made(cloud, "web", driftPolicy="Report")
    cloud.control.act(Act.POWER_OFF, f"{vm.host}/{vm.instance}")
    found = cloud.await_reason("VirtualMachine", "web", "PowerStateDrift", "declared is On; driftPolicy is Report")
    assert kstatus.compute(found) == kstatus.FAILED
    assert seen(cloud, "web").power is Power.OFF
    cloud.control.act(Act.POWER_ON, f"{vm.host}/{vm.instance}")
    cloud.await_current(names=["web"])


def test_an_interface_moved_to_another_bridge_is_reported_and_put_back_where_that_is_the_policy(cloud: LiveCloud) -> None:
    left, corrected = made(cloud, "web"), made(cloud, "right", driftPolicy="Correct")
    for vm in (left, corrected):
        cloud.control.act(Act.MOVE_NIC, f"{vm.host}/{vm.instance}", f"{vm.nics[0].name}=elsewhere/7")
    cloud.until(lambda: events(cloud, "right", "HardwareDrift"), "an event tells of it")
    cloud.until(lambda: seen(cloud, "right").nics == corrected.nics, "it is put back")
    cloud.await_current(names=["right"])
    place = f"bridge guest, {left.nics[0].segment}"
    words = f"interfaces ({left.nics[0].name} is on bridge elsewhere, vlan-7 instead of {place})"
    found = cloud.await_reason("VirtualMachine", "web", "HardwareDrift", words)
    assert kstatus.compute(found) == kstatus.FAILED
    [in_sync] = [each for each in found["status"]["conditions"] if each["type"] == "InSync"]
    assert (in_sync["status"], in_sync["reason"], words in in_sync["message"]) == ("False", "Drift", True)
    assert seen(cloud, "web").nics[0].moved is not None


def test_a_network_that_a_host_loses_is_reported_and_put_back_where_that_is_the_policy(cloud: LiveCloud) -> None:
    there = {"placement": {"host": "host-00002"}}
    left, corrected = made(cloud, "web", **there), made(cloud, "right", driftPolicy="Correct", **there)
    made(cloud, "elsewhere", placement={"host": "host-00001"})
    cloud.control.act(Act.LOSE_NETWORK, "host-00002", "guest")
    nic = left.nics[0]
    words = f"{nic.name} of network {nic.network} is in the air: the host has no bridge guest, {nic.segment}"
    found = cloud.await_reason("VirtualMachine", "web", "HardwareDrift", words)
    assert kstatus.compute(found) == kstatus.FAILED
    told = {each["type"]: (each["status"], each["reason"]) for each in found["status"]["conditions"]}
    assert (told["InSync"], told["NetworksReady"]) == (("False", "Drift"), ("False", "Unplugged"))
    cloud.await_reason("VirtualMachine", "right", "NetworkMissing", words)
    cloud.until(lambda: events(cloud, "right", "HardwareDrift"), "an event tells of it")
    cloud.await_current(names=["elsewhere"])
    cloud.control.act(Act.HEAL_NETWORK, "host-00002", "guest")
    cloud.await_current(names=["right"])
    assert (seen(cloud, "right").nics, seen(cloud, "right").starts) == (corrected.nics, 1)
    assert seen(cloud, "web").nics[0].unplugged is not None


def test_a_host_that_vanishes_leaves_its_vms_unknown_and_alone_until_it_is_back(cloud: LiveCloud) -> None:
    vm = made(cloud, "web")
    history = History(cloud.api, "VirtualMachine")
    cloud.control.act(Act.UNLIST_HOST, vm.host)
    found = cloud.await_reason("VirtualMachine", "web", "HostDown", vm.host)
    assert found["status"]["state"] == "Unknown"
    made(cloud, "db")
    assert seen(cloud, "db").host != vm.host
    cloud.control.act(Act.LIST_HOST, vm.host)
    cloud.await_current(names=["web"])
    assert (seen(cloud, "web").host, seen(cloud, "web").made, seen(cloud, "web").starts) == (vm.host, 1, vm.starts)
    assert not history.said("web", "InstanceMissing", "")


def test_a_vm_deleted_by_hand_is_made_again_on_its_disk(cloud: LiveCloud) -> None:
    vm = made(cloud, "web")
    history = History(cloud.api, "VirtualMachine")
    cloud.control.act(Act.WRITE_DISK, f"{vm.host}/{vm.instance}", "root=precious")
    cloud.control.act(Act.DELETE_VM, f"{vm.host}/{vm.instance}")
    cloud.until(lambda: history.said("web", "InstanceMissing", "looked for again"), "it is said, for ten seconds")
    cloud.await_current(names=["web"])
    assert seen(cloud, "web").host == vm.host
    assert [disk.content for disk in cloud.control.census().disks if disk.instance == vm.instance] == ["precious"]


def test_a_vm_deleted_by_hand_is_reported_and_its_disk_kept_where_that_is_the_policy(cloud: LiveCloud) -> None:
    vm = made(cloud, "web", recreatePolicy="Never")
    cloud.control.act(Act.DELETE_VM, f"{vm.host}/{vm.instance}")
    found = cloud.await_reason("VirtualMachine", "web", "InstanceMissing", "delete this object and apply it again")
    assert kstatus.compute(found) == kstatus.FAILED
    census = cloud.control.census()
    assert vm.instance not in {each.instance for each in census.vms}
    assert vm.instance in {disk.instance for disk in census.disks}


def test_a_foreign_vm_with_the_identity_of_ours_is_explained_and_left_alone(cloud: LiveCloud) -> None:
    """The VM's host is known before its identity is: it waits for its offering while somebody takes that."""
    cloud.api.apply(make.vm("web", offering="later", placement={"host": "host-00001"}))
    waiting = cloud.await_reason("VirtualMachine", "web", "OfferingNotFound", "later")
    target = f"host-00001/{instance_id(waiting['metadata']['uid'])}"
    cloud.control.act(Act.FOREIGN_VM, target)
    cloud.api.apply(make.offering("later", 1, "1Gi"))
    cloud.await_reason("VirtualMachine", "web", "HypervisorConflict", "was not made by Vireo")
    foreign = [vm for vm in cloud.control.census().vms if f"{vm.host}/{vm.instance}" == target]
    assert [(vm.owner, vm.power, vm.name) for vm in foreign] == [("", Power.ON, "foreign")]
    cloud.control.act(Act.DELETE_VM, target)
    cloud.await_current(names=["web"])


def test_a_hung_host_does_not_hold_up_the_others(cloud: LiveCloud) -> None:
    cloud.control.add_fault(Fault(FaultKind.HANG, object=SICK))
    names = [f"vm-{number:02}" for number in range(30)]
    cloud.api.apply(*(make.vm(name) for name in names))
    cloud.until(
        lambda: sum(kstatus.compute(vm) == kstatus.CURRENT for vm in cloud.api.list("VirtualMachine")) >= 20, "most are ready"
    )
    cloud.api.apply(make.vm("late", placement={"host": "host-00001"}))
    cloud.await_current(names=["late"])
    cloud.control.clear_faults()
    cloud.await_current()


def test_the_api_server_restarts_while_vms_are_made(cloud: LiveCloud) -> None:
    names = [f"vm-{number:02}" for number in range(30)]
    cloud.api.apply(*(make.vm(name) for name in names))
    process = cloud.controller.pid
    cloud.plane.stop()
    time.sleep(5)
    cloud.plane.start()
    cloud.await_current(names=names)
    assert (cloud.controller.alive, cloud.controller.pid) == (True, process)
    assert findings(cloud.api, cloud.control.census()) == []


def test_a_second_replica_takes_over_and_a_frozen_leader_does_nothing_when_it_wakes(cloud: LiveCloud) -> None:
    second = cloud.replica("controller-1")
    second.start()
    try:
        vm = made(cloud, "web")
        cloud.controller.freeze()
        cloud.until(lambda: second.leads, "the second replica leads")
        made(cloud, "db")
        cloud.api.patch("VirtualMachine", "web", {"spec": {"powerState": "Off"}})
        cloud.await_current(names=["web"])
        cloud.controller.thaw()
        time.sleep(5)
        assert (seen(cloud, "web").power, seen(cloud, "web").starts, seen(cloud, "web").made) == (Power.OFF, vm.starts, 1)
        second.kill()
        cloud.until(lambda: _holder(cloud) == "controller-0", "the first replica leads again")
        cloud.api.patch("VirtualMachine", "web", {"spec": {"powerState": "On"}})
        cloud.await_current(names=["web"])
        assert findings(cloud.api, cloud.control.census()) == []
    finally:
        second.kill()


def _holder(cloud: LiveCloud) -> str:
    return cloud.api.lease("vireo-controller")
