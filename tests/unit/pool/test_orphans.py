"""Files in pools that nobody declares: told after a second look, left alone, and never mistaken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.ipam import instance_id, snapshot_id, volume_id
from drivers.errors import Transient
from drivers.types import AttachedVolume, InstanceID, StoredFile, StoredKind, VolumeID
from tests.support.cloud import BASE, HOST, Cloud, play, vm
from tests.support.hypervisors import Hypervisor, host
from tests.support.hypervisors import vm as seen

DISK, SEED, IMAGE, VOLUME, SNAPSHOT = StoredKind
TWO_LOOKS = 1400.0
VOLUME_YAML = """
kind: Volume
metadata: {name: data, namespace: shop}
spec: {zone: z1, size: 1Gi}
"""
SNAPSHOT_YAML = """
kind: Snapshot
metadata: {name: before, namespace: shop}
spec: {volume: data}
"""
TEMPLATE_YAML = """
kind: Template
metadata: {name: debian, namespace: shop}
spec: {source: {url: "https://images.example/debian.qcow2"}}
status: {checksum: "sha256:0123"}
"""


def file(kind: StoredKind, identity: str = "i1", size: int = 1 << 20, *, layered: bool = False) -> StoredFile:
    return StoredFile(kind, identity, f"/srv/vms/{kind.lower()}-{identity}", size, layered)


def start(cloud: Cloud, *files: StoredFile) -> Hypervisor:
    hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host("h1"))
    hypervisor.files = list(files)
    return hypervisor


def told(cloud: Cloud) -> list[str]:
    orphans: dict[str, Any] = cloud.status("StoragePool", "s1").get("orphans") or {"count": 0, "files": []}
    assert orphans["count"] == len(orphans["files"])
    return [each["path"] for each in orphans["files"]]


def uid(cloud: Cloud, kind: str, name: str) -> str:
    found: str = cloud.raw(kind, name)["metadata"]["uid"]
    return found


def test_they_are_told_with_what_they_take_and_an_event() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud, file(VOLUME, "v1", 3 << 20), file(DISK, "i1", 5 << 20))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        assert cloud.status("StoragePool", "s1")["orphans"] == {
            "count": 2,
            "size": "8Mi",
            "files": [
                {"path": "/srv/vms/disk-i1", "kind": "Disk", "identity": "i1", "size": "5Mi"},
                {"path": "/srv/vms/volume-v1", "kind": "Volume", "identity": "v1", "size": "3Mi"},
            ],
        }
        assert cloud.events("s1").count("OrphansFound") == 1
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")

    play(story)


def test_one_look_is_not_enough() -> None:
    """What is being made or removed at the moment of a look is there at one of them only."""

    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        looks = 0

        def change() -> None:
            nonlocal looks
            looks += 1
            hypervisor.files = [file(DISK, f"i{looks}")]

        hypervisor.before["list_files"] = change
        cloud.apply(BASE)
        await cloud.settle(6000)
        assert looks > 5
        assert told(cloud) == []
        assert "OrphansFound" not in cloud.events("s1")

    play(story)


def test_those_that_go_are_told_no_longer() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK, "i1"), file(DISK, "i2"))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        hypervisor.files.pop(0)
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == ["/srv/vms/disk-i2"]
        hypervisor.files.clear()
        await cloud.settle(TWO_LOOKS)
        assert "orphans" not in cloud.status("StoragePool", "s1")
        assert cloud.events("s1").count("OrphansFound") == 1

    play(story)


def test_looks_are_rare_whatever_happens_to_the_pool_and_unchanged_findings_cost_no_write() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        hypervisor.calls.clear()
        before = cloud.writes
        for _ in range(60):
            cloud.controller.enqueue(next(key for key in cloud.api.objects if key.kind == "StoragePool"))
            await cloud.settle(60)
        assert 3 <= hypervisor.calls["list_files"] <= 3600 // 540 + 1
        assert cloud.writes == before

    play(story)


Declare = Callable[[Cloud], StoredFile]


def _vm(cloud: Cloud, kind: StoredKind = DISK) -> StoredFile:
    cloud.apply(vm("web"))
    return file(kind, instance_id(uid(cloud, "VirtualMachine", "shop/web")))


def _adopting(cloud: Cloud) -> StoredFile:
    identity = "5f3c0000-0000-5000-8000-000000000000"
    cloud.apply(f"""
