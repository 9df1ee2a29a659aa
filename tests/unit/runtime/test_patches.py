"""Merge patches: what they lead to, by RFC 7386 as the fake API server applies it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.patches import merge_patch

from .fakes import merged

names = st.sampled_from(["a", "b", "c"])
leaves = st.integers(0, 3) | st.sampled_from(["x", "y"]) | st.lists(st.integers(0, 2), min_size=1, max_size=2)
objects = st.recursive(
    st.dictionaries(names, leaves, max_size=3), lambda inner: st.dictionaries(names, leaves | inner, max_size=3), max_leaves=6
)


def bare(value: Any) -> Any:
    """Without empty objects, which a status doesn't spell out."""
    if not isinstance(value, dict):
        return value
    return {name: bare(item) for name, item in value.items() if bare(item) != {}}


@given(objects, objects)
def test_the_patch_turns_one_into_the_other(have: dict[str, Any], want: dict[str, Any]) -> None:
    have, want = bare(have), bare(want)
    patch = merge_patch(have, have, want)
    assert bare(merged(have, patch)) == want
    assert (patch == {}) == (have == want)


@given(objects, objects)
def test_a_second_patch_has_nothing_to_do(have: dict[str, Any], want: dict[str, Any]) -> None:
    have, want = bare(have), bare(want)
    after = merged(have, merge_patch(have, have, want))
    assert merge_patch(after, bare(after), want) == {}


@given(objects, objects, st.integers())
def test_what_the_model_does_not_know_is_left_alone(have: dict[str, Any], want: dict[str, Any], newer: int) -> None:
    have, want = bare(have), bare(want)
    raw = {**have, "newer": newer}
    assert merged(raw, merge_patch(raw, have, want))["newer"] == newer


def test_the_same_in_other_words_is_not_written() -> None:
    raw = {"at": "2026-11-20T10:00:00+00:00", "sizes": {"memory": "2048Mi"}}
    known = {"at": "2026-11-20T10:00:00Z", "sizes": {"memory": "2Gi"}}
    assert merge_patch(raw, known, known) == {}
    assert merge_patch(raw, known, {**known, "at": "2026-11-20T11:00:00Z"}) == {"at": "2026-11-20T11:00:00Z"}


def test_a_default_of_the_model_that_the_api_lacks_is_written() -> None:
    assert merge_patch({}, {"state": "Creating"}, {"state": "Creating"}) == {"state": "Creating"}
