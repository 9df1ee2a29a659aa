"""Two clouds may have the same host: each lets go of its own pools only."""

from __future__ import annotations

import pytest

from controller.shared.translate import same_place
from drivers.base import Connection
from drivers.types import Endpoint, HostID, ISCSITarget, NFSExport, PoolSpec, RBDPool
from tests.support import vms
from tests.support.cloud import BASE, CLOUD, GIVEN, Cloud, furnished, play_in
from tests.support.hypervisors import Hypervisor, host
from tests.support.vms import VMCloud, site

HOST = HostID("host-00001")
THEIRS = PoolSpec("theirs", "/srv/theirs")


def of(cloud: VMCloud, name: str) -> Connection:
    """A connection of the cloud with that identity to the host."""
    return cloud.datacentre.connect(Endpoint(f"simulator://dc/{HOST}", cloud=name))


def has(cloud: VMCloud, name: str) -> list[str]:
    return [pool.name for pool in of(cloud, name).storage.list_pools(HOST)]


def test_what_is_made_on_a_host_is_this_cloud_s() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle()
        assert (has(cloud, CLOUD), has(cloud, "another")) == (["s1"], [])
        await cloud.restart()
        await cloud.settle()
        assert (has(cloud, CLOUD), has(cloud, "another")) == (["s1"], [])

    vms.play(story)


@pytest.mark.parametrize(("maker", "stays"), [("another", True), ("", False)])
def test_pools_of_another_cloud_stay_and_those_of_nobody_go(maker: str, stays: bool) -> None:
    """While the Host is there, and when it goes."""

    async def story(cloud: VMCloud) -> None:
        of(cloud, maker).storage.ensure_pool(HOST, THEIRS)
        cloud.apply(site())
        await cloud.settle(1300)
        assert (THEIRS.name in has(cloud, maker)) is stays
        of(cloud, maker).storage.ensure_pool(HOST, THEIRS)
        cloud.delete("StoragePool", "s1")
        await cloud.settle(30)
        cloud.delete("Host", "h1")
        await cloud.settle(60)
        assert not cloud.exists("Host", "h1")
        assert has(cloud, maker) == (["theirs"] if stays else [])

    vms.play(story)


def test_a_deleted_pool_stays_where_another_cloud_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        of(cloud, "another").storage.ensure_pool(HOST, PoolSpec("shared", "/srv/vms"))
        cloud.apply(site())
        await cloud.settle()
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up"), "it is used as it is"
        cloud.delete("StoragePool", "s1")
        await cloud.settle(1300)
        assert not cloud.exists("StoragePool", "s1")
        assert has(cloud, "another") == ["shared"]

    vms.play(story)


def test_a_name_that_another_cloud_has_is_refused_in_words() -> None:
    async def story(cloud: VMCloud) -> None:
        of(cloud, "another").storage.ensure_pool(HOST, PoolSpec("s1", "/srv/another"))
        cloud.apply(site())
        await cloud.settle()
        assert "has a pool 's1' in another place" in cloud.message("StoragePool", "s1", "HostsReady")
        of(cloud, "another").storage.release_pool(HOST, PoolSpec("s1", "/srv/another"))
        await cloud.settle(700)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")

    vms.play(story)


def test_nothing_is_connected_to_before_the_cloud_is_known() -> None:
    def bare() -> Cloud:
        cloud = Cloud()
        del cloud.api.objects[GIVEN]
        return cloud

    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == ("False", "NamespaceNotFound")
        assert cloud.hypervisors.driver.attempts.total() == 0
        furnished(cloud.api)
        await cloud.settle(10)
        assert cloud.condition("Host", "h1", "Ready") == ("True", "Up")

    play_in(bare, story)


EXPORT = NFSExport("nfs1", "/vms")
GROUP = PoolSpec("fast", "/srv/fast", volume_group="vg-1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (PoolSpec("a", "/a"), PoolSpec("b", "/a", shared=True), True),
        (PoolSpec("a", "/a"), PoolSpec("a", "/b"), False),
        (PoolSpec("a", "/a"), PoolSpec("a", "/a", nfs=EXPORT), False),
        (GROUP, PoolSpec("fast", "/srv/fast"), True),
        (GROUP, PoolSpec("lvm_vg-1", "", volume_group="vg-1"), True),
        (GROUP, PoolSpec("lvm_vg-2", "", volume_group="vg-2"), False),
        (PoolSpec("a", "/a"), PoolSpec("lvm_vg-1", "", volume_group="vg-1"), False),
        (PoolSpec("a", "", rbd=RBDPool(("m",), "p", "u")), PoolSpec("lvm_vg-1", "", volume_group="vg-1"), False),
        (PoolSpec("a", "", iscsi=ISCSITarget("s", "iqn.2026-01.org.example:a")), PoolSpec("b", "/a"), False),
    ],
)
def test_what_a_host_tells_of_is_found_among_what_is_declared(one: PoolSpec, other: PoolSpec, same: bool) -> None:
    assert same_place(one, other) is same
    assert same_place(other, one) is same
