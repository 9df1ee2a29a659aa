"""Rules that several kinds share: who blocks a deletion, and how a status is left as it stands."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.conditions import Conditions
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.results import Done, Failed, Requeue, Result, Waiting, done, failed, requeue, waiting
from controller.runtime.store import Store
from controller.shared.deletion import blocked, existence, forced, if_deleting, listing
from controller.shared.standing import LOOKS, standing
from crds.status import Condition
from crds.v1alpha1 import Zone
from tests.unit.runtime.virtual import EPOCH


class Reconcile:
    """As much of a Context as these rules need."""

    def __init__(self, *, generation: int = 1, observed: int = 1, annotations: dict[str, str] | None = None) -> None:
        meta = {"name": "z1", "uid": "uid-1", "generation": generation, "annotations": annotations or {}}
        self.object = Zone.parse({"metadata": meta, "spec": {}, "status": {"observedGeneration": observed}})
        self.uid = "uid-1"

    @property
    def conditions(self) -> Conditions:
        return Conditions(self.object.status.conditions, cast("Any", Condition), 1, EPOCH)


def ctx(**about: Any) -> Context[Any]:
    return cast("Context[Any]", Reconcile(**about))


@given(st.lists(st.text(alphabet="abc", min_size=1), max_size=40))
def test_listing_names_ten_and_counts_the_rest(names: list[str]) -> None:
    text = listing(names)
    assert text.startswith(", ".join(names[:10]))
    assert text.endswith(f" and {len(names) - 10} more") == (len(names) > 10)


def test_blocked_while_there_are_users() -> None:
    reconcile = ctx()
    users = [Key("Pod", "", "p1"), Key("VirtualMachine", "shop", "web")]
    found = blocked(reconcile, users)
    assert isinstance(found, Waiting)
    assert found.reason == "InUse"
    assert "2" in found.message
    assert "Pod/p1, VirtualMachine/shop/web" in found.message
    assert reconcile.conditions.is_true("InUse")
    assert blocked(reconcile, []) is None
    assert reconcile.conditions.get("InUse") is None


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, False),
        ({"vireo.dev/force-delete": "true"}, False),
        ({"vireo.dev/force-delete": "uid-2"}, False),
        ({"vireo.dev/force-delete": "uid-1"}, True),
    ],
)
def test_forced_only_for_this_very_object(annotations: dict[str, str], expected: bool) -> None:
    assert forced(ctx(annotations=annotations)) is expected


def test_watch_on_users_wakes_only_what_is_being_deleted() -> None:
    store = Store()
    store.register(Zone)
    for number, name in enumerate(("stays", "goes"), start=1):
        meta: dict[str, Any] = {"name": name, "uid": name, "resourceVersion": str(number), "generation": 1}
        if name == "goes":
            meta["deletionTimestamp"] = "2026-11-20T10:00:00Z"
        store.upsert({"kind": "Zone", "metadata": meta, "spec": {}})
    keys = if_deleting(Zone, lambda user: [user.spec, "stays", "unknown"])
    assert list(keys(cast("Any", type("User", (), {"spec": "goes"})()), store)) == [Key("Zone", "", "goes")]


def test_existence_sees_no_difference_between_two_versions() -> None:
    assert existence("one version") == existence("another")


results = st.one_of(
    st.builds(done, st.just("Up"), st.text(max_size=20)),
    st.builds(waiting, st.just("NoHostUp"), st.text(max_size=20)),
    st.builds(requeue, st.just(1.0), st.just("Busy"), st.text(max_size=20)),
    st.builds(lambda message, terminal: failed("Refused", message, terminal=terminal), st.text(max_size=20), st.booleans()),
)


@given(results)
def test_standing_repeats_what_the_conditions_say(result: Result) -> None:
    """Applying the answer again changes no condition: nothing is written."""
    reconcile = ctx()
    reconcile.conditions.apply(result)
    before = [condition.model_dump() for condition in cast("Any", reconcile).object.status.conditions]
    again = standing(reconcile)
    assert again is not None
    reconcile.conditions.apply(again)
    assert [condition.model_dump() for condition in cast("Any", reconcile).object.status.conditions] == before
    assert isinstance(again, Failed) == (isinstance(result, Failed) and result.terminal)
    assert isinstance(again, Done) == isinstance(result, Done)
    assert not isinstance(again, Requeue)
    assert not isinstance(again, Waiting) or again.retry_after == LOOKS, "nobody else wakes it when hosts answer"


def test_standing_says_nothing_without_a_status_or_for_another_generation() -> None:
    assert standing(ctx()) is None
    changed = ctx(generation=2, observed=1)
    changed.conditions.apply(done("Up"))
    assert standing(changed) is None
