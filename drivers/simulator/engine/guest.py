"""What a guest does with its seed: NoCloud `local-hostname` and the static addresses of network configuration version 2.

Rules: cloud-init, "NoCloud" and "Networking config Version 2" in its reference documentation.
"""

from __future__ import annotations

from typing import Any

import yaml

from drivers.types import Capability, GuestInfo, ObservedNIC, Power, Seed

from .model import VM, GuestConfig

__all__ = ["guest_info", "read_seed"]

MAX_DEPTH = 50

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_seed(seed: Seed) -> GuestConfig:
    """What a guest would take from the seed. A document that it can't read is ignored, as a guest would."""
    meta = _load(seed.meta_data)
    ethernets = _load(seed.network_config).get("ethernets")
    addresses = None
    if isinstance(ethernets, dict):
        addresses = tuple(entry for entry in map(_static, ethernets.values()) if entry is not None)
    hostname = meta.get("local-hostname", "")
    return GuestConfig(hostname if isinstance(hostname, str) else "", addresses)


def _load(document: str) -> dict[str, Any]:
    try:
        if _is_too_deep(document):
            return {}
        value = yaml.load(document, Loader=_Loader)  # noqa: S506 - both loaders are the safe ones
    except (yaml.YAMLError, ValueError):
        return {}
    if not isinstance(value, dict):
        return {}
    network = value.get("network")
    return network if isinstance(network, dict) else value


def _is_too_deep(document: str) -> bool:
    """Whether a document is nested so deeply that the C loader would overflow the stack."""
    depth = 0
    for event in yaml.parse(document, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return True
    return False


def _static(entry: Any) -> tuple[str, tuple[str, ...]] | None:
    """MAC and addresses without prefix length of one `ethernets` entry."""
    match = entry.get("match") if isinstance(entry, dict) else None
    mac = match.get("macaddress") if isinstance(match, dict) else None
    addresses = entry.get("addresses") if isinstance(entry, dict) else None
    if not isinstance(mac, str) or not isinstance(addresses, list):
        return None
    return mac.lower(), tuple(address.partition("/")[0] for address in addresses if isinstance(address, str))


def guest_info(vm: VM, capabilities: frozenset[Capability]) -> GuestInfo:
    """What the agent of a VM says; nothing before it runs."""
    if vm.booted is None or vm.power is not Power.ON or Capability.GUEST_AGENT not in capabilities:
        return GuestInfo()
    return GuestInfo(True, vm.booted.hostname, _addresses(vm.booted, tuple(vm.nics.values())))


def _addresses(booted: GuestConfig, nics: tuple[ObservedNIC, ...]) -> tuple[str, ...]:
    """Static addresses of the NICs that are there; without network configuration, those that DHCP would hand out."""
    if booted.addresses is None:
        return tuple(nic.ip for nic in nics if nic.ip)
    by_mac = dict(booted.addresses)
    return tuple(address for nic in nics for address in by_mac.get(nic.mac, ()))