kind: VirtualMachine
metadata: {{name: old, namespace: shop}}
spec: {{zone: z1, offering: small, adopt: {{instanceID: {identity}, mode: Report}}}}
""")
    return file(DISK, identity)


def _volume(cloud: Cloud) -> StoredFile:
    cloud.apply(VOLUME_YAML)
    return file(VOLUME, volume_id(uid(cloud, "Volume", "shop/data")))


def _snapshot(cloud: Cloud) -> StoredFile:
    cloud.apply(SNAPSHOT_YAML)
    return file(SNAPSHOT, snapshot_id(uid(cloud, "Snapshot", "shop/before")))


def _snapshot_here(cloud: Cloud) -> StoredFile:
    found = _snapshot(cloud)
    cloud.set_status("Snapshot", "shop/before", pool="s1")
    return found


def _image(cloud: Cloud) -> StoredFile:
    cloud.apply(TEMPLATE_YAML)
    return file(IMAGE, "qcow2-0123")


def _image_of_a_template_that_is_not_known_yet(cloud: Cloud) -> StoredFile:
    cloud.apply(TEMPLATE_YAML.partition("status")[0])
    return file(IMAGE, "qcow2-0123")


def _seen_vm(cloud: Cloud, kind: StoredKind = DISK) -> StoredFile:
    """One that is an orphan itself: its Host tells of it."""
    cloud.hypervisors["fake://h1"].vms[InstanceID("lost")] = seen("lost")
    return file(kind, "lost")


def _used_volume(cloud: Cloud) -> StoredFile:
    attached = AttachedVolume("data", VolumeID("v9"), "s1", 1)
    made = seen("lost")
    cloud.hypervisors["fake://h1"].vms[made.instance] = type(made)(
        made.instance, made.owner, made.name, made.host, made.power, 1, 1, 1, 1, volumes=(attached,)
    )
    return file(VOLUME, "v9")


KNOWN: dict[str, Declare] = {
    "a VM's disk": _vm,
    "a VM's seed": lambda cloud: _vm(cloud, SEED),
    "a disk of a VM that is to be adopted": _adopting,
    "a volume": _volume,
    "a snapshot": _snapshot,
    "a snapshot with its place": _snapshot_here,
    "an image": _image,
    "an image while a template is not downloaded": _image_of_a_template_that_is_not_known_yet,
    "an image below a disk": lambda _: file(IMAGE, "lost", layered=True),
    "a disk below another": lambda _: file(DISK, "lost", layered=True),
    "a disk of a VM that is there": _seen_vm,
    "a seed of a VM that is there": lambda cloud: _seen_vm(cloud, SEED),
    "a volume that a VM has": _used_volume,
}


@pytest.mark.parametrize("what", KNOWN)
def test_what_somebody_has_is_none(what: str) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        declared = KNOWN[what](cloud)
        lost = file(declared.kind, "nobodys")
        hypervisor.files = [declared, lost]
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        expected = [] if "not downloaded" in what else [lost.path]
        assert told(cloud) == expected

    play(story)


def test_an_object_that_goes_leaves_one_behind() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud)
        cloud.apply(BASE)
        declared = _volume(cloud)
        hypervisor.files = [declared]
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == []
        cloud.delete("Volume", "shop/data")
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == [declared.path]

    play(story)


def test_nothing_is_said_while_a_host_has_not_told_its_vms() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK))
        cloud.apply(BASE)
        cloud.apply(HOST.replace("h1", "h2"))
        await cloud.settle(TWO_LOOKS)
        assert hypervisor.calls["list_files"] == 0
        cloud.hypervisors["fake://h2"] = Hypervisor(host("h2"))
        cloud.hypervisors["fake://h2"].files = [file(DISK)]
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == ["/srv/vms/disk-i1"]

    play(story)


def test_a_list_that_fails_holds_up_nothing_and_leaves_what_was_told() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        hypervisor.faults["list_files"] = Transient("no answer")
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == ["/srv/vms/disk-i1"]
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")

    play(story)


def test_after_a_restart_what_was_told_stays_until_two_looks_say_otherwise() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK, "i1"))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        hypervisor.files = [file(DISK, "i2")]
        await cloud.restart()
        await cloud.settle(100)
        assert told(cloud) == ["/srv/vms/disk-i1"]
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == ["/srv/vms/disk-i2"]

    play(story)


def test_of_many_the_first_hundred_are_told_and_all_are_counted() -> None:
    async def story(cloud: Cloud) -> None:
        start(cloud, *(file(DISK, f"i{number:03}", 1 << 20) for number in range(250)), file(VOLUME, "v" * 2000, -5))
        cloud.apply(BASE)
        await cloud.settle(TWO_LOOKS)
        orphans = cloud.status("StoragePool", "s1")["orphans"]
        assert (orphans["count"], orphans["size"]) == (251, "250Mi")
        assert [each["identity"] for each in orphans["files"]] == [f"i{number:03}" for number in range(100)]

    play(story)


def test_they_are_never_touched() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = start(cloud, file(DISK), file(IMAGE), file(VOLUME))
        cloud.apply(BASE)
        await cloud.settle(6000)
        assert set(hypervisor.calls) <= {
            "connect",
            "list_hosts",
            "observe_all",
            "ensure_pool",
            "list_pools",
            "ensure_pool on h1",
            "wait",
            "subscribe",
            "list_files",
        }

    play(story)
