"""The key of a Ceph pool comes from its Secret, goes to every host, and is told nobody."""

from __future__ import annotations

import pytest

from drivers.types import RBDPool
from tests.support.cloud import CLUSTER, HOST, POD, ZONE, Cloud, play
from tests.support.hypervisors import Hypervisor, host

PLACE = "\n---\n".join([ZONE, POD, CLUSTER, HOST])
KEY, OTHER = "c2VjcmV0", "b3RoZXI="
POOL = """
kind: StoragePool
metadata: {name: s1}
spec:
  zone: z1
  scope: Zone
  type: RBD
  rbd: {monitors: [mon1, mon2], pool: vms, user: vireo, secretRef: {namespace: infra, name: ceph}}
"""


def begin(cloud: Cloud) -> Hypervisor:
    cloud.hypervisors["fake://h1"] = Hypervisor(host())
    cloud.apply("\n---\n".join([PLACE, POOL]))
    return cloud.hypervisors["fake://h1"]


def given(cloud: Cloud) -> list[RBDPool | None]:
    """What was ensured on h1."""
    return [each.rbd for each in cloud.hypervisors["fake://h1"].ensured]


def test_hosts_get_the_key_once_and_again_when_it_changes() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.set_secret("infra", "ceph", key=KEY + "\n")
        begin(cloud)
        await cloud.settle(30)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up")
        assert given(cloud) == [RBDPool(("mon1", "mon2"), "vms", "vireo", KEY)]
        cloud.set_secret("infra", "ceph", key=OTHER)
        await cloud.settle(30)
        assert [each.key for each in given(cloud) if each] == [KEY, OTHER]
        cloud.api.edit(next(key for key in cloud.api.objects if key.kind == "StoragePool"), tags=["fast"])
        await cloud.settle(30)
        assert len(given(cloud)) == 2
        seen = repr(cloud.api.objects) + str(cloud.api.events) + repr(cloud.controller.registry._answers)
        assert KEY not in seen
        assert OTHER not in seen

    play(story)


@pytest.mark.parametrize(
    ("data", "reason", "words", "stalled"),
    [
        (None, "SecretNotFound", "Secret infra/ceph does not exist", False),
        ({"userKey": KEY}, "SecretInvalid", "it has no key key", True),
        ({"key": ""}, "SecretInvalid", "ceph auth get-key", True),
        ({"key": "[client.vireo]"}, "SecretInvalid", "ceph auth get-key", True),
        ({"key": "käse"}, "SecretInvalid", "ceph auth get-key", True),
        ({"key": "QUFB" * 300}, "SecretInvalid", "ceph auth get-key", True),
    ],
)
def test_what_is_wrong_with_the_secret_is_said(data: dict[str, str] | None, reason: str, words: str, stalled: bool) -> None:
    async def story(cloud: Cloud) -> None:
        if data is not None:
            cloud.set_secret("infra", "ceph", **data)
        begin(cloud)
        await cloud.settle(10)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("False", reason)
        assert words in cloud.message("StoragePool", "s1", "Ready")
        assert all(value not in cloud.message("StoragePool", "s1", "Ready") for value in (data or {}).values() if value)
        assert (cloud.condition("StoragePool", "s1", "Stalled") is not None) == stalled
        assert given(cloud) == [], "no host was bothered"
        cloud.set_secret("infra", "ceph", key=KEY)
        await cloud.settle(60)
        assert cloud.condition("StoragePool", "s1", "Ready") == ("True", "Up"), "without anybody touching the pool"

    play(story)
