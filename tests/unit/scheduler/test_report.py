"""Rejections: reasons, counts and sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, ClusterView, HostView, Reason, Rejection, Request
from controller.scheduler.index import HostIndex
from controller.scheduler.report import show_size
from controller.scheduler.scheduler import select
from tests.unit.scheduler.builders import GI, cloud, cluster, host, request

MI = 1 << 20


def rejected(index: HostIndex, wanted: Request) -> Rejection:
    answer = select(index, wanted)
    assert isinstance(answer, Rejection), answer
    return answer


def test_the_message_counts_reasons_and_names_the_nearest() -> None:
    index = cloud(*(host(f"h{number}") for number in range(12)), *(host(f"off{number}", enabled=False) for number in range(3)))
    for number in range(12):
        index.assign(f"u{number}", Allocation(f"h{number}", "shared", 1, 60 * GI + (512 + number) * MI, GI))
    answer = rejected(index, request(memory=4 * GI))
    assert answer.reason is Reason.NO_FITTING_HOST
    assert answer.counts == {"InsufficientMemory": 12, "HostDisabled": 3}
    assert answer.examples == {"InsufficientMemory": ["h0", "h1", "h10"], "HostDisabled": ["off0", "off1", "off2"]}
    assert answer.message == "0 of 15 hosts fit: 12 InsufficientMemory, 3 HostDisabled; nearest: h0 lacks 512Mi of memory"


@pytest.mark.parametrize("names", [["h1", "h2", "h3", "h4", "h5"], ["h5", "h4", "h3", "h2", "h1"], ["h3", "h5", "h1", "h4", "h2"]])
@pytest.mark.parametrize("alike", [True, False])
def test_the_same_hosts_are_named_in_whatever_order_they_came(names: list[str], alike: bool) -> None:
    """Or else a status would be written for nothing."""
    index = cloud(*(host(name) for name in names))
    for name in names:
        index.assign(name, Allocation(name, "shared", 1, 61 * GI + (0 if alike else int(name[1:])) * MI, GI))
    assert rejected(index, request(memory=4 * GI)).examples == {"InsufficientMemory": ["h1", "h2", "h3"]}


def test_where_no_host_was_judged_none_is_named() -> None:
    assert rejected(cloud(host()), request(host="nowhere")).examples == {}


def test_the_nearest_lacks_the_least_of_what_it_lacks() -> None:
    index = cloud(host("cpu"), host("memory"))
    index.assign("a", Allocation("cpu", "shared", 15, 0, GI))
    index.assign("b", Allocation("memory", "shared", 0, 63 * GI, GI))
    assert rejected(index, request(cpus=2, memory=4 * GI)).message.endswith("nearest: cpu lacks 1 CPU")
    assert rejected(index, request(cpus=8, memory=2 * GI)).message.endswith("nearest: memory lacks 1Gi of memory")


def test_a_host_that_is_too_small_anyway_is_not_near() -> None:
    index = cloud(host("small", cpus=2), host("large", cpus=64))
    index.assign("a", Allocation("large", "shared", 62, 0, GI))
    assert rejected(index, request(cpus=4)).message.endswith("nearest: large lacks 2 CPUs")


def test_reasons_that_room_would_not_cure_have_no_nearest() -> None:
    assert rejected(cloud(host(enabled=False)), request()).message == "0 of 1 hosts fit: 1 HostDisabled"


TOO_LARGE = [
    (cloud(host(), host("h2")), request(cpus=17)),
    (cloud(host(), host("h2")), request(memory=65 * GI)),
    (cloud(cluster(cpu_overcommit=4.0), host()), request(cpus=17)),
    (cloud(host(), host("h2", cpus=99, memory=GI)), request(cpus=17)),
    (cloud(host(enabled=False), host("h2", connected=False)), request(cpus=17)),
    (cloud(host(), host("h2", cpus=64)), request(cpus=17, host="h1")),
]


@pytest.mark.parametrize(("index", "wanted"), TOO_LARGE)
def test_a_vm_larger_than_any_host_is_told_so(index: HostIndex, wanted: Request) -> None:
    answer = rejected(index, wanted)
    assert answer.reason is Reason.TOO_LARGE_FOR_ANY_HOST
    assert "more than any of them has even when empty" in answer.message


NOT_TOO_LARGE = [
    (cloud(host(), host("h2", cpus=64, enabled=False)), request(cpus=17)),
    (cloud(host(), host("h2", cpus=0, memory=0, connected=False)), request(cpus=17)),
    (cloud(cluster(memory_overcommit=2.0, enabled=False), host()), request(memory=65 * GI)),
]


@pytest.mark.parametrize(("index", "wanted"), NOT_TOO_LARGE)
def test_a_vm_that_could_fit_some_day_is_not(index: HostIndex, wanted: Request) -> None:
    assert rejected(index, wanted).reason is Reason.NO_FITTING_HOST


ELSEWHERE: list[ClusterView | HostView] = [cluster("c2", zone="z2"), host("h2", cluster="c2")]

UNKNOWN = [
    (cloud(), request(), Reason.NO_HOSTS, "zone z1 has no hosts"),
    (cloud(), request(zone="nowhere"), Reason.NO_HOSTS, "zone nowhere has no hosts"),
    (cloud(cluster(), *ELSEWHERE), request(), Reason.NO_HOSTS, "zone z1 has no hosts"),
    (cloud(host()), request(host="h9"), Reason.HOST_NOT_FOUND, "zone z1 has no host h9"),
    (cloud(cluster(), host(), *ELSEWHERE), request(host="h2"), Reason.HOST_NOT_FOUND, "zone z1 has no host h2"),
    (cloud(host()), request(cluster="c9"), Reason.CLUSTER_NOT_FOUND, "zone z1 has no cluster c9"),
    (cloud(cluster(), host(), *ELSEWHERE), request(cluster="c2"), Reason.CLUSTER_NOT_FOUND, "zone z1 has no cluster c2"),
    (cloud(cluster(), cluster("c3"), host()), request(cluster="c3"), Reason.NO_HOSTS, "cluster c3 has no hosts"),
    (cloud(cluster(), cluster("c3"), host()), request(cluster="c3", host="h1"), Reason.HOST_NOT_FOUND, "cluster c3 has no host h1"),
    (cloud(host(cluster="later")), request(), Reason.NO_HOSTS, "zone z1 has no hosts"),
]


@pytest.mark.parametrize(("index", "wanted", "reason", "message"), UNKNOWN)
def test_what_is_not_there_is_named(index: HostIndex, wanted: Request, reason: Reason, message: str) -> None:
    answer = rejected(index, wanted)
    assert (answer.reason, answer.message, answer.counts) == (reason, message, {})


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (1, "1"), (1023, "1023"), (1024, "1Ki"), (1536, "1.5Ki"), (512 * MI, "512Mi"), (GI + 1, "1.1Gi"), (2**60, "1024Pi")],
)
def test_sizes_are_shown_in_the_largest_unit(size: int, text: str) -> None:
    assert show_size(size) == text


@given(st.integers(0, 2**55))
def test_a_shown_size_is_never_less_than_the_size(size: int) -> None:
    """Who adds what the message says has enough; and not much more than enough."""
    text = show_size(size)
    digits = text.rstrip("KiMGTP")
    scale = 1024 ** ["", "Ki", "Mi", "Gi", "Ti", "Pi"].index(text[len(digits) :])
    assert size <= float(digits) * scale <= size + scale / 10 + 1
