"""The API server's data is replaced by an older backup under a running controller: all resource versions go back."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.types import Power
from tests.support.apiproxy import ApiProxy, Asked, api_proxy
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings
from tests.support.live.controller import ControllerProcess

HOSTS = 2
LEASE = "vireo-controller"
SINCE = 300
"""Changes since the backup: more than the controllers make in their first seconds."""


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path / "cloud", hosts=HOSTS) as running:
        running.basics(HOSTS)
        yield running


@pytest.fixture
def standby(cloud: LiveCloud) -> Iterator[tuple[ControllerProcess, ApiProxy]]:
    """A second replica, and its way to the API server."""
    with api_proxy(cloud.plane.controller_kubeconfig, cloud.plane.directory, cloud.directory / "standby") as proxy:
        process = cloud.replica("standby", proxy.kubeconfig)
        yield process, proxy
        process.kill()


def test_what_the_backup_declares_holds_again(cloud: LiveCloud, standby: tuple[ControllerProcess, ApiProxy]) -> None:
    """The backup has no status, no finalizer and no Lease. What came after it is left alone, since nobody declares it."""
    etcd, backup = cloud.plane.directory / "etcd", cloud.directory / "backup"
    cloud.api.apply(make.vm("web"), make.vm("db", powerState="Off"))
    cloud.plane.stop()
    shutil.copytree(etcd, backup)
    cloud.plane.start()
    cloud.controller.start()
    cloud.until(lambda: cloud.controller.leads, "the controller leads")
    process, proxy = standby
    process.start()
    cloud.api.patch("VirtualMachine", "db", {"spec": {"powerState": "On"}})
    cloud.api.apply(make.vm("later"))
    for number in range(SINCE):
        cloud.api.patch("VirtualMachine", "web", {"metadata": {"annotations": {"number": str(number)}}})
    cloud.await_current()
    made = {vm.name: vm.made for vm in cloud.control.census().vms}
    both_have_seen_the_lease(cloud, proxy)

    cloud.plane.stop()
    shutil.rmtree(etcd)
    backup.rename(etcd)
    cloud.plane.start()
    cloud.until(lambda: _powers(cloud)["shop-db"] is Power.OFF, "db is off again, as the backup declares it")
    cloud.api.apply(make.vm("new"))
    cloud.await_current(names=["web", "db", "new"])
    cloud.until(lambda: b"everything is begun anew" in process.log.read_bytes(), "the second replica begins anew too")
    assert (cloud.controller.alive, process.alive) == (True, True)
    assert [each for each in findings(cloud.api, cloud.control.census()) if "orphan" not in each] == []
    assert _powers(cloud)["shop-later"] is Power.ON
    assert {vm.name: vm.made for vm in cloud.control.census().vms} == {**made, "shop-new": 1}


def both_have_seen_the_lease(cloud: LiveCloud, proxy: ApiProxy) -> None:
    """Each replica knows a version of the Lease that came after all that the users changed: one that the backup is older than."""
    since, version = time.monotonic(), cloud.api.lease_version(LEASE)
    cloud.until(lambda: cloud.api.lease_version(LEASE) != version, "the leader renews its lease")

    def looks() -> list[Asked]:
        return [each for each in list(proxy.asked) if each.about_lease and each.at >= since and each.status == 200]

    cloud.until(lambda: len(looks()) >= 2, "the second replica has looked at the lease, and does so again")


def _powers(cloud: LiveCloud) -> dict[str, Power]:
    return {vm.name: vm.power for vm in cloud.control.census().vms}
