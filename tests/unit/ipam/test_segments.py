"""VLANs: as for addresses, with ranges that may shrink, overlap or be missing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.ipam import Owner, Reason, Refusal, SegmentAllocator, VLANRange
from drivers.types import Segment

HUNDRED = [VLANRange(100, 199)]


def network(number: int, created: str = "2026-01-01T00:00:00Z") -> Owner:
    return Owner(f"uid-{number}", name=f"shop/net-{number}", created=created)


def vlan(answer: Segment | Refusal) -> int:
    assert isinstance(answer, Segment), answer
    assert answer.vlan is not None
    return answer.vlan


def refusal(answer: Segment | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


def test_a_network_keeps_its_vlan() -> None:
    allocator = SegmentAllocator()
    first = vlan(allocator.reserve("z", HUNDRED, network(1)))
    assert 100 <= first <= 199
    assert vlan(allocator.reserve("z", HUNDRED, network(1))) == first
    assert vlan(allocator.reserve("z", [VLANRange(500, 501)], network(1))) == first, "a range that shrinks takes nothing away"
    assert vlan(SegmentAllocator().reserve("z", HUNDRED, network(1))) == first, "the search starts where it started"


@pytest.mark.parametrize(
    ("ranges", "text"),
    [
        (HUNDRED, "VLAN range 100-199 of zone z: all 100 in use"),
        ([VLANRange(1, 3), VLANRange(7, 7)], "VLAN ranges 1-3, 7-7 of zone z: all 4 in use"),
        ([VLANRange(5, 9), VLANRange(7, 12), VLANRange(13, 14)], "VLAN range 5-14 of zone z: all 10 in use"),
        ([VLANRange(4093, 9999)], "VLAN range 4093-4094 of zone z: all 2 in use"),
    ],
)
def test_a_used_up_range_says_so(ranges: list[VLANRange], text: str) -> None:
    allocator = SegmentAllocator()
    total = int(text.split("all ")[1].split()[0])
    assert len({vlan(allocator.reserve("z", ranges, network(number))) for number in range(total)}) == total
    refused = refusal(allocator.reserve("z", ranges, network(-1)))
    assert refused.reason is Reason.SEGMENTS_EXHAUSTED
    assert refused.message == text
    allocator.release(network(0))
    assert isinstance(allocator.reserve("z", ranges, network(-1)), Segment)


@pytest.mark.parametrize("ranges", [[], [VLANRange(9, 5)], [VLANRange(5000, 6000)], [VLANRange(-5, 0)]])
def test_a_zone_without_ranges_says_so(ranges: list[VLANRange]) -> None:
    refused = refusal(SegmentAllocator().reserve("z", ranges, network(1)))
    assert refused.reason is Reason.SEGMENTS_EXHAUSTED
    assert refused.message == "zone z has no guest VLAN range"


def test_a_pinned_vlan_in_use_says_by_whom() -> None:
    allocator = SegmentAllocator()
    assert vlan(allocator.reserve("z", HUNDRED, network(1), 150)) == 150
    refused = refusal(allocator.reserve("z", HUNDRED, network(2), 150))
    assert refused.reason is Reason.SEGMENT_IN_USE
    assert refused.message == "VLAN 150 is in use by shop/net-1"
    assert refused.by == network(1)
    assert vlan(allocator.reserve("other", HUNDRED, network(2), 150)) == 150, "zones don't share VLANs"


def test_a_pin_outside_the_ranges_is_given() -> None:
    allocator = SegmentAllocator()
    assert vlan(allocator.reserve("z", HUNDRED, network(1), 4000)) == 4000
    assert allocator.allocated("z") == 1


@pytest.mark.parametrize("pinned", [0, -1, 4095, 2**40])
def test_an_impossible_vlan_is_refused(pinned: int) -> None:
    allocator = SegmentAllocator()
    allocator.claim("z", pinned, network(1))
    refused = refusal(allocator.reserve("z", HUNDRED, network(1), pinned))
    assert refused.reason is Reason.SEGMENT_INVALID
    assert allocator.records("z") == []


def test_a_vlan_can_not_be_changed() -> None:
    allocator = SegmentAllocator()
    allocator.reserve("z", HUNDRED, network(1), 150)
    refused = refusal(allocator.reserve("z", HUNDRED, network(1), 151))
    assert refused.reason is Reason.SEGMENT_FIXED
    assert allocator.records("z") == [(150, network(1))]


def test_the_oldest_pin_wins_in_any_order() -> None:
    young, old = network(1, "2026-02-01T00:00:00Z"), network(2, "2026-01-01T00:00:00Z")
    allocator = SegmentAllocator()
    for each in (young, old):
        allocator.claim("z", 150, each)
    refused = refusal(allocator.reserve("z", HUNDRED, young, 150))
    assert refused.by == old
    assert "pinned by shop/net-2" in refused.message
    assert vlan(allocator.reserve("z", HUNDRED, old, 150)) == 150


def test_an_adopted_vlan_is_kept_by_the_oldest() -> None:
    young, old = network(1, "2026-02-01T00:00:00Z"), network(2, "2026-01-01T00:00:00Z")
    allocator = SegmentAllocator()
    assert allocator.adopt("z", 150, young) is None
    conflict = allocator.adopt("z", 150, old)
    assert conflict is not None
    assert (conflict.keeps, conflict.loses) == (old, young)
    assert allocator.records("z") == [(150, old)]


@given(st.lists(st.tuples(st.integers(-3, 40), st.integers(-3, 40)), max_size=5))
def test_every_vlan_of_any_ranges_is_given_exactly_once(pairs: list[tuple[int, int]]) -> None:
    ranges = [VLANRange(*pair) for pair in pairs]
    every = {number for each in ranges for number in range(each.start, each.end + 1) if 1 <= number <= 4094}
    allocator = SegmentAllocator()
    given_out = [vlan(allocator.reserve("z", ranges, network(number))) for number in range(len(every))]
    assert sorted(given_out) == sorted(every)
    assert isinstance(allocator.reserve("z", ranges, network(-1)), Refusal)


NETWORKS = [network(number, f"2026-01-01T00:00:0{number % 3}Z") for number in range(8)]


class Segments(RuleBasedStateMachine):
    """No VLAN of a zone has two networks, whatever is pinned, shrunk, released and adopted in between."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = SegmentAllocator()
        self.held: dict[Owner, int] = {}

    @rule(owner=st.sampled_from(NETWORKS), end=st.integers(100, 105), pinned=st.none() | st.integers(99, 107))
    def reserve(self, owner: Owner, end: int, pinned: int | None) -> None:
        answer = self.allocator.reserve("z", [VLANRange(100, end)], owner, pinned)
        if isinstance(answer, Refusal):
            assert owner not in self.held or answer.reason is Reason.SEGMENT_FIXED
            return
        number = vlan(answer)
        assert self.held.get(owner, number) == number, "it keeps what it has"
        assert owner in self.held or number not in self.held.values()
        assert pinned in (None, number)
        self.held[owner] = number

    @rule(owner=st.sampled_from(NETWORKS), number=st.integers(99, 107))
    def adopt(self, owner: Owner, number: int) -> None:
        conflict = self.allocator.adopt("z", number, owner)
        if conflict and conflict.loses != conflict.keeps:
            self.held.pop(conflict.loses, None)
        if conflict is None or conflict.loses not in (owner, conflict.keeps):
            self.held[owner] = number

    @rule(owner=st.sampled_from(NETWORKS))
    def release(self, owner: Owner) -> None:
        self.allocator.release(owner)
        self.held.pop(owner, None)

    @invariant()
    def records(self) -> None:
        assert dict(map(reversed, self.allocator.records("z"))) == self.held  # type: ignore[arg-type]
        assert self.allocator.allocated("z") == len(self.held) == len(set(self.held.values()))


TestSegments = Segments.TestCase
TestSegments.settings = settings(max_examples=60, stateful_step_count=40)
