"""Each rule by example: which host is refused for which reason, and where a rule ends."""

import pytest

from controller.scheduler import Allocation, ClusterView, HostView, Placement, PoolView, Reason, Rejection, Request
from controller.scheduler.filters import CLUSTER_FILTERS, SHAPE_FILTERS
from controller.scheduler.index import HostIndex
from controller.scheduler.scheduler import select
from drivers.types import Firmware
from tests.unit.scheduler.builders import GI, cloud, cluster, host, request

View = ClusterView | HostView | PoolView


def used(index: HostIndex, where: str, cpus: int = 0, memory: int = 0) -> HostIndex:
    index.assign("other", Allocation(where, "shared", cpus, memory, GI))
    return index


REFUSED: list[tuple[Reason, HostIndex, Request]] = [
    (Reason.ZONE_DISABLED, cloud(cluster(zone_enabled=False, pod_enabled=False, enabled=False), host()), request()),
    (Reason.POD_DISABLED, cloud(cluster(pod_enabled=False, enabled=False), host()), request()),
    (Reason.CLUSTER_DISABLED, cloud(cluster(enabled=False), host(enabled=False)), request()),
    (Reason.HOST_DISABLED, cloud(host(enabled=False, connected=False)), request()),
    (Reason.HOST_DISABLED, cloud(host(enabled=False, refused=True)), request()),
    (Reason.HOST_REFUSED, cloud(host(refused=True, connected=False)), request()),
    (Reason.HOST_DOWN, cloud(host(connected=False)), request(host_tags=frozenset({"gpu"}))),
    (Reason.UNSUPPORTED_FIRMWARE, cloud(host()), request(firmware=Firmware.UEFI)),
    (Reason.UNSUPPORTED_DISK_LIMITS, cloud(host()), request(disk_limits=True, host_tags=frozenset({"gpu"}))),
    (Reason.HOST_TAGS_MISMATCH, cloud(host()), request(host_tags=frozenset({"gpu"}), cpus=99)),
    (Reason.HOST_TAGS_MISMATCH, cloud(host(tags=frozenset({"gpu"}))), request(host_tags=frozenset({"gpu", "ssd"}))),
    (Reason.INSUFFICIENT_CPU, used(cloud(host()), "h1", cpus=15), request()),
    (Reason.INSUFFICIENT_CPU, cloud(cluster(cpu_overcommit=4.0), host(cpus=2), host("h2", cpus=4)), request(cpus=3, host="h1")),
    (Reason.INSUFFICIENT_MEMORY, used(cloud(host()), "h1", memory=60 * GI + 1), request()),
    (Reason.CLUSTER_THRESHOLD_EXCEEDED, cloud(cluster(cpu_threshold=50), host(cpus=16)), request(cpus=9)),
    (Reason.CLUSTER_THRESHOLD_EXCEEDED, cloud(cluster(memory_threshold=85), host(memory=64 * GI)), request(memory=55 * GI)),
]


@pytest.mark.parametrize(("reason", "index", "wanted"), REFUSED)
def test_the_first_rule_that_fails_is_the_reason(reason: Reason, index: HostIndex, wanted: Request) -> None:
    answer = select(index, wanted)
    assert isinstance(answer, Rejection)
    assert answer.counts == {reason: 1}


ACCEPTED: list[tuple[str, HostIndex, Request]] = [
    ("exactly the CPUs that are left", used(cloud(host()), "h1", cpus=14), request()),
    ("exactly the memory that is left", used(cloud(host()), "h1", memory=60 * GI), request()),
    ("overcommitted CPUs", used(cloud(cluster(cpu_overcommit=2.0), host()), "h1", cpus=30), request()),
    ("overcommitted memory", used(cloud(cluster(memory_overcommit=1.5), host()), "h1", memory=92 * GI), request()),
    ("all asked tags and more", cloud(host(tags=frozenset({"gpu", "ssd"}))), request(host_tags=frozenset({"gpu"}))),
    ("a tagged host for any VM", cloud(host(tags=frozenset({"gpu"}))), request()),
    ("UEFI where the host can", cloud(host(uefi=True)), request(firmware=Firmware.UEFI)),
    ("limited disks where the host can", cloud(host(disk_limits=True)), request(disk_limits=True)),
    ("BIOS on a host with UEFI", cloud(host(uefi=True)), request()),
    ("exactly the threshold", cloud(cluster(cpu_threshold=50), host(cpus=16)), request(cpus=8)),
    ("a pinned host beyond the threshold", cloud(cluster(cpu_threshold=50), host(cpus=16)), request(cpus=9, host="h1")),
    ("an empty cloud with tiny overcommit", cloud(cluster(cpu_overcommit=1.25), host(cpus=4)), request(cpus=4)),
]


@pytest.mark.parametrize(("index", "wanted"), [each[1:] for each in ACCEPTED], ids=[each[0] for each in ACCEPTED])
def test_what_just_fits_is_placed(index: HostIndex, wanted: Request) -> None:
    assert select(index, wanted) == Placement("h1", "c1", "shared")


def test_a_down_host_does_not_count_for_the_threshold() -> None:
    """Its capacity is not there: eight of sixteen CPUs are half of what is left, not a quarter."""
    index = cloud(cluster(cpu_threshold=40), host("up"), host("down", connected=False))
    answer = select(index, request(cpus=8))
    assert isinstance(answer, Rejection)
    assert answer.counts == {Reason.CLUSTER_THRESHOLD_EXCEEDED: 1, Reason.HOST_DOWN: 1}
    index.put_host(host("down"))
    assert isinstance(select(index, request(cpus=8)), Placement)


def test_the_threshold_counts_the_whole_cluster() -> None:
    index = cloud(cluster(cpu_threshold=50), host("h1"), host("h2"), cluster("c2"), host("h3", cluster="c2"))
    index.assign("a", Allocation("h1", "shared", 15, GI, GI))
    answer = select(index, request(cpus=2))
    assert answer == Placement("h3", "c2", "shared")
    assert isinstance(select(index, request(cpus=2, cluster="c1")), Rejection)
    assert isinstance(select(index, request(cpus=1, cluster="c1")), Placement)


def test_every_rule_says_why_it_is_there() -> None:
    assert all(rule.__doc__ for rule in (*CLUSTER_FILTERS, *SHAPE_FILTERS))
