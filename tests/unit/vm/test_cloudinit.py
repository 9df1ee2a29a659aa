"""cloud-init documents."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.vm.cloudinit import GuestNIC, _dump, hostname_of, seed

STATIC = GuestNIC("front", "02:00:00:00:00:01", "10.0.0.5", 24, "10.0.0.1", ("10.0.0.2",), default=True)


def network(*nics: GuestNIC) -> dict[str, dict[str, object]]:
    document = yaml.safe_load(seed("i-1", "web", [], nics, b"").network_config)
    assert document["version"] == 2
    return document["ethernets"]


def test_managed_interface_is_static_with_the_default_route() -> None:
    assert network(STATIC) == {
        "front": {
            "match": {"macaddress": "02:00:00:00:00:01"},
            "dhcp4": False,
            "addresses": ["10.0.0.5/24"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
            "nameservers": {"addresses": ["10.0.0.2"]},
        }
    }


def test_only_the_default_interface_has_a_route() -> None:
    second = GuestNIC("back", "02:00:00:00:00:02", "10.1.0.5", 16, "10.1.0.1")
    found = network(STATIC, second)
    assert "routes" in found["front"]
    assert "routes" not in found["back"]


def test_unmanaged_interface_asks_dhcp_and_does_not_hold_up_the_boot() -> None:
    assert network(GuestNIC("lan", "02:00:00:00:00:03"))["lan"]["dhcp4"] is True
    assert network(GuestNIC("lan", "02:00:00:00:00:03"))["lan"]["optional"] is True


def test_metadata_carries_identity_name_and_keys() -> None:
    meta = yaml.safe_load(seed("i-1", "web-1", ["ssh-ed25519 AAAA me"], [], b"").meta_data)
    assert meta == {"instance-id": "i-1", "local-hostname": "web-1", "public-keys": ["ssh-ed25519 AAAA me"]}


@given(key=st.text(min_size=1), data=st.binary())
def test_hostile_text_stays_data(key: str, data: bytes) -> None:
    made = seed("i-1", "web", [key], [STATIC], data)
    assert yaml.safe_load(made.meta_data)["public-keys"] == [key]
    assert made.user_data == data


@given(data=st.binary(), other=st.binary())
def test_digest_tells_a_change(data: bytes, other: bytes) -> None:
    first, second = seed("i", "h", [], [STATIC], data), seed("i", "h", [], [STATIC], other)
    assert (first.digest == second.digest) == (data == other)


def test_user_data_is_not_shown() -> None:
    assert "s3cret" not in repr(seed("i", "h", [], [], b"password: s3cret"))


@pytest.mark.parametrize(
    ("name", "declared", "expected"),
    [
        ("web", None, "web"),
        ("web.example.org", None, "web"),
        ("web", "other", "other"),
        ("a" * 253, None, "a" * 63),
        ("a" * 62 + "-b", None, "a" * 62),
    ],
)
def test_hostname(name: str, declared: str | None, expected: str) -> None:
    assert hostname_of(name, declared) == expected


def library(document: dict[str, object]) -> str:
    return str(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False))


_TEXT = st.one_of(
    st.text(),
    st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", fullmatch=True),
    st.from_regex(r"[0-9]{2}(:[0-5][0-9]){5}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"[0-9a-z][-0-9a-z_.+]{0,12}", fullmatch=True),
    st.sampled_from(["", "~", "null", "yes", "On", "true", "0x1f", "0b1", "1e3", "1_000", ".5", "-", "=", "<<", "2026-11-21"]),
)


@given(
    document=st.dictionaries(
        _TEXT,
        st.recursive(
            _TEXT | st.booleans() | st.integers(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_documents_are_what_the_library_writes(document: dict[str, object]) -> None:
    """Letter for letter: what VMs carry since they were made has the digest of the library's text."""
    assert _dump(document) == library(document)


@given(
    instance=_TEXT,
    hostname=_TEXT,
    keys=st.lists(_TEXT, max_size=3),
    nics=st.lists(
        st.builds(GuestNIC, _TEXT, _TEXT, _TEXT, st.integers(0, 32), _TEXT, st.lists(_TEXT, max_size=2).map(tuple), st.booleans()),
        max_size=3,
    ),
)
def test_seeds_are_what_the_library_writes(instance: str, hostname: str, keys: list[str], nics: list[GuestNIC]) -> None:
    made = seed(instance, hostname, keys, nics, b"")
    assert made.meta_data == library(yaml.safe_load(made.meta_data))
    assert made.network_config == library(yaml.safe_load(made.network_config))
    assert yaml.safe_load(made.meta_data)["instance-id"] == instance
