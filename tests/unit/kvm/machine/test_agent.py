"""What a guest says is taken for what it is: a claim of somebody else's program."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kvm.machine import agent
from drivers.types import GuestInfo
from tests.unit.kvm.fakes import libvirt_error


def answer(*addresses: str, hostname: str = "web") -> dict[str, object]:
    """One interface with these addresses, as libvirt flattens it."""
    found: dict[str, object] = {"hostname": hostname, "if.count": 1, "if.0.name": "eth0", "if.0.addr.count": len(addresses)}
    return found | {f"if.0.addr.{index}.addr": address for index, address in enumerate(addresses)}


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["10.0.0.5"], ("10.0.0.5",)),
        (["127.0.0.1", "::1", "10.0.0.5"], ("10.0.0.5",)),
        (["fe80::1", "169.254.1.1", "2001:db8::5"], ("2001:db8::5",)),
        (["fd00:10::5"], ("fd00:10::5",)),
        (["2001:DB8:0:0::5"], ("2001:db8::5",)),
        (["224.0.0.1", "ff02::1", "0.0.0.0", "::"], ()),
        (["2001:db8::5%eth0"], ()),
        (["10.0.0.5", "10.0.0.5"], ("10.0.0.5",)),
        (["", "x", "10.0.0.5/24", "010.0.0.5", "10.0.0"], ()),
        (["10.0.0.9", "10.0.0.5"], ("10.0.0.9", "10.0.0.5")),
    ],
)
def test_addresses_that_others_can_reach(addresses: list[str], told: tuple[str, ...]) -> None:
    assert agent.parse(answer(*addresses)) == GuestInfo(True, "web", told)


def test_several_interfaces() -> None:
    found = {
        "if.count": 2,
        "if.0.addr.count": 1,
        "if.0.addr.0.addr": "10.0.0.5",
        "if.1.addr.count": 1,
        "if.1.addr.0.addr": "10.1.0.5",
    }
    assert agent.parse(found).addresses == ("10.0.0.5", "10.1.0.5")


def test_a_guest_without_addresses_is_a_guest() -> None:
    assert agent.parse({"hostname": "web"}) == GuestInfo(True, "web", ())


@pytest.mark.parametrize("hostname", ["a\nb", "a\x1b[31m", "\0"])
def test_a_host_name_that_would_garble_a_terminal_is_dropped(hostname: str) -> None:
    assert agent.parse(answer(hostname=hostname)).hostname == ""


def test_a_guest_cannot_flood_us() -> None:
    many = answer(*(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(5000)), hostname="x" * 10_000)
    told = agent.parse(many)
    assert len(told.addresses) == agent.MAX_ADDRESSES
    assert len(told.hostname) == agent.MAX_HOSTNAME


KEYS = st.sampled_from(["hostname", "if.count", "if.0.addr.count", "if.0.addr.0.addr", "if.0.name", "other"])
VALUES = st.integers(-5, 10**12) | st.text(max_size=20) | st.none() | st.booleans()


@given(st.dictionaries(KEYS, VALUES))
def test_no_answer_breaks_us(found: dict[str, object]) -> None:
    told = agent.parse(found)
    assert told.agent
    assert all(isinstance(address, str) for address in told.addresses)


class Domain:
    """A domain whose agent does as it is told here."""

    def __init__(self, found: dict[str, object] | None) -> None:
        self.found = found
        self.timeout: int | None = None

    def agentSetResponseTimeout(self, seconds: int, flags: int) -> None:
        self.timeout = seconds

    def guestInfo(self, types: int, flags: int) -> dict[str, object]:
        if self.found is None:
            raise libvirt_error(86, "Guest agent is not responding")
        return self.found


def test_the_agent_is_asked_with_a_bound() -> None:
    domain = Domain(answer("10.0.0.5"))
    assert agent.read(domain, 3) == GuestInfo(True, "web", ("10.0.0.5",))
    assert domain.timeout == 3


def test_an_agent_that_does_not_answer_is_absent() -> None:
    assert agent.read(Domain(None), 3) == GuestInfo()
