"""What a VM rests on: noted for its present spec, carried over to the next one while it can't be driven."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.runtime.context import Context
from controller.vm.plan import differences
from controller.vm.rests import Rests, as_declared
from crds.v1alpha1.virtualmachine import VirtualMachine
from drivers.types import DiskLimits, ObservedVM, Power
from tests.unit.vm.things import as_made, mount, nic, wanted

SEEN = as_made(wanted())
LATER = replace(SEEN, cpus=1)


def context(generation: int = 1, *, told: int = 0, working: bool = False) -> Context[VirtualMachine]:
    """`told`: the generation for which drift was told, 0 for none."""
    conditions = {"InSync": SimpleNamespace(reason="Drift", observed_generation=told)} if told else {}
    job = SimpleNamespace(status="InProgress") if working else None
    vm = SimpleNamespace(metadata=SimpleNamespace(generation=generation), status=SimpleNamespace(job=job))
    return cast("Any", SimpleNamespace(uid="u1", object=vm, conditions=conditions))


def resting(generation: int = 1) -> Rests:
    rests = Rests()
    rests.note(context(generation), SEEN)
    return rests


def test_it_is_known_for_the_spec_for_which_it_was_noted() -> None:
    rests = resting()
    assert rests.seen(context(1)) is SEEN
    assert rests.seen(context(2)) is None
    rests.forget("u1")
    assert rests.seen(context(1)) is None
    rests.forget("u1")


def test_a_new_spec_that_can_not_be_carried_out_changes_nothing_of_it() -> None:
    rests = resting()
    assert rests.waiting(context(2), LATER) is SEEN
    assert rests.seen(context(2)) is SEEN, "also once the VM is driven again"


def test_what_was_told_for_the_old_spec_is_for_the_new_one_to_put_right() -> None:
    rests = resting()
    assert rests.waiting(context(2, told=1), LATER) is LATER
    assert rests.waiting(context(2, told=2), SEEN) is LATER, "what is told for this spec stays drift"


def test_one_that_was_never_seen_at_rest_rests_on_what_it_has() -> None:
    rests = Rests()
    assert rests.waiting(context(1), LATER) is LATER
    assert rests.waiting(context(1), SEEN) is LATER
    assert Rests().waiting(context(2, told=1), LATER) is LATER


def test_but_not_on_what_was_told_to_be_drift() -> None:
    rests = Rests()
    assert rests.waiting(context(1, told=1), LATER) is None
    assert rests.seen(context(1)) is None


def test_one_that_is_worked_on_rests_on_nothing() -> None:
    rests = resting()
    assert rests.waiting(context(1, working=True), LATER) is None
    assert rests.seen(context(1)) is SEEN, "it is remembered"


OTHERS: list[ObservedVM] = [
    SEEN,
    as_made(wanted(nics=(nic("a"), nic("b", mac="02:00:00:00:00:02", ip=""))), Power.OFF),
    as_made(replace(wanted(), volumes=(mount("data", "v1"), replace(mount("logs", "v2"), limits=DiskLimits(read_iops=100))))),
]


@pytest.mark.parametrize("seen", OTHERS)
def test_declared_as_it_is_seen_there_is_nothing_to_do(seen: ObservedVM) -> None:
    assert differences(as_declared(seen), seen) == []


def test_what_runs_with_another_size_than_its_next_start_differs_from_itself() -> None:
    """As one that waits for a restart: nobody did that by hand, see `hardware_drift`."""
    seen = replace(SEEN, running_cpus=1)
    assert differences(as_declared(seen), seen) == differences(as_declared(seen), replace(seen, power=Power.PAUSED)) != []
