"""How segments leave a host: as text and back, and which names no host could have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm import carrier
from drivers.kvm.carrier import Carrier
from drivers.types import Attachment, NetworkBackend
from tests.unit.kvm.vms import CARRIERS


@given(CARRIERS)
def test_a_carrier_is_read_as_it_was_written(made: Carrier) -> None:
    assert carrier.read(str(made)) == made


HOSTILE = [
    "",
    "-eth0",
    "eth0 up",
    "eth0;reboot",
    "eth0\nlink delete dev lo",
    "$(id)",
    "e" * 16,
    "a/b",
    "a:b",
    "é",
    "'",
    "#",
    "eth0\0",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_such_uplink(name: str) -> None:
    with pytest.raises(InvalidSpec, match="interface"):
        carrier.of(Attachment(NetworkBackend.LINUX, uplink=name))


@pytest.mark.parametrize("group", ["10.1.1.1", "239.1.1", "239.1.1.1 dev lo", "ff02::1", "223.255.255.255", "240.0.0.0", "x"])
def test_no_such_group(group: str) -> None:
    with pytest.raises(InvalidSpec, match="multicast"):
        carrier.of(Attachment(NetworkBackend.LINUX, uplink="eno2", group=group))


@given(st.text(max_size=40))
def test_any_text_is_a_carrier_or_refused(text: str) -> None:
    try:
        found = carrier.read(text)
    except InvalidSpec:
        return
    assert str(found) == text
