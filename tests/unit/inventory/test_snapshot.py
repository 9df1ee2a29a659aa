"""What is known of VMs: no answer hides a later change, and none that is out of date is relied on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from controller.inventory.snapshot import Snapshot, Whereabouts
from drivers.types import AttachedVolume, GuestInfo, HostID, InstanceID, ObservedVM, Power, VolumeID
from tests.support.hypervisors import vm

A, B = InstanceID("a"), InstanceID("b")
AGENT = GuestInfo(agent=True, hostname="web", addresses=("10.0.0.5",))


def filled(*vms: ObservedVM) -> Snapshot:
    snapshot = Snapshot(Whereabouts())
    snapshot.replace({each.instance: each for each in vms}, snapshot.moment())
    return snapshot


def test_nothing_is_fresh_before_all_was_observed() -> None:
    snapshot = Snapshot(Whereabouts())
    assert not snapshot.is_fresh(A)
    snapshot.put(A, vm("a"), snapshot.moment())
    assert not snapshot.is_fresh(A)
    assert snapshot.get(A) == vm("a")


def test_whereabouts_name_all_that_have_a_vm() -> None:
    whereabouts = Whereabouts()
    one, two = Snapshot(whereabouts), Snapshot(whereabouts)
    for snapshot in (one, two):
        snapshot.put(A, vm("a"), snapshot.moment())
    two.put(B, vm("b"), two.moment())
    assert whereabouts.of(A) == (one, two)
    assert whereabouts.of(B) == (two,)
    one.put(A, None, one.moment())
    assert whereabouts.of(A) == (two,)
    two.withdraw()
    assert whereabouts.of(A) == whereabouts.of(B) == ()


def test_what_arrives_after_a_withdrawal_is_told_to_nobody() -> None:
    whereabouts = Whereabouts()
    snapshot = Snapshot(whereabouts)
    snapshot.withdraw()
    snapshot.put(A, vm("a"), snapshot.moment())
    assert whereabouts.of(A) == ()
    assert snapshot.get(A) == vm("a"), "those who hold it still see it"


def test_after_a_doubt_only_later_answers_count() -> None:
    snapshot = filled(vm("a"))
    before = snapshot.moment()
    snapshot.doubt()
    assert not snapshot.is_fresh(A)
    snapshot.replace({A: vm("a")}, before)
    assert not snapshot.complete, "that was asked before the doubt"
    snapshot.replace({A: vm("a")}, snapshot.moment())
    assert snapshot.is_fresh(A)
    assert snapshot.is_fresh(B)


def test_absence_is_an_answer_too() -> None:
    snapshot = filled(vm("a"))
    assert snapshot.is_fresh(B)
    assert snapshot.get(B) is None


def test_vms_by_host_follow_moves_and_deletions() -> None:
    snapshot = filled(vm("a", host="h1"), vm("b", host="h1"))
    assert {each.instance for each in snapshot.on_host(HostID("h1"))} == {A, B}
    snapshot.put(A, vm("a", host="h2"), snapshot.moment())
    snapshot.put(B, None, snapshot.moment())
    assert not list(snapshot.on_host(HostID("h1")))
    assert list(snapshot.on_host(HostID("h2"))) == [vm("a", host="h2")]


def test_vms_by_volume_follow_attachments_moves_and_deletions() -> None:
    def having(*volumes: str) -> ObservedVM:
        return replace(vm("a"), volumes=tuple(AttachedVolume(each, VolumeID(each), "s1", 1) for each in volumes))

    def found(volume: str) -> list[str]:
        return sorted(each.instance for each in snapshot.with_volume(VolumeID(volume)))

    snapshot = filled(having("x", "y"), vm("b"))
    assert (found("x"), found("y"), found("z")) == ([A], [A], [])
    snapshot.put(A, replace(having("y", "z"), host=HostID("h2")), snapshot.moment())
    assert (found("x"), found("y"), found("z")) == ([], [A], [A])
    snapshot.replace({B: replace(having("z"), instance=B)}, snapshot.moment())
    assert (found("x"), found("y"), found("z")) == ([], [], [B])
    snapshot.put(B, None, snapshot.moment())
    assert found("z") == []


def test_replace_tells_what_appeared_changed_and_vanished() -> None:
    snapshot = filled(vm("same"), vm("changed"), vm("vanished"))
    new = {each.instance: each for each in (vm("same"), vm("changed", power=Power.OFF), vm("appeared"))}
    told = snapshot.replace(new, snapshot.moment())
    assert {each.instance for each in told} == {"changed", "vanished", "appeared"}
    assert snapshot.replace(new, snapshot.moment()) == []


def test_event_during_an_observation_keeps_the_vm_stale() -> None:
    snapshot = filled(vm("a"))
    asked = snapshot.moment()
    snapshot.mark_stale(A)
    snapshot.put(A, vm("a"), asked)
    assert not snapshot.is_fresh(A)
    snapshot.put(A, vm("a"), snapshot.moment())
    assert snapshot.is_fresh(A)


def test_event_during_a_complete_observation_keeps_the_vm_stale() -> None:
    snapshot = filled(vm("a"), vm("b"))
    asked = snapshot.moment()
    snapshot.mark_stale(A)
    snapshot.replace({A: vm("a"), B: vm("b")}, asked)
    assert not snapshot.is_fresh(A)
    assert snapshot.is_fresh(B)


def test_complete_observation_that_began_during_a_change_does_not_hide_its_end() -> None:
    """The change is marked at its end too: what was observed in the middle of it is not relied on."""
    snapshot = filled(vm("a", power=Power.OFF))
    snapshot.mark_stale(A)
    asked = snapshot.moment()
    snapshot.replace({A: vm("a", power=Power.OFF)}, asked)
    snapshot.mark_stale(A)
    assert not snapshot.is_fresh(A)


def test_own_newer_answer_survives_a_complete_observation_that_was_asked_earlier() -> None:
    snapshot = filled(vm("a"))
    asked = snapshot.moment()
    snapshot.put(A, None, snapshot.moment())
    snapshot.put(B, vm("b"), snapshot.moment())
    assert snapshot.replace({A: vm("a")}, asked) == []
    assert snapshot.get(A) is None
    assert snapshot.get(B) == vm("b")


def test_older_answer_never_replaces_a_newer_one() -> None:
    snapshot = filled()
    early, late = snapshot.moment(), snapshot.moment()
    snapshot.put(A, vm("a", power=Power.ON), late)
    snapshot.put(A, vm("a", power=Power.OFF), early)
    seen = snapshot.get(A)
    assert seen is not None
    assert seen.power is Power.ON


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [(Power.ON, Power.ON, True), (Power.ON, Power.OFF, False), (Power.OFF, Power.ON, False)],
)
def test_guest_information_is_kept_while_the_vm_runs(before: Power, after: Power, kept: bool) -> None:
    snapshot = filled(replace(vm("a", power=before), guest=AGENT))
    snapshot.replace({A: vm("a", power=after)}, snapshot.moment())
    seen = snapshot.get(A)
    assert seen is not None
    assert (seen.guest == AGENT) is kept


@pytest.mark.parametrize("seen", [GuestInfo(), GuestInfo(agent=True)])
def test_guest_information_that_is_kept_is_no_change(seen: GuestInfo) -> None:
    snapshot = filled(replace(vm("a"), guest=AGENT))
    assert snapshot.replace({A: replace(vm("a"), guest=seen)}, snapshot.moment()) == []
    known = snapshot.get(A)
    assert known is not None
    assert known.guest == AGENT


def test_an_agent_that_has_connected_is_a_change() -> None:
    snapshot = filled(vm("a"))
    connected = replace(vm("a"), guest=GuestInfo(agent=True))
    assert snapshot.replace({A: connected}, snapshot.moment()) == [connected]


class Truth(RuleBasedStateMachine):
    """A hypervisor whose VMs change, announced by events or by the end of our own calls; observations take their time.

    The rule: what is fresh has been true since the last change that was announced.
    """

    reads = Bundle("reads")
    surveys = Bundle("surveys")
    instances = st.sampled_from([A, B, InstanceID("c")])
    worlds = st.sampled_from([None, Power.ON, Power.OFF])

    def __init__(self) -> None:
        super().__init__()
        self.whereabouts = Whereabouts()
        self.snapshot = Snapshot(self.whereabouts)
        self.truth: dict[InstanceID, ObservedVM] = {}

    @initialize()
    def connect(self) -> None:
        self.snapshot.replace({}, self.snapshot.moment())

    @rule(instance=instances, power=worlds, host=st.sampled_from(["h1", "h2"]))
    def change_and_announce(self, instance: InstanceID, power: Power | None, host: str) -> None:
        """The hypervisor changes a VM; its event, or the end of our own call, reaches us afterwards."""
        self._set(instance, power, host)
        self.snapshot.mark_stale(instance)

    @rule(target=reads, instance=instances)
    def ask(self, instance: InstanceID) -> tuple[InstanceID, int]:
        return instance, self.snapshot.moment()

    @rule(target=reads, read=consumes(reads))
    def hypervisor_reads(self, read: tuple[InstanceID, int]) -> tuple[InstanceID, int, ObservedVM | None] | object:
        """The hypervisor looks, some time after it was asked; the answer is still on its way."""
        return multiple() if len(read) == 3 else (*read, self.truth.get(read[0]))

    @rule(read=consumes(reads))
    def answer(self, read: tuple[InstanceID, int] | tuple[InstanceID, int, ObservedVM | None]) -> None:
        instance, asked = read[0], read[1]
        self.snapshot.put(instance, read[2] if len(read) == 3 else self.truth.get(instance), asked)

    @rule(target=surveys)
    def ask_for_all(self) -> tuple[int, dict[InstanceID, ObservedVM]]:
        return self.snapshot.moment(), dict(self.truth)

    @rule(survey=consumes(surveys))
    def all_answered(self, survey: tuple[int, dict[InstanceID, ObservedVM]]) -> None:
        self.snapshot.replace(survey[1], survey[0])

    @invariant()
    def what_is_fresh_is_true(self) -> None:
        for instance in (A, B, InstanceID("c")):
            if self.snapshot.is_fresh(instance):
                assert self.snapshot.get(instance) == self.truth.get(instance)

    @invariant()
    def by_host_agrees_with_by_instance(self) -> None:
        by_host = {each.instance: each for host in ("h1", "h2") for each in self.snapshot.on_host(HostID(host))}
        known = {instance: self.snapshot.get(instance) for instance in (A, B, InstanceID("c"))}
        assert by_host == {instance: seen for instance, seen in known.items() if seen is not None}

    @invariant()
    def whereabouts_agree(self) -> None:
        for instance in (A, B, InstanceID("c")):
            assert self.whereabouts.of(instance) == ((self.snapshot,) if self.snapshot.get(instance) else ())

    def _set(self, instance: InstanceID, power: Power | None, host: str) -> None:
        if power is None:
            self.truth.pop(instance, None)
        else:
            self.truth[instance] = vm(instance, host=host, power=power)


TestTruth = Truth.TestCase


def test_a_look_that_tells_what_a_guest_says_is_known_by_one_that_does() -> None:
    snapshot = filled(replace(vm("a"), guest=GuestInfo(agent=True)))
    snapshot.put(A, replace(vm("a"), guest=AGENT), snapshot.moment())
    snapshot.replace({A: replace(vm("a"), guest=GuestInfo(agent=True))}, snapshot.moment())
    assert not snapshot.tells_guests, "that was told by the guest when it was asked by itself"
    snapshot.replace({A: replace(vm("a"), guest=AGENT)}, snapshot.moment())
    assert snapshot.tells_guests
    snapshot.replace({}, snapshot.moment())
    assert snapshot.tells_guests, "there are no guests now, and the hypervisor is the same"
