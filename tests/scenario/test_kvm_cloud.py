"""A hundred VMs over three libvirt hosts: created, changed and deleted in one run, the controller killed in each part."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.live import manifests as make
from tests.support.tables import Report

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.scenario.kvmsite import Site, site

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

VMS = 100
HOSTS = 3
CHANGED = range(75)
"""VMs that are changed: 25 get another size and a restart, 25 stop, 25 get a volume while they run."""
FIRMWARE = range(96, 100)
"""VMs with UEFI: each has a file of firmware variables on its host."""
PATIENCE = 1500.0
TABLE = f"{VMS} VMs over {HOSTS} KVM hosts, the controller killed in each part"


@pytest.fixture(scope="module")
def the_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("cloud"), HOSTS) as made:
        made.apply()
        yield made


def test_a_hundred_vms_are_created_changed_and_deleted(the_site: Site, report: Report) -> None:
    cloud = the_site.cloud
    cloud.controller.start()
    part(the_site, report, "created", lambda: create(the_site), lambda: len(the_site.machines()) >= VMS // 2)
    assert {machine.host for _, machine in the_site.machines()} == {host.name for host in the_site.hosts}
    part(the_site, report, "75 changed", lambda: change(the_site), lambda: attached(the_site) >= len(CHANGED) // 9)
    part(the_site, report, "25 switched on again", lambda: switch_on(the_site), lambda: off(the_site) <= len(CHANGED) // 6)
    part(the_site, report, "deleted", lambda: delete(the_site), lambda: len(the_site.machines()) <= VMS // 2)
    assert the_site.machines() == []
    cloud.until(lambda: the_site.addresses_in_use() == 0, "no address is in use", PATIENCE)


def part(site: Site, report: Report, name: str, users: Callable[[], None], halfway: Callable[[], bool]) -> None:
    """Users ask; halfway through the controller is killed and started again; in the end all is as declared."""
    cloud, began = site.cloud, time.monotonic()
    users()
    cloud.until(halfway, f"half of: {name}", PATIENCE)
    cloud.controller.kill()
    killed = time.monotonic() - began
    cloud.controller.start()
    cloud.until(lambda: settled(site), name, PATIENCE)
    report(TABLE, f"{name:22} {time.monotonic() - began:6.1f} s, killed after {killed:5.1f} s")
    assert site.wrongs() == []


def settled(site: Site) -> bool:
    """Whether users see nothing under way any more."""
    deleting = [each for kind in ("VirtualMachine", "Volume") for each in site.cloud.api.list(kind) if gone(each)]
    if deleting:
        return False
    site.cloud.await_current("Volume", deadline=PATIENCE)
    site.cloud.await_current(deadline=PATIENCE)
    return True


def gone(each: make.Manifest) -> bool:
    return "deletionTimestamp" in each["metadata"]


def create(site: Site) -> None:
    for number in range(VMS):
        firmware = {"firmware": "UEFI"} if number in FIRMWARE else {}
        site.cloud.api.apply(make.vm(name(number), stopMode="Hard", rootDisk={"size": "32Mi"}, **firmware))


def change(site: Site) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for number in CHANGED:
        if number % 3 == 2:
            site.cloud.api.apply(make.manifest("Volume", f"data-{number}", zone="z", size="8Mi", pool="shared"))
        volumes = [{"name": "data", "volume": f"data-{number}"}]
        spec: dict[str, Any] = ({"offering": "large", "restartedAt": now}, {"powerState": "Off"}, {"volumes": volumes})[number % 3]
        site.cloud.api.patch("VirtualMachine", name(number), {"spec": spec})


def switch_on(site: Site) -> None:
    for number in CHANGED[1::3]:
        site.cloud.api.patch("VirtualMachine", name(number), {"spec": {"powerState": "On"}})


def delete(site: Site) -> None:
    for number in range(VMS):
        site.cloud.api.delete("VirtualMachine", name(number))
    for number in CHANGED[2::3]:
        site.cloud.api.delete("Volume", f"data-{number}")


def attached(site: Site) -> int:
    return sum(len(machine.volumes) for _, machine in site.machines())


def off(site: Site) -> int:
    return sum(not machine.on for _, machine in site.machines())


def name(number: int) -> str:
    return f"vm-{number:03}"
