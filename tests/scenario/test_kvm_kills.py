"""Kills and lost status with a real libvirt host: its VMs are exactly those declared, none made or started twice."""

from __future__ import annotations

import random
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controller.ipam import instance_id
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.contract.kvm_binding import FOREIGN, one_host  # noqa: E402
from tests.lab.host import Host  # noqa: E402

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]  # twelve starts of a controller, each waited for

KILLS = 10
VMS = 5
PATIENCE = 300.0
STRANGER = "33333333-3333-4333-8333-333333333333"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as running:
        yield running


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, host: Host) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=1) as running:
        running.api.apply(*make.kvm_site(host.uri, pool_of(host)), make.template(running.image_url, running.checksum))
        running.api.apply(make.offering("small", 1, "32Mi"), make.offering("large", 2, "48Mi"))
        yield running


def test_ten_kills_and_a_lost_status(cloud: LiveCloud, host: Host) -> None:
    with closing(libvirt.open(host.uri)) as admin:
        admin.defineXML(FOREIGN.format(instance=STRANGER))
    dice = random.Random(5)
    for kill in range(KILLS):
        cloud.controller.start()
        if kill < VMS:
            cloud.api.apply(vm(kill))
        act(cloud, dice, min(kill + 1, VMS))
        cloud.until(lambda: cloud.controller.leads, "the controller leads", PATIENCE)
        time.sleep(dice.uniform(0.0, 3.0))
        assert cloud.controller.alive
        cloud.controller.kill()
    cloud.api.delete("VirtualMachine", "vm-0")
    cloud.controller.start()
    cloud.until(lambda: len(cloud.api.list("VirtualMachine")) == VMS - 1, "vm-0 is gone", PATIENCE)
    cloud.await_current(deadline=PATIENCE)
    check(cloud, host)
    before, chosen = running(host), placed(cloud)
    cloud.controller.kill()
    cloud.api.wipe_status()
    cloud.controller.start()
    cloud.await_current(deadline=PATIENCE)
    check(cloud, host)
    assert (running(host), placed(cloud)) == (before, chosen)
    for number in range(1, VMS):
        cloud.api.delete("VirtualMachine", f"vm-{number}")
    cloud.until(lambda: not cloud.api.list("VirtualMachine"), "all are gone", PATIENCE)
    check(cloud, host)


def vm(number: int) -> make.Manifest:
    return make.vm(f"vm-{number}", stopMode="Hard", rootDisk={"size": "32Mi"})


def act(cloud: LiveCloud, dice: random.Random, made: int) -> None:
    """Change one VM."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    power = dice.choice(["On", "Off"])
    change: dict[str, Any] = dice.choice(
        [{"powerState": power}, {"offering": "large"}, {"offering": "small"}, {"restartedAt": now}]
    )
    cloud.api.patch("VirtualMachine", f"vm-{dice.randrange(made)}", {"spec": change})


def check(cloud: LiveCloud, host: Host) -> None:
    """Domains, their power, their size and the pool's files are those declared, and the stranger's domain is there."""
    declared = {str(instance_id(each["metadata"]["uid"])): each for each in cloud.api.list("VirtualMachine")}
    offerings = {each["metadata"]["name"]: each["spec"] for each in cloud.api.list("ServiceOffering")}
    have = domains(host)
    assert have.pop(STRANGER)[0] is False
    assert set(have) == set(declared)
    for instance, (on, cpus, _) in have.items():
        spec = declared[instance]["spec"]
        assert (on, cpus) == (spec["powerState"] == "On", offerings[spec["offering"]]["cpus"])
    disks = [path.name for path in Path(pool_of(host)).glob("*-root.qcow2")]
    assert sorted(disks) == sorted(f"{instance}-root.qcow2" for instance in declared)
    addresses = [nic["ip"] for each in declared.values() for nic in each["status"]["nics"]]
    assert len(addresses) == len(set(addresses)) == len(declared)


def domains(host: Host) -> dict[str, tuple[bool, int, int]]:
    """By UUID: whether it runs, the CPUs of its next start, and libvirt's id, which each start changes."""
    with closing(libvirt.open(host.uri)) as admin:
        return {each.UUIDString(): (bool(each.isActive()), _cpus(each), each.ID()) for each in admin.listAllDomains()}


def running(host: Host) -> dict[str, int]:
    return {instance: number for instance, (on, _, number) in domains(host).items() if on}


def placed(cloud: LiveCloud) -> dict[str, Any]:
    """What the controller chose for each VM."""
    return {each["metadata"]["name"]: (each["status"]["host"], each["status"]["nics"]) for each in cloud.api.list("VirtualMachine")}


def pool_of(host: Host) -> str:
    return str(host.local / "pools" / "scenario")


def _cpus(domain: Any) -> int:
    vcpu = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find("vcpu")
    assert vcpu is not None
    return int(vcpu.get("current") or vcpu.text or 0)
