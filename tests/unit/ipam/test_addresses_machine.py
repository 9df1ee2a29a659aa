"""Any interleaving of operations on the address allocator: no address has two owners, nothing is lost, nothing is left behind."""

from ipaddress import IPv4Address

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from controller.ipam import Address, AddressAllocator, Owner, Reason, parse_subnet

SUBNET = parse_subnet("10.1.0.0/28", "10.1.0.1", [("10.1.0.2", "10.1.0.5"), ("10.1.0.8", "10.1.0.9")])
ALLOWED = [f"10.1.0.{number}" for number in (2, 3, 4, 5, 8, 9)]
OWNERS = [Owner(f"uid-{number // 2}", f"nic{number % 2}", created=f"2026-01-01T00:00:0{number % 3}Z") for number in range(10)]

networks = st.sampled_from(["a", "b"])
owners = st.sampled_from(OWNERS)
addresses = st.sampled_from(ALLOWED)


class Allocation(RuleBasedStateMachine):
    """The model knows who has what by what the allocator answered."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = AddressAllocator()
        self.held: dict[tuple[str, Owner], str] = {}
        self.pins: dict[tuple[str, Owner], str] = {}

    def holders(self, network: str) -> dict[str, Owner]:
        return {ip: owner for (where, owner), ip in self.held.items() if where == network}

    @rule(network=networks, owner=owners)
    def reserve(self, network: str, owner: Owner) -> None:
        before = self.held.get((network, owner))
        self.pins.pop((network, owner), None)
        blocked = set(self.holders(network)) | {ip for (where, _), ip in self.pins.items() if where == network}
        answer = self.allocator.reserve(network, SUBNET, owner)
        if before:
            assert str(answer) == before
        elif isinstance(answer, Address):
            assert str(answer) in ALLOWED
            assert str(answer) not in blocked
            self.held[network, owner] = str(answer)
        else:
            assert answer.reason is Reason.ADDRESSES_EXHAUSTED
            assert blocked >= set(ALLOWED)

    @rule(network=networks, owner=owners, pinned=addresses)
    def reserve_pinned(self, network: str, owner: Owner, pinned: str) -> None:
        before = self.held.get((network, owner))
        holder = self.holders(network).get(pinned)
        answer = self.allocator.reserve(network, SUBNET, owner, pinned)
        if before is None:
            self.pins[network, owner] = pinned
        rivals = [
            each
            for (where, each), ip in self.pins.items()
            if (where, ip) == (network, pinned) and (where, each) not in self.held and each.rank < owner.rank
        ]
        if before:
            assert str(answer) == before if before == pinned else getattr(answer, "reason", None) is Reason.ADDRESS_FIXED
        elif isinstance(answer, Address):
            assert str(answer) == pinned
            assert holder is None
            assert not rivals
            self.held[network, owner] = pinned
        else:
            assert answer.reason is Reason.ADDRESS_IN_USE
            assert answer.by == holder if holder else answer.by == min(rivals, key=lambda each: each.rank)

    @rule(network=networks, owner=owners, pinned=addresses)
    def claim(self, network: str, owner: Owner, pinned: str) -> None:
        self.allocator.claim(network, pinned, owner)
        self.pins[network, owner] = pinned

    @rule(network=networks, owner=owners, ip=addresses)
    def adopt(self, network: str, owner: Owner, ip: str) -> None:
        before, holder = self.held.get((network, owner)), self.holders(network).get(ip)
        conflict = self.allocator.adopt(network, IPv4Address(ip), owner)
        if before is not None:
            assert (conflict is None) == (before == ip)
        elif holder is None:
            assert conflict is None
            self.held[network, owner] = ip
        else:
            assert conflict is not None
            winner = min(holder, owner, key=lambda each: each.rank)
            assert conflict.keeps == winner
            del self.held[network, holder]
            self.held[network, winner] = ip

    @rule(owner=owners)
    def release(self, owner: Owner) -> None:
        self.allocator.release(owner)
        self.forget(lambda each: each == owner)

    @rule(uid=st.sampled_from(sorted({each.uid for each in OWNERS})))
    def release_all(self, uid: str) -> None:
        self.allocator.release_all(uid)
        self.forget(lambda each: each.uid == uid)

    @rule(network=networks)
    def release_network(self, network: str) -> None:
        self.allocator.release_network(network)
        for known in (self.held, self.pins):
            for entry in [entry for entry in known if entry[0] == network]:
                del known[entry]

    def forget(self, gone: object) -> None:
        assert callable(gone)
        for known in (self.held, self.pins):
            for entry in [entry for entry in known if gone(entry[1])]:
                del known[entry]

    @invariant()
    def records_are_what_was_answered(self) -> None:
        for network in ("a", "b"):
            records = self.allocator.records(network)
            assert {str(ip): owner for ip, owner in records} == self.holders(network)
            assert len(records) == self.allocator.allocated(network)
            assert len({owner for _, owner in records}) == len(records)

    @invariant()
    def rebuilt_from_records_it_is_the_same(self) -> None:
        rebuilt = AddressAllocator()
        for network in ("a", "b"):
            for ip, owner in reversed(self.allocator.records(network)):
                assert rebuilt.adopt(network, ip, owner) is None
            assert rebuilt.records(network) == self.allocator.records(network)

    def teardown(self) -> None:
        for owner in OWNERS:
            self.allocator.release(owner)
        assert not self.allocator._networks._ledgers, "nothing is left behind"
        assert not self.allocator._networks._entries


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(max_examples=60, stateful_step_count=40)
