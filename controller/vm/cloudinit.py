"""cloud-init NoCloud documents for a guest (cloud-init documentation, "NoCloud" and "Networking config Version 2")."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from drivers.types import Seed


@dataclass(frozen=True, slots=True)
class GuestNIC:
    """What the guest must know of a NIC. `address` is empty where DHCP gives it; `prefix_length` goes with it."""

    name: str
    mac: str
    address: str = ""
    prefix_length: int = 0
    gateway: str = ""
    dns: tuple[str, ...] = ()
    default: bool = False


def seed(instance: str, hostname: str, ssh_keys: Sequence[str], nics: Sequence[GuestNIC], user_data: bytes) -> Seed:
    """The documents of one guest; the same input always gives the same text, so that the digest tells a change.

    The instance-id never changes in the life of a VM: cloud-init's per-instance work is done once, at the first boot.
    """
    meta, network = _documents(instance, hostname, tuple(ssh_keys), tuple(nics))
    return Seed(meta_data=meta, network_config=network, user_data=user_data)


def hostname_of(name: str, declared: str | None) -> str:
    """The declared host name, else the object's name up to its first dot, cut to the 63 characters of a DNS label."""
    return declared or name.split(".", 1)[0][:63].rstrip("-")


@lru_cache(maxsize=512)
def _documents(instance: str, hostname: str, ssh_keys: tuple[str, ...], nics: tuple[GuestNIC, ...]) -> tuple[str, str]:
    """Meta data and network config as text: a VM that is being made is looked at several times, and writing YAML is slow."""
    meta: dict[str, Any] = {"instance-id": instance, "local-hostname": hostname}
    if ssh_keys:
        meta["public-keys"] = list(ssh_keys)
    network = {"version": 2, "ethernets": {nic.name: _ethernet(nic) for nic in nics}}
    return _dump(meta), _dump(network)


def _ethernet(nic: GuestNIC) -> dict[str, Any]:
    found: dict[str, Any] = {"match": {"macaddress": nic.mac}}
    if not nic.address:
        return found | {"dhcp4": True, "optional": True}
    found |= {"dhcp4": False, "addresses": [f"{nic.address}/{nic.prefix_length}"]}
    if nic.default and nic.gateway:
        found["routes"] = [{"to": "0.0.0.0/0", "via": nic.gateway}]
    if nic.dns:
        found["nameservers"] = {"addresses": list(nic.dns)}
    return found


def _dump(document: dict[str, Any]) -> str:
    """As `yaml.dump` writes it, in half its time: a start writes the documents of all VMs anew, to compare their digests."""
    stream = [yaml.StreamStartEvent(), yaml.DocumentStartEvent(explicit=False)]
    stream += [*_events(document), yaml.DocumentEndEvent(explicit=False), yaml.StreamEndEvent()]
    return str(yaml.emit(stream, Dumper=yaml.CSafeDumper))


def _events(value: object) -> Iterator[yaml.Event]:
    """What a value is to the library's emitter, which quotes what needs it; no map or list may be in it twice."""
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=False)
        for key in sorted(value):
            yield from _events(key)
            yield from _events(value[key])
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=False)
        for item in value:
            yield from _events(item)
        yield yaml.SequenceEndEvent()
    elif isinstance(value, str):
        yield yaml.ScalarEvent(None, None, (_reads_as_text(value), True), value)
    else:  # a number, or a truth value
        yield yaml.ScalarEvent(None, None, (True, False), str(value).lower())


def _reads_as_text(value: str) -> bool:
    """Whether text without quotes is read as text, and not as a number, a time or a truth value."""
    rules = yaml.CSafeDumper.yaml_implicit_resolvers.get(value[:1], ())
    return not any(pattern.match(value) for _, pattern in rules)
