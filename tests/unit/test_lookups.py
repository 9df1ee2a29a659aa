"""How objects find each other."""

from __future__ import annotations

from typing import Any

import pytest

from controller.runtime.keys import Key
from controller.shared import lookups
from controller.shared.lookups import LOOKUPS, Lookup, hosts_using_secret, pools_of_host
from crds.v1alpha1 import KINDS, Cluster
from tests.unit.stores import store

CREDENTIALS = {"secretRef": {"namespace": "infra", "name": "login"}}
AUTHORITY = {"caSecretRef": {"namespace": "infra", "name": "ca"}}


def make(kind: str, name: str, spec: dict[str, Any], status: dict[str, Any] | None = None, namespace: str = "") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec, "status": status or {}}


def vm(name: str = "web", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    base = {"zone": "z1", "offering": "small", "template": {"name": "debian"}}
    return make("VirtualMachine", name, base | spec, status, "shop")


def cluster(name: str, **spec: Any) -> dict[str, Any]:
    return make("Cluster", name, {"zone": "z1", "pod": "p1", "hypervisor": "Simulator"} | spec)


def pool(name: str, scope: str, **spec: Any) -> dict[str, Any]:
    return make("StoragePool", name, {"zone": "z1", "scope": scope, "type": "Directory", "path": "/srv"} | spec)


DISK = {"name": "root", "pool": "s1", "size": "1Gi"}
DATA = {"zone": "z1", "size": "1Gi"}
ON_WEB = {"virtualMachine": "web", "name": "data", "host": "h1", "instanceID": "8a0b7c9e-0d5f-5b7a-9d0e-3f3f1c2b4a5d"}
NIC = {"name": "a", "mac": "02:00:00:00:00:01", "network": "net/back"}

TABLE = [
    (lookups.pods_by_zone, make("Pod", "p1", {"zone": "z1"}), ["z1"]),
    (lookups.clusters_by_zone, cluster("c1"), ["z1"]),
    (lookups.clusters_by_pod, cluster("c1"), ["p1"]),
    (lookups.clusters_by_secret, cluster("c1", endpoint={"url": "a:b", "credentials": CREDENTIALS}), ["infra/login"]),
    (lookups.clusters_by_secret, cluster("c1"), []),
    (lookups.hosts_by_cluster, make("Host", "h1", {"cluster": "c1"}), ["c1"]),
    (
        lookups.hosts_by_secret,
        make("Host", "h1", {"cluster": "c1", "endpoint": {"url": "a:b", "credentials": CREDENTIALS, "tls": AUTHORITY}}),
        ["infra/ca", "infra/login"],
    ),
    (lookups.hosts_up_by_cluster, make("Host", "h1", {"cluster": "c1"}, {"state": "Up"}), ["c1"]),
    (lookups.hosts_up_by_cluster, make("Host", "h1", {"cluster": "c1"}, {"state": "Alert"}), []),
    (lookups.hosts_by_native_id, make("Host", "h1", {"cluster": "c1"}, {"nativeID": "x"}), ["x"]),
    (lookups.hosts_by_native_id, make("Host", "h1", {"cluster": "c1"}), []),
    (lookups.pools_by_zone, pool("s1", "Zone"), ["z1"]),
    (lookups.pools_by_cluster, pool("s1", "Cluster", cluster="c1"), ["c1"]),
    (lookups.pools_by_host, pool("s1", "Host", host="h1"), ["h1"]),
    (lookups.pools_by_host, pool("s1", "Zone"), []),
    (lookups.pools_by_scope, pool("s1", "Zone"), ["Zone/z1"]),
    (lookups.pools_by_scope, pool("s1", "Cluster", cluster="c1"), ["Cluster/c1"]),
    (lookups.pools_by_scope, pool("s1", "Host", host="h1"), ["Host/h1"]),
    (lookups.networks_by_zone, make("Network", "n", {"zone": "z1", "type": "L2"}, namespace="net"), ["z1"]),
    (
        lookups.templates_by_pool,
        make("Template", "t", {"source": {"url": "https://e"}}, {"pools": [{"pool": "s1", "state": "Downloaded"}]}, "images"),
        ["s1"],
    ),
    (lookups.vms_by_zone, vm(), ["z1"]),
    (lookups.vms_by_host, vm(status={"host": "h1"}), ["h1"]),
    (lookups.vms_by_host, vm(), []),
    (lookups.vms_by_cluster, vm(status={"cluster": "c1"}), ["c1"]),
    (lookups.vms_by_offering, vm(), ["small"]),
    (lookups.vms_by_template, vm(), ["shop/debian"]),
    (lookups.vms_by_template, vm(template={"name": "debian", "namespace": "images"}), ["images/debian"]),
    (lookups.vms_by_network, vm(networks=[{"name": "a", "network": "front"}]), ["shop/front"]),
    (
        lookups.vms_by_network,
        vm(status={"nics": [NIC]}, networks=[{"name": "a", "network": "front", "networkNamespace": "net"}]),
        ["net/back", "net/front"],
    ),
    (lookups.vms_by_pool, vm(status={"disks": [DISK]}), ["s1"]),
    (lookups.vms_by_secret, vm(userData={"secretRef": {"name": "seed", "key": "k"}}), ["shop/seed"]),
    (lookups.vms_by_secret, vm(userData={"inline": "#cloud-config"}), []),
    (lookups.volumes_by_attached_host, make("Volume", "v", DATA, {"attachedTo": ON_WEB}, "shop"), ["h1"]),
    (lookups.volumes_by_attached_host, make("Volume", "v", DATA, {"attachedTo": {**ON_WEB, "host": None}}, "shop"), []),
    (lookups.volumes_by_attached_host, make("Volume", "v", DATA, {"host": "h1"}, "shop"), []),
    (lookups.snapshots_by_vm, make("Snapshot", "s", {"virtualMachine": "web"}, namespace="shop"), ["shop/web"]),
    (lookups.snapshots_by_vm, make("Snapshot", "s", {"volume": "data"}, namespace="shop"), []),
    (lookups.snapshots_by_volume, make("Snapshot", "s", {"volume": "data"}, namespace="shop"), ["shop/data"]),
    (lookups.snapshots_by_volume, make("Snapshot", "s", {"virtualMachine": "web"}, namespace="shop"), []),
    (lookups.restores_by_snapshot, make("SnapshotRestore", "r", {"snapshot": "s"}, namespace="shop"), ["shop/s"]),
]


@pytest.mark.parametrize(("lookup", "raw", "values"), TABLE)
def test_object_is_found_under_its_values(lookup: Lookup[Any], raw: dict[str, Any], values: list[str]) -> None:
    made = store(raw)
    key = Key(raw["kind"], raw["metadata"]["namespace"], raw["metadata"]["name"])
    found = made.get(lookup.kind, key.name, key.namespace)
    assert found is not None
    assert sorted(lookup.values(found)) == values
    for value in values:
        assert lookup.keys(made, value) == [key]
        assert [Key.of(each) for each in lookup.of(made, value)] == [key]
    assert lookup.keys(made, "nothing") == []


def test_every_lookup_of_this_module_is_registered_and_every_kind_known() -> None:
    declared = [value for value in vars(lookups).values() if isinstance(value, Lookup)]
    assert {id(lookup) for lookup in declared} == {id(lookup) for lookup in LOOKUPS}
    assert len({(lookup.kind, lookup.index) for lookup in LOOKUPS}) == len(LOOKUPS)
    made = store()
    for kind in KINDS:
        assert made.keys(kind.KIND) == []


def test_pools_that_a_host_reaches() -> None:
    made = store(
        cluster("c1"),
        pool("of-zone", "Zone"),
        pool("of-cluster", "Cluster", cluster="c1"),
        pool("of-host", "Host", host="h1"),
        pool("of-other-zone", "Zone", zone="z2"),
        pool("of-other-cluster", "Cluster", cluster="c2"),
        pool("of-other-host", "Host", host="h2"),
    )
    found = made.get(Cluster, "c1")
    assert found is not None
    assert {key.name for key in pools_of_host(made, "h1", found)} == {"of-zone", "of-cluster", "of-host"}


def test_hosts_that_use_a_secret_themselves_or_through_their_cluster() -> None:
    endpoint = {"url": "a:b", "credentials": CREDENTIALS}
    made = store(
        cluster("shared", endpoint=endpoint),
        cluster("plain"),
        make("Host", "member", {"cluster": "shared"}),
        make("Host", "own", {"cluster": "plain", "endpoint": endpoint}),
        make("Host", "both", {"cluster": "shared", "endpoint": endpoint}),
        make("Host", "none", {"cluster": "plain"}),
    )
    assert [key.name for key in hosts_using_secret(made, "infra", "login")] == ["both", "member", "own"]
    assert hosts_using_secret(made, "other", "login") == []


async def test_slowly_finds_the_same_and_bears_changes_on_the_way() -> None:
    made = store(*(vm(f"vm{number:03}", status={"host": "h1"}) for number in range(350)))
    everything = [each.metadata.name async for each in lookups.vms_by_host.slowly(made, "h1")]
    assert everything == [each.metadata.name for each in lookups.vms_by_host.of(made, "h1")]
    seen = []
    async for each in lookups.vms_by_host.slowly(made, "h1"):
        seen.append(each.metadata.name)
        if len(seen) == 10:
            made.delete(Key("VirtualMachine", "shop", "vm200"))
    assert seen == [name for name in everything if name != "vm200"]


async def test_slowly_leaves_out_what_can_not_be_read() -> None:
    made = store(vm("good", status={"host": "h1"}))
    keys = lookups.vms_by_host.keys(made, "h1")
    broken = vm("good", status={"host": "h1"})
    broken["spec"]["offering"] = 7
    broken["metadata"] |= {"uid": "uid-1", "resourceVersion": "99", "generation": 2}
    made.upsert(broken)
    lookup = Lookup(lookups.vms_by_host.kind, "host", lookups.vms_by_host.values)
    assert [each async for each in lookup.slowly(made, "h1")] == []
    assert keys


async def test_statuses_are_those_of_the_objects_and_bear_changes_on_the_way() -> None:
    made = store(*(vm(f"vm{number:03}", status={"host": "h1", "disks": [DISK]}) for number in range(350)))
    found = []
    async for status in lookups.vms_by_host.statuses(made, "h1"):
        found.append(status)
        if len(found) == 10:
            made.delete(Key("VirtualMachine", "shop", "vm200"))
    assert found == [{"host": "h1", "disks": [DISK]}] * 200 + [{}] + [{"host": "h1", "disks": [DISK]}] * 149
    assert [each async for each in lookups.vms_by_host.statuses(made, "h2")] == []
