"""Packed pieces: nothing is lost, and bytes are equal where values are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.runtime.pieces import Pieces

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


def alike(number: int) -> dict[str, Any]:
    """Objects as those of one kind are."""
    types = ("Ready", "DisksReady", "GuestReady", "InSync", "JobSucceeded", "NetworksReady", "Placed", "PowerStateSynced")
    time = f"2026-11-21T08:{number % 60:02}:07Z"
    conditions = [{"type": type, "status": "True", "reason": "AsDeclared", "lastTransitionTime": time} for type in types]
    return {"host": f"host-{number:05}", "ipAddress": f"10.1.{number // 250}.{number % 250}", "conditions": conditions}


@given(st.lists(values, min_size=1, max_size=5))
def test_what_was_packed_is_found_again(several: list[Any]) -> None:
    pieces = Pieces()
    packed = [pieces.pack(value) for value in several]
    assert [pieces.value(each) for each in packed] == several
    assert [json.loads(pieces.text(each)) for each in packed] == several


@given(values, values, values)
def test_bytes_tell_whether_values_differ(first: Any, one: Any, other: Any) -> None:
    pieces = Pieces()
    pieces.pack(first)
    same = json.dumps(one) == json.dumps(other)
    assert (pieces.pack(one) == pieces.pack(other)) is same
    assert pieces.pack(one) == pieces.pack(one)


def test_objects_of_a_kind_take_an_eighth() -> None:
    pieces = Pieces()
    whole = sum(len(json.dumps(alike(number))) for number in range(200))
    packed = sum(len(pieces.pack(alike(number))) for number in range(200))
    assert packed * 8 < whole


def test_what_the_first_one_was_makes_no_difference_but_in_size() -> None:
    pieces = Pieces()
    pieces.pack({})
    packed = [pieces.pack(alike(number)) for number in range(20)]
    assert [pieces.value(each) for each in packed] == [alike(number) for number in range(20)]


@pytest.mark.parametrize("value", [{}, "", 0, None, {"text": "ünï\u2028\x00"}, {"deep": [[[[]]]]}, "x" * 100_000])
def test_odd_values_survive(value: Any) -> None:
    pieces = Pieces()
    pieces.pack({"first": True})
    assert pieces.value(pieces.pack(value)) == value


def test_pieces_farther_back_than_the_window_are_only_larger() -> None:
    pieces, long = Pieces(), "".join(f"{number:x}" for number in range(20_000))
    assert pieces.value(pieces.pack(long)) == long
    assert pieces.value(pieces.pack(long + "!")) == long + "!"
