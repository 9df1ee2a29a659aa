"""What a soak's users declare can come true, whatever they are told to do next."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak.declared import Declared
from tests.soak.users import LEAST, MOST, Users
from tests.support.live import Api


class Recorded:
    """An API server that takes everything, and remembers it."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = defaultdict(dict)

    def apply(self, *manifests: dict[str, Any]) -> None:
        for each in manifests:
            assert each["metadata"]["name"] not in self.objects[each["kind"]], "names are never used again"
            self.objects[each["kind"]][each["metadata"]["name"]] = each["spec"]

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        if kind not in ("Network", "ServiceOffering"):
            self.objects[kind][name].update(change["spec"])

    def delete(self, kind: str, name: str) -> None:
        del self.objects[kind][name]


def after(seed: int, operations: int, calm_every: int) -> tuple[Recorded, Declared]:
    """Everything that was declared after so many operations, checked after each."""
    api = Recorded()
    users = Users(cast("Api", api), Random(seed))
    for number in range(operations):
        before = {name: (spec["powerState"], len(spec["volumes"])) for name, spec in api.objects["VirtualMachine"].items()}
        held = {name for name, vm in users.declared.vms.items() if vm.held}
        assert users.act()
        check(api, users.declared)
        for name in held & set(api.objects["VirtualMachine"]):
            assert api.objects["VirtualMachine"][name]["powerState"] == before[name][0], "a held VM was switched"
        if number % calm_every == calm_every - 1:
            users.declared.calm()
    return api, users.declared


def check(api: Recorded, declared: Declared) -> None:
    """The model is what the API server has, and none of it waits for something that never comes."""
    vms, volumes, snapshots = (api.objects[kind] for kind in ("VirtualMachine", "Volume", "Snapshot"))
    assert (set(vms), set(volumes), set(snapshots)) == (set(declared.vms), set(declared.volumes), set(declared.snapshots))
    mounted = [mount["volume"] for spec in vms.values() for mount in spec["volumes"]]
    assert len(mounted) == len(set(mounted)), "a volume is named by two VMs"
    assert set(mounted) <= set(volumes)
    assert sorted(mounted) == sorted(each.name for each in declared.volumes.values() if each.vm)
    sizes = {name: int(spec["size"].removesuffix("Gi")) for name, spec in volumes.items()}
    for name, snapshot in declared.snapshots.items():
        assert not snapshot.volume or snapshot.volume not in sizes or snapshot.size <= sizes[snapshot.volume], name
    for name, spec in volumes.items():
        source = declared.snapshots.get(spec.get("source", {}).get("snapshot", {}).get("name"))
        assert source is None or source.size <= sizes[name], "a volume smaller than its source"
    for spec in api.objects["SnapshotRestore"].values():
        assert spec["snapshot"] in snapshots
    for name, spec in snapshots.items():
        assert (
            spec.get("virtualMachine") in vms
            if "virtualMachine" in spec
            else declared.snapshots[name].taken or spec["volume"] in volumes
        )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_what_is_declared_can_come_true(seed: int, calm_every: int) -> None:
    after(seed, 300, calm_every)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_same_seed_does_the_same(seed: int) -> None:
    (one, _), (two, _) = after(seed, 60, 20), after(seed, 60, 20)
    for api in (one, two):
        for spec in api.objects["VirtualMachine"].values():
            spec.pop("restartedAt", None)  # the only thing that the clock decides
    assert one.objects == two.objects


def test_a_cloud_is_neither_empty_nor_full() -> None:
    _, declared = after(1, 600, 40)
    assert LEAST["vms"] - 1 <= len(declared.vms) <= MOST["vms"]
    assert LEAST["volumes"] - 1 <= len(declared.volumes) <= MOST["volumes"]
    assert len(declared.snapshots) <= MOST["snapshots"]


def test_a_vm_with_snapshots_keeps_its_disks() -> None:
    """Its volumes neither come nor go, and nothing grows: that would wait until the snapshots are deleted."""
    api = Recorded()
    users = Users(cast("Api", api), Random(2))
    while len(users.declared.snapshots) < 5:
        users.act()
        users.declared.calm()
    for _ in range(100):
        having = {each.vm for each in users.declared.snapshots.values() if each.vm}
        disks = {name: (str(api.objects["VirtualMachine"][name]["volumes"]), users.declared.vms[name].size) for name in having}
        users.act()
        for name, before in disks.items():
            if name in users.declared.vms:
                assert (str(api.objects["VirtualMachine"][name]["volumes"]), users.declared.vms[name].size) == before


@pytest.mark.parametrize("memory", [True, False])
def test_a_restore_knows_what_disks_hold_then(memory: bool) -> None:
    api = Recorded()
    users = Users(cast("Api", api), Random(3))
    users.create()
    [vm] = users.declared.vms.values()
    vm.power, vm.content = "On", "old"
    users.declared.calm()
    while not any(each.vm and each.memory is memory for each in users.declared.snapshots.values()):
        for each in list(users.declared.snapshots):
            del users.declared.snapshots[each], api.objects["Snapshot"][each]
        users.declared.calm()
        users.snapshot_vm()
    users.declared.calm()
    vm.content = "new"
    assert users.restore_vm()
    assert (vm.content, vm.power) == ("old", "On" if memory else "Off")
    assert vm.held
