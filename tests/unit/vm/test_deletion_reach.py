"""Which pools a deletion looks into when statuses are lost, and what a VM says whose Secret can't be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from controller.inventory import HostLink
from controller.runtime.ports import Rejected
from tests.support.cloud import POOL
from tests.support.vms import VMCloud, play, site, vm

SCOPES = {"zone": "scope: Zone", "cluster": "scope: Cluster, cluster: c1", "host": "scope: Host, host: h1"}


@pytest.mark.parametrize("scope", SCOPES)
def test_without_any_status_a_deletion_looks_into_pools_of_every_scope(scope: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disks that are no longer attached to the VM are found only there."""
    reached: list[list[str]] = []
    delete = HostLink.delete

    async def noted(link: HostLink, instance: Any, pools: Sequence[Any]) -> Any:
        reached.append([pool.name for pool in pools])
        return await delete(link, instance, pools)

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site().replace(POOL, POOL.replace("scope: Zone", SCOPES[scope])))
        await cloud.settle(30)
        cloud.apply(vm())
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        await cloud.controller.kill()
        cloud.wipe_status()
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.restart()
        await cloud.settle(60)
        assert not cloud.exists("VirtualMachine", "shop/web")

    monkeypatch.setattr(HostLink, "delete", noted)
    play(story)
    assert reached == [["s1"]]


def test_a_secret_that_may_not_be_read_is_named_in_the_condition() -> None:
    async def story(cloud: VMCloud) -> None:
        async def refuse(namespace: str, name: str) -> Mapping[str, bytes] | None:
            raise Rejected("secrets is forbidden")

        cloud.apply(site())
        await cloud.settle(30)
        answer, cloud.read = cloud.read, refuse  # type: ignore[method-assign]
        cloud.apply(vm(extra="userData: {secretRef: {name: init, key: data}}"))
        await cloud.settle(30)
        assert cloud.reason() == ("False", "SecretNotReadable")
        assert cloud.text() == "Secret init can't be read: secrets is forbidden"
        cloud.read = answer  # type: ignore[method-assign]
        cloud.set_secret("shop", "init", data="#cloud-config")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")

    play(story)
