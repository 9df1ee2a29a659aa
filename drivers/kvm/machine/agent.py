"""What the guest agent says. It runs in the guest and may be slow, silent or lie: each call is bounded, each answer checked."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

import libvirt

from drivers.kvm import domains
from drivers.kvm.link.session import Role, Session
from drivers.types import GuestInfo, InstanceID

MAX_ADDRESSES = 64
MAX_HOSTNAME = 253


def ask(session: Session, instance: InstanceID) -> GuestInfo:
    """What the guest says, on a connection of its own: one that does not answer holds it for the whole timeout."""

    def run(connection: Any) -> GuestInfo:
        domain = domains.find(connection, instance)
        return GuestInfo() if domain is None else read(domain, session.timeouts.agent)

    return session.run(Role.AGENT, f"ask the guest agent of the VM {instance}", run)


def read(domain: Any, timeout: int) -> GuestInfo:
    """Host name and addresses by a connected agent; one that does not answer in `timeout` seconds counts as absent."""
    wanted = libvirt.VIR_DOMAIN_GUEST_INFO_HOSTNAME | libvirt.VIR_DOMAIN_GUEST_INFO_INTERFACES
    try:
        domain.agentSetResponseTimeout(timeout, 0)
        answer = domain.guestInfo(wanted, 0)
    except libvirt.libvirtError:
        return GuestInfo()
    return parse(answer)


def parse(answer: Mapping[str, Any]) -> GuestInfo:
    """The answer of virDomainGetGuestInfo, which is flat (`if.0.addr.0.addr` …), as GuestInfo."""
    found = [address for text in _texts(answer) if (address := _unicast(text))]
    addresses = tuple(dict.fromkeys(found))[:MAX_ADDRESSES]
    hostname = str(answer.get("hostname", ""))[:MAX_HOSTNAME]
    return GuestInfo(agent=True, hostname=hostname if hostname.isprintable() else "", addresses=addresses)


def _texts(answer: Mapping[str, Any]) -> Iterator[str]:
    for interface in range(_count(answer, "if.count")):
        for index in range(_count(answer, f"if.{interface}.addr.count")):
            yield str(answer.get(f"if.{interface}.addr.{index}.addr", ""))


def _count(answer: Mapping[str, Any], key: str) -> int:
    value = answer.get(key, 0)
    return min(value, 1024) if isinstance(value, int) else 0


def _unicast(text: str) -> str:
    """The address in its canonical form if others can reach it, else an empty string."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return "" if local or getattr(address, "scope_id", None) else str(address)
