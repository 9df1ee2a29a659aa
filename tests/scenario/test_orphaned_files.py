"""What is left in a storage pool when objects go, in a cloud that lives: told, and nothing else."""

from __future__ import annotations

from typing import Any

from drivers.simulator.engine.actions import Act
from tests.support.vms import VMCloud, play, site, vm
from tests.support.volumes import mounted, status, volume

TWO_LOOKS = 1400.0
SNAPSHOT = """
kind: Snapshot
metadata: {name: before, namespace: shop}
spec: {volume: data}
"""


def told(cloud: VMCloud) -> list[tuple[str, str]]:
    found: dict[str, Any] = cloud.status("StoragePool", "s1").get("orphans") or {"files": []}
    return sorted((each["kind"], each["identity"]) for each in found["files"])


def test_a_cloud_that_lives_has_none() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        for text in (volume(), vm(extra=mounted("data")), vm("idle", extra="powerState: 'Off'"), SNAPSHOT):
            cloud.apply(text)
        await cloud.settle(TWO_LOOKS)
        cloud.delete("VirtualMachine", "shop/idle")
        await cloud.settle(TWO_LOOKS)
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle(TWO_LOOKS)
        assert cloud.condition("Snapshot", "shop/before", "Ready") == ("True", "Ready")
        assert told(cloud) == []
        assert "OrphansFound" not in cloud.events("s1")

    play(story)


def test_what_was_retained_is_told_once_no_vm_has_it() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site(2))
        cloud.apply(volume(extra="deletionPolicy: Retain"))
        cloud.apply(vm(extra=f"deletionPolicy: Retain, {mounted('data')}"))
        await cloud.settle(60)
        instance, held = cloud.datacentre.vm().instance, status(cloud)["volumeID"]
        where = f"{cloud.datacentre.vm().host}/{instance}"
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(60)
        cloud.delete("Volume", "shop/data")
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == [], "the VM is there and has both"
        cloud.datacentre.act(Act.DELETE_VM, where)
        await cloud.settle(TWO_LOOKS)
        assert told(cloud) == sorted([("Disk", instance), ("Volume", held)])
        assert [disk.instance for disk in cloud.datacentre.census.disks] == [instance], "it is not touched"

    play(story)
