"""One scope by itself: holdings, claims and the search."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ipam.ledger import Conflict, Ledger, Owner
from controller.ipam.ledgers import Ledgers

OLD = Owner("u-old", "", "shop/old", "2026-01-01T00:00:00Z")
YOUNG = Owner("u-young", "", "shop/young", "2026-02-01T00:00:00Z")
THIRD = Owner("u-third", "nic", "shop/third", "2026-03-01T00:00:00Z")


def test_owners_are_equal_by_identity_alone() -> None:
    """A renamed or refreshed description of an object is still the same holder."""
    assert Owner("u", "nic") == Owner("u", "nic", "shop/web", "2026-01-01T00:00:00Z")
    assert hash(Owner("u", "nic")) == hash(Owner("u", "nic", "shop/web"))
    assert Owner("u", "nic").digest == Owner("u", "nic", "shop/web").digest
    assert Owner("u", "a") != Owner("u", "b")
    assert Owner("a/b", "c").digest != Owner("a", "b/c").digest


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Owner("z", created="2026-01-01T00:00:00Z"), Owner("a", created="2026-01-01T00:00:01Z")),
        (Owner("a", created="2026-01-01T00:00:00Z"), Owner("b", created="2026-01-01T00:00:00Z")),
        (Owner("a", "eth0"), Owner("a", "eth1")),
        (Owner("a", created="2026-09-30T23:59:59Z"), Owner("a", created="2026-10-01T00:00:00Z")),
    ],
)
def test_the_older_comes_first_then_the_uid_then_the_nic(first: Owner, second: Owner) -> None:
    assert first.rank < second.rank


@pytest.mark.parametrize(
    ("owner", "text"), [(OLD, "shop/old"), (THIRD, "shop/third (nic)"), (Owner("u"), "u"), (Owner("u", "n"), "u (n)")]
)
def test_an_owner_is_shown_as_people_know_it(owner: Owner, text: str) -> None:
    assert str(owner) == text


def test_a_number_is_not_given_twice_by_mistake() -> None:
    ledger = Ledger()
    ledger.hold(5, OLD)
    with pytest.raises(ValueError, match="5 can't be given to shop/young"):
        ledger.hold(5, YOUNG)
    with pytest.raises(ValueError, match="6 can't be given to shop/old"):
        ledger.hold(6, OLD)
    assert list(ledger) == [(5, OLD)]


def test_a_claim_moves_with_its_owner() -> None:
    ledger = Ledger()
    ledger.claim(5, OLD)
    ledger.claim(6, OLD)
    assert ledger.first_claimant(5) is None
    assert ledger.first_claimant(6) == OLD
    assert ledger.search([(5, 6)], 0) == 5


def test_a_claim_of_one_who_has_something_keeps_nobody_waiting() -> None:
    """It can't change its number, so it will never take the one that it claims; but it stays kept from chance."""
    ledger = Ledger()
    ledger.hold(4, OLD)
    ledger.claim(5, OLD)
    ledger.claim(5, YOUNG)
    assert ledger.first_claimant(5) == YOUNG


def test_a_number_is_free_when_the_last_interest_in_it_ends() -> None:
    ledger = Ledger()
    ledger.claim(5, OLD)
    ledger.claim(5, YOUNG)
    ledger.hold(5, OLD)
    ledger.drop(OLD)
    assert ledger.search([(5, 5)], 0) is None, "the younger still claims it"
    ledger.withdraw(YOUNG)
    assert ledger.search([(5, 5)], 0) == 5
    assert ledger.idle


def test_dropping_what_is_not_there_is_harmless() -> None:
    ledger = Ledger()
    ledger.drop(OLD)
    ledger.withdraw(OLD)
    assert ledger.idle


def test_the_loser_of_an_adoption_holds_nothing_and_can_hold_again() -> None:
    ledger = Ledger()
    ledger.adopt(5, YOUNG)
    assert ledger.adopt(5, OLD) == Conflict(5, 5, keeps=OLD, loses=YOUNG)
    assert ledger.held_by(YOUNG) is None
    ledger.hold(6, YOUNG)
    assert list(ledger) == [(5, OLD), (6, YOUNG)]


spans = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=4).map(
    lambda pairs: [(first + 40 * at, first + 40 * at + length - 1) for at, (first, length) in enumerate(pairs)]
)


@given(spans, st.integers(0, 2**64), st.sets(st.integers(0, 160)))
def test_the_search_goes_once_round_from_its_start(ranges: list[tuple[int, int]], start: int, taken: set[int]) -> None:
    ledger = Ledger()
    for number in taken:
        ledger.hold(number, Owner(f"u{number}"))
    every = [number for first, last in ranges for number in range(first, last + 1)]
    turn = start % len(every) if every else 0
    expected = next((number for number in every[turn:] + every[:turn] if number not in taken), None)
    assert ledger.search(ranges, start) == expected


def test_a_scope_is_forgotten_with_its_last_entry_only() -> None:
    ledgers = Ledgers()
    ledgers.open("a", OLD).hold(1, OLD)
    ledgers.open("a", YOUNG).claim(2, YOUNG)
    ledgers.release(OLD)
    assert ledgers.held("a") == 0
    assert ledgers.open("a", YOUNG).first_claimant(2) == YOUNG, "the claim is still known"
    ledgers.release(YOUNG)
    assert ledgers.open("a", OLD).idle


def test_releasing_one_part_leaves_the_others() -> None:
    ledgers = Ledgers()
    parts = [Owner("u", name) for name in ("eth0", "eth1")]
    for scope in ("a", "b"):
        for number, part in enumerate(parts):
            ledgers.open(scope, part).hold(number, part)
    ledgers.release(parts[0])
    assert [ledgers.records(scope) for scope in ("a", "b")] == [[(1, parts[1])]] * 2
    ledgers.close("a")
    ledgers.release_all("u")
    assert ledgers.records("b") == []
    ledgers.release_all("u")


def test_asking_about_an_unknown_scope_makes_none() -> None:
    ledgers = Ledgers()
    assert ledgers.held("a") == 0
    assert ledgers.records("a") == []
    ledgers.close("a")
    assert not ledgers._ledgers
