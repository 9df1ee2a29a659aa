"""The sparse set behaves like a set, and its search like a scan."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.ipam.slots import Slots

numbers = st.integers(0, 20) | st.integers(4090, 4100) | st.integers(0, 2**32 - 1)


class SlotsLikeASet(RuleBasedStateMachine):
    """Runs the same operations on a set."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots()
        self.model: set[int] = set()

    @rule(number=numbers)
    def add(self, number: int) -> None:
        self.slots.add(number)
        self.model.add(number)

    @rule(number=numbers)
    def discard(self, number: int) -> None:
        self.slots.discard(number)
        self.model.discard(number)

    @rule(start=numbers, length=st.integers(0, 30))
    def first_free(self, start: int, length: int) -> None:
        expected = next((number for number in range(start, start + length) if number not in self.model), None)
        assert self.slots.first_free(start, start + length) == expected

    @invariant()
    def members(self) -> None:
        assert all(number in self.slots for number in self.model)
        assert all((number in self.slots) == (number in self.model) for number in range(25))

    @invariant()
    def no_empty_page_is_kept(self) -> None:
        assert len(self.slots._pages) == len({number // 4096 for number in self.model})


TestSlotsLikeASet = SlotsLikeASet.TestCase


@given(st.integers(0, 3), st.integers(0, 5))
def test_search_crosses_full_pages(start: int, more: int) -> None:
    slots = Slots()
    for number in range(2 * 4096 + more):
        slots.add(number)
    assert slots.first_free(start, 4 * 4096) == 2 * 4096 + more
    assert slots.first_free(start, 2 * 4096) is None


def test_memory_does_not_grow_with_the_range() -> None:
    slots = Slots()
    slots.add(2**32 - 1)
    assert slots.first_free(0, 2**32) == 0
    assert len(slots._pages) == 1
