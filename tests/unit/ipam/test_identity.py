"""Identities are deterministic, well formed and distinct."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.ipam import instance_id, mac_address

uids = st.uuids().map(str)
nics = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


@given(uids)
def test_instance_id_is_a_uuid5(uid: str) -> None:
    made = uuid.UUID(instance_id(uid))
    assert made.version == 5
    assert made.variant == uuid.RFC_4122
    assert str(made) == instance_id(uid)


@given(st.sets(uids, min_size=2))
def test_instance_ids_differ(uids: set[str]) -> None:
    assert len({instance_id(uid) for uid in uids}) == len(uids)


def test_instance_id_never_changes() -> None:
    """The VMs of a running cloud are found by it: computed here from the RFC's rule and the namespace that was once chosen."""
    import hashlib

    namespace = uuid.UUID("9d1f5c1e-6a52-4f0e-8b6c-3a6a7f2d9c04")
    digest = bytearray(hashlib.sha1(namespace.bytes + b"an-uid").digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    assert instance_id("an-uid") == str(uuid.UUID(bytes=bytes(digest)))


@given(uids, nics)
def test_mac_address_is_unicast_and_locally_administered(uid: str, nic: str) -> None:
    mac = mac_address(uid, nic)
    assert re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", mac)
    first = int(mac[:2], 16)
    assert first & 0x01 == 0, "multicast bit"
    assert first & 0x02 == 0x02, "locally administered bit"
    assert first != 0xFE, "libvirt and Xen use fe: for the host's side"
    assert mac == mac_address(uid, nic)


def test_mac_address_avoids_the_tap_prefix() -> None:
    """Among 2,000 addresses some 31 would begin with fe; none may."""
    firsts = {mac_address(f"uid-{number}", "front")[:2] for number in range(2000)}
    assert "fe" not in firsts
    assert len(firsts) == 63, "all other prefixes are used"


@pytest.mark.parametrize(("one", "two"), [(("a", "b/c"), ("a/b", "c")), (("u", "front"), ("u", "back")), (("u", "f"), ("v", "f"))])
def test_mac_addresses_differ(one: tuple[str, str], two: tuple[str, str]) -> None:
    assert mac_address(*one) != mac_address(*two)
