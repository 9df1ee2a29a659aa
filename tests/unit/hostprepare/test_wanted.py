"""What is asked for ends up in scripts and YAML: what could mean something there is refused."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.hostprepare.script import script
from controller.hostprepare.wanted import Distribution, Wanted

GOOD = Wanted(
    name="kvm-1",
    addresses=["192.0.2.11", "2001:db8::11", "kvm-1.example"],
    cluster="kvm",
    zone="zurich",
    namespace="vireo-system",
    secret="kvm-tls",
    pool_path="/var/lib/vireo",
    bridge="ovsbr0",
    uplink="eth1",
    controllers=["192.0.2.2", "198.51.100.0/28", "2001:db8::/64"],
    host_keys=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5c3BhrG7N0vSwcCkKRSb4oi8kkdPmSFPPI7NhT+dDr"],
    distribution=Distribution.DEBIAN,
)
LOGIN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM3Q1Pb0kFqZsdWqAyCtiUyVZ4DRAxuGEqjAZe5cPVjU vireo-controller"
"""The public key of a controller."""
TEXT = ("name", "cluster", "zone", "namespace", "secret", "pool_path", "bridge", "uplink")
HOSTILE = [
    "a b",
    "$(reboot)",
    "`id`",
    "a;b",
    "a'b",
    'a"b',
    "a\nb",
    "-rf",
    "../x",
    "a\\",
    "*",
    "é",
    "{a,b}",
    "~root",
    "a#b",
    "a: b",
    "&c",
]


@pytest.mark.parametrize("field", TEXT)
@pytest.mark.parametrize("value", HOSTILE)
def test_nothing_that_a_shell_or_yaml_would_understand(field: str, value: str) -> None:
    for text in (value, f"/{value}"):
        with pytest.raises(ValueError):
            replace(GOOD, **{field: text})


@pytest.mark.parametrize("value", [*HOSTILE, "", "192.0.2.256", "1.2.3", "fe80::1%eth0", "KVM-1", "a..b", "a" * 254])
def test_addresses(value: str) -> None:
    with pytest.raises(ValueError):
        replace(GOOD, addresses=["192.0.2.11", value])


@pytest.mark.parametrize("value", [*HOSTILE, "", "controller.example", "192.0.2.1/28", "fe80::1%eth0/64"])
def test_controllers(value: str) -> None:
    with pytest.raises(ValueError):
        replace(GOOD, controllers=[value])


@pytest.mark.parametrize(
    ("field", "value"), [("pool_path", "relative"), ("pool_path", "/"), ("pool_path", "/a/../b"), ("bridge", "b" * 16)]
)
def test_paths_and_interfaces(field: str, value: str) -> None:
    with pytest.raises(ValueError):
        replace(GOOD, **{field: value})


@pytest.mark.parametrize("value", [*HOSTILE, "", "ssh-ed25519 AAAA", f"{GOOD.host_keys[0]} comment", f"{GOOD.host_keys[0]}\n"])
def test_host_keys(value: str) -> None:
    with pytest.raises(ValueError):
        replace(GOOD, host_keys=[value])


def test_an_uplink_needs_a_bridge() -> None:
    with pytest.raises(ValueError, match="bridge"):
        replace(GOOD, bridge="")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("192.0.2.11", "qemu+tls://192.0.2.11/system"),
        ("2001:db8::11", "qemu+tls://[2001:db8::11]/system"),
        ("kvm-1.example", "qemu+tls://kvm-1.example/system"),
    ],
)
def test_the_url_is_that_of_the_first_address(address: str, url: str) -> None:
    assert replace(GOOD, addresses=[address, "192.0.2.99"]).url == url


@given(st.sampled_from(TEXT), st.text(max_size=12))
def test_what_is_accepted_is_one_plain_word(field: str, value: str) -> None:
    try:
        accepted: Any = replace(GOOD, **{field: value})
    except ValueError:
        return
    assert value == "" or shlex.split(value) == [value] == [shlex.quote(value)]
    assert script(accepted, LOGIN).isascii()
