"""Documents are written as PyYAML writes them, whoever writes them: a digest of the text tells whether a guest has it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from controller.vm.cloudinit import GuestNIC, seed
from controller.vm.plainyaml import text


def by_pyyaml(document: dict[str, Any]) -> str:
    return str(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=True, default_flow_style=False))


macs = st.lists(st.integers(0, 255), min_size=6, max_size=6).map(lambda octets: bytes(octets).hex(":"))
addresses = st.ip_addresses(v=4).map(str)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
LIKE_OTHERS = (
    "yes no on off true null y n ~ 1 1e3 0x1f 1_000 10 = << a: - 2026-11-21 12:30 12:34:56:11:22:33 0o17 .inf nan a- # &a é"
)
odd = st.sampled_from([*LIKE_OTHERS.split(), "", "a b", "- a", "x\n", "a" * 64, "a" * 200])
words = names | macs | addresses | st.uuids().map(str) | odd | st.text(max_size=12)
scalars = words | st.booleans() | st.integers(-1000, 10**6)
documents = st.dictionaries(
    words,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


@given(documents)
@example({"version": 2, "ethernets": {}})
@example({"a": [], "b": [[]], "c": [{}], "d": {"ef": [{"gh": ["ij", {"kl": 1, "mn": {"op": True}}]}]}})
def test_as_pyyaml_writes_it(document: dict[str, Any]) -> None:
    assert text(document) == by_pyyaml(document)


@given(odd | words)
def test_every_word_as_pyyaml_writes_it(word: str) -> None:
    for document in ({"word": word}, {"words": [word]}, {word: 1}, {"words": [{word: word}]}):
        assert text(document) == by_pyyaml(document)


nics = st.builds(
    GuestNIC,
    name=names | odd,
    mac=macs,
    address=addresses | st.just(""),
    prefix_length=st.integers(0, 32),
    gateway=addresses | st.just(""),
    dns=st.lists(addresses, max_size=3).map(tuple),
    default=st.booleans(),
)


by_name = st.lists(nics, max_size=3, unique_by=lambda nic: nic.name)


@given(st.uuids().map(str), names | odd, st.lists(st.text(max_size=90), max_size=2), by_name)
def test_seeds_are_what_they_were(instance: str, hostname: str, keys: list[str], found: list[GuestNIC]) -> None:
    """Guests were given the text that PyYAML writes: another would be told as a change of each of them."""
    made = seed(instance, hostname, keys, found, b"")
    assert made.meta_data == by_pyyaml(yaml.safe_load(made.meta_data))
    assert made.network_config == by_pyyaml(yaml.safe_load(made.network_config))
    assert yaml.safe_load(made.meta_data)["local-hostname"] == hostname
    assert set(yaml.safe_load(made.network_config)["ethernets"]) == {nic.name for nic in found}


@pytest.mark.parametrize("gateway", ["10.1.0.1", ""])
def test_what_nearly_all_vms_have_needs_no_pyyaml(gateway: str) -> None:
    nic = GuestNIC("front", "26:23:51:00:1a:02", "10.1.2.3", 16, gateway, ("10.1.0.2",), default=True)
    with mock.patch.object(yaml, "dump", side_effect=AssertionError("not plain")):
        seed("0f3d2c0a-1111-5222-8333-0123456789ab", "plain-needs-no-yaml", [], [nic, GuestNIC("lan", "26:23:51:00:1a:03")], b"")
