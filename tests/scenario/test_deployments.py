"""Fifty deployments in flight when the controller is killed: fifty VMs run, no job failed, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.live import LiveCloud, working_cloud
from tests.support.live import manifests as make
from tests.support.live.killed import CREATE, deploy_and_kill
from tests.support.tables import Report

HOSTS = 10
VMS = 50
SOME = 10
PATIENCE = 400.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with working_cloud(tmp_path_factory.mktemp("cloud"), HOSTS) as running:
        yield running


def create_seconds(cloud: LiveCloud, under_way: int) -> float:
    """How long the hypervisor is to take for a VM, so that a machine as busy as this one begins so many before the first ends."""
    names, began = [f"some-{under_way}-{number}" for number in range(SOME)], time.monotonic()
    cloud.api.apply(*(make.vm(name) for name in names))
    cloud.await_current(names=names)
    return max(CREATE, 3 * under_way * (time.monotonic() - began) / SOME)


@pytest.mark.parametrize("under_way", [1, VMS // 2, VMS])
def test_a_kill_loses_no_deployment(under_way: int, cloud: LiveCloud, report: Report) -> None:
    names = [f"vm-{under_way}-{number}" for number in range(VMS)]
    create = create_seconds(cloud, under_way)
    found = deploy_and_kill(cloud, cloud.controller, names, under_way, PATIENCE, create)
    report(
        "50 deployments, the controller killed and started again",
        f"{found.under_way:2} under way: {found.running} VMs run, {len(found.failed)} failed jobs, {len(found.behind)} things "
        f"left behind; {create:.0f} s for a VM; at work after {found.at_work:.1f} s, all Running after {found.all_running:.1f} s",
    )
    assert found.under_way >= under_way
    assert (found.running, found.failed, found.behind, found.more_than_once) == (VMS, [], [], [])
