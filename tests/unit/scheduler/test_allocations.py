"""Sums over VMs: right after any changes, and gone with the last VM."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from controller.scheduler import Allocation, Usage
from controller.scheduler.allocations import Allocations

allocations = st.builds(
    Allocation,
    host=st.sampled_from(["h1", "h2"]),
    pool=st.sampled_from(["p1", "p2"]),
    cpus=st.integers(0, 4),
    memory=st.integers(0, 9),
    disk=st.integers(0, 9),
    group=st.sampled_from(["", "shop/web", "shop/db"]),
)
uids = st.sampled_from(["a", "b", "c"])
changes = st.lists(st.tuples(uids, st.none() | allocations), max_size=12)


def after(steps: list[tuple[str, Allocation | None]]) -> tuple[Allocations, dict[str, Allocation]]:
    """Allocations after these changes, and what each VM should have."""
    made = Allocations()
    model: dict[str, Allocation] = {}
    for uid, allocation in steps:
        if allocation is None:
            made.drop(uid)
            model.pop(uid, None)
        else:
            made.put(uid, allocation)
            model[uid] = allocation
    return made, model


@given(changes)
def test_sums_are_those_of_the_vms_that_are_left(steps: list[tuple[str, Allocation | None]]) -> None:
    made, model = after(steps)
    for host in ("h1", "h2"):
        mine = [each for each in model.values() if each.host == host]
        guests = sum(1 for each in mine if each.cpus or each.memory)
        assert made.host(host) == Usage(sum(each.cpus for each in mine), sum(each.memory for each in mine), guests)
    for pool in ("p1", "p2"):
        assert made.pool(pool) == sum(each.disk for each in model.values() if each.pool == pool)
    assert {uid: made.get(uid) for uid in ("a", "b", "c")} == {uid: model.get(uid) for uid in ("a", "b", "c")}


@given(changes)
def test_groups_count_their_vms_by_host(steps: list[tuple[str, Allocation | None]]) -> None:
    made, model = after(steps)
    for name in ("", "shop/web", "shop/db"):
        expected = Counter(each.host for each in model.values() if name and each.group == name)
        assert dict(made.group(name)) == dict(expected)


@given(changes)
def test_nothing_is_left_when_all_vms_are_gone(steps: list[tuple[str, Allocation | None]]) -> None:
    made, model = after(steps)
    for uid in model:
        made.drop(uid)
    assert not made._hosts
    assert not made._pools
    assert not made._groups
    assert not made._by_vm


@given(changes, uids, allocations)
def test_the_hosts_that_changed_are_named(steps: list[tuple[str, Allocation | None]], uid: str, allocation: Allocation) -> None:
    """Whatever sum differs afterwards was named; and doing it again changes nothing."""
    made, _ = after(steps)
    before = {host: made.host(host) for host in ("h1", "h2")}
    changed = made.put(uid, allocation)
    assert {host for host in before if made.host(host) != before[host]} <= changed
    assert made.put(uid, allocation) == set()
    assert made.drop(uid) == {allocation.host}
    assert made.drop(uid) == set()


def test_a_move_changes_both_hosts() -> None:
    made = Allocations()
    assert made.put("a", Allocation("h1", "p1", 1, 1, 1)) == {"h1"}
    assert made.put("a", Allocation("h2", "p1", 1, 1, 1)) == {"h1", "h2"}
    assert (made.host("h1").vms, made.host("h2").vms) == (0, 1)
