"""Which Host may use a hypervisor: pure rules."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from controller.host.identity import Identities, refusal
from crds.v1alpha1 import Host

names = st.sampled_from(["a", "b", "c", "d"])
ids = st.sampled_from(["x", "y"])


def make(name: str, *, native_id: str | None = None, contacted: bool = False, second: int = 0) -> Host:
    meta = {
        "name": name,
        "uid": name,
        "creationTimestamp": f"2026-11-20T10:00:{second:02}Z",
        "finalizers": ["f"] if contacted else [],
    }
    return Host.parse({"metadata": meta, "spec": {"cluster": "c1"}, "status": {"nativeID": native_id} if native_id else {}})


hosts = st.lists(st.tuples(st.none() | ids, st.booleans(), st.integers(0, 2)).map(lambda drawn: drawn), min_size=1, max_size=4).map(
    lambda drawn: [make(f"h{n}", native_id=i, contacted=c, second=s) for n, (i, c, s) in enumerate(drawn)]
)


@given(hosts)
def test_of_all_hosts_with_one_hypervisor_exactly_one_is_accepted(group: list[Host]) -> None:
    accepted = [
        host.metadata.name
        for host in group
        if refusal(host, "x", [other for other in group if other is not host], carries_vms=False) is None
    ]
    assert len(accepted) == 1


@given(hosts)
def test_who_recorded_the_hypervisor_wins_over_who_did_not(group: list[Host]) -> None:
    holders = [host for host in group if host.status.native_id == "x"]
    for host in group:
        rivals = [other for other in group if other is not host]
        if holders and host not in holders:
            found = refusal(host, "x", rivals, carries_vms=False)
            assert found is not None
            assert found.reason == "DuplicateHost"


def test_contacted_wins_over_older_and_older_over_younger() -> None:
    older, younger, contacted = make("old"), make("young", second=1), make("late", contacted=True, second=2)
    assert refusal(older, "x", [younger], carries_vms=False) is None
    assert refusal(younger, "x", [older], carries_vms=False) is not None
    assert refusal(contacted, "x", [older, younger], carries_vms=False) is None


def test_replaced_only_with_vms_and_a_known_identity() -> None:
    known = make("h", native_id="old", contacted=True)
    found = refusal(known, "new", [], carries_vms=True)
    assert found is not None
    assert found.reason == "HostReplaced"
    assert "old" in found.message
    assert "new" in found.message
    assert refusal(known, "new", [], carries_vms=False) is None
    assert refusal(known, "old", [], carries_vms=True) is None
    assert refusal(make("h", contacted=True), "new", [], carries_vms=True) is None, "status lost: nothing to compare with"


@given(st.lists(st.tuples(names, st.none() | ids), max_size=30))
def test_rivals_are_those_last_seen_with_the_same_identity(steps: list[tuple[str, str | None]]) -> None:
    identities, model = Identities(), dict[str, str]()
    for name, native_id in steps:
        if native_id is None:
            identities.forget(name)
            model.pop(name, None)
        else:
            identities.note(name, native_id)
            model[name] = native_id
        groups = defaultdict(set)
        for each, known in model.items():
            groups[known].add(each)
        for each in "abcd":
            expected = groups[model[each]] - {each} if each in model else set()
            assert identities.rivals(each) == sorted(expected)
