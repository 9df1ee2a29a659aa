"""How many hosts are looked at. Counted, not timed: this is what keeps placing quick in a large cloud."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.scheduler import Allocation, Placement, Rejection, Scheduler
from controller.scheduler.census import Census
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.judge import Judge
from controller.scheduler.shapes import Alike
from tests.unit.scheduler.builders import GI, cloud, cluster, host, request

HOSTS = 300
TRIED = 64  # one by one, before all are judged at once


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the hosts that were judged, in order; of those that were judged together, the first."""
    names: list[str] = []
    judge, take = Judge.__call__, Census.take

    def counting(self: Judge, candidate: Candidate) -> object:
        names.append(candidate.view.name)
        return judge(self, candidate)

    def counting_alike(self: Census, alike: Alike) -> None:
        names.extend(next(iter(equal)) for equal in alike.values())
        take(self, alike)

    monkeypatch.setattr(Judge, "__call__", counting)
    monkeypatch.setattr(Census, "take", counting_alike)
    return names


@contextmanager
def at_most(count: int, judged: list[str]) -> Iterator[None]:
    before = len(judged)
    yield
    assert len(judged) - before <= count


def large(**more: object) -> HostIndex:
    return cloud(cluster(cpu_threshold=100), *(host(f"h{number}", **more) for number in range(HOSTS)))


def test_an_ordinary_vm_needs_a_look_at_one_host(judged: list[str]) -> None:
    scheduler = Scheduler(large())
    for number in range(HOSTS):
        with at_most(1, judged):
            assert isinstance(scheduler.place(request(f"vm-{number}", disk=GI)), Placement)


def test_full_hosts_are_not_looked_at_before_empty_ones(judged: list[str]) -> None:
    index = large()
    for number in range(HOSTS - 1):
        index.assign(f"u{number}", Allocation(f"h{number}", "shared", 16, 64 * GI, GI))
    with at_most(1, judged):
        answer = Scheduler(index).place(request())
    assert isinstance(answer, Placement)
    assert answer.host == f"h{HOSTS - 1}"


def test_hosts_that_can_not_take_vms_are_not_looked_at(judged: list[str]) -> None:
    index = large(enabled=False)
    index.put_host(host("able"))
    with at_most(1, judged):
        assert isinstance(Scheduler(index).place(request()), Placement)


def test_a_pinned_host_is_the_only_one_looked_at(judged: list[str]) -> None:
    index = large()
    with at_most(1, judged):
        assert isinstance(Scheduler(index).place(request(host="h7")), Placement)
    with at_most(2, judged):
        assert isinstance(Scheduler(index).place(request("other", host="h8", cpus=99)), Rejection)
    assert set(judged) == {"h7", "h8"}


def test_a_rejection_looks_at_hosts_that_are_alike_as_one(judged: list[str]) -> None:
    with at_most(TRIED + 1, judged):
        assert isinstance(Scheduler(large()).place(request(cpus=99)), Rejection)


def test_a_rejection_looks_no_more_than_once_at_hosts_that_all_differ(judged: list[str]) -> None:
    index = large()
    for number in range(HOSTS):
        index.assign(f"u{number}", Allocation(f"h{number}", "shared", 1, GI + number, GI))
    with at_most(TRIED + HOSTS, judged):
        assert isinstance(Scheduler(index).place(request(memory=64 * GI)), Rejection)
    assert len(set(judged)) == HOSTS


def test_the_last_host_that_fits_is_found_without_a_look_at_each(judged: list[str]) -> None:
    index = large()
    index.put_host(host("wanted", tags=frozenset({"gpu"})))
    with at_most(TRIED + 2, judged):
        answer = Scheduler(index).place(request(host_tags=frozenset({"gpu"})))
    assert isinstance(answer, Placement)
    assert answer.host == "wanted"


def test_the_next_equal_request_looks_at_none(judged: list[str]) -> None:
    index = large()
    scheduler = Scheduler(index)
    scheduler.place(request("first", cpus=99))
    with at_most(0, judged):
        for number in range(50):
            scheduler.place(request(f"vm-{number}", cpus=99))
    index.put_host(host("new"))
    with at_most(TRIED + 1, judged):
        scheduler.place(request("vm-0", cpus=99))


def test_vms_that_are_placed_meanwhile_make_no_other_rejection_new(judged: list[str]) -> None:
    scheduler = Scheduler(large())
    for number in range(50):
        with at_most(1 if number else TRIED + 2, judged):
            assert isinstance(scheduler.place(request(f"big-{number}", cpus=17)), Rejection)
            assert isinstance(scheduler.place(request(f"small-{number}")), Placement)


def test_what_is_remembered_is_bounded(judged: list[str]) -> None:
    scheduler = Scheduler(cloud(host(enabled=False)))
    for number in range(2000):
        assert isinstance(scheduler.place(request(memory=number + 1)), Rejection)
    assert len(scheduler._rejections) <= 1024
