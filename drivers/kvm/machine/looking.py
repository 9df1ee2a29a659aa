"""The look at all VMs of a host, which mostly finds what the last one found.

libvirt tells of some changes by no event, so all that it says is asked for each time. But only what it says anew is read: a digest
of a domain's documents is kept with the VM that they describe, and the same documents describe the same VM.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import libvirt

from drivers.kvm import domains, mark
from drivers.kvm.domain import observe, snapshots
from drivers.kvm.domain.observe import Documents, Key
from drivers.kvm.domain.snapshots import Told
from drivers.kvm.xmltext import parse
from drivers.types import HostID, InstanceID, ObservedVM, Unplugged

STATISTICS = libvirt.VIR_DOMAIN_STATS_STATE
"""libvirt knows this by itself. For others, block statistics among them, it asks QEMU, and one QEMU that hangs holds up all."""

_DIGEST = 16
"""Bytes: two texts that libvirt writes of one domain never have the same digest of that length."""


class _Seen(NamedTuple):
    """A digest, and the VM that it stands for. Of a domain without our mark it is that of the definition alone, and no VM."""

    digest: bytes
    vm: ObservedVM | None


class _Texts(NamedTuple):
    """What libvirt says of a domain: its state with the reason, both documents, `live` empty while it is off, and its snapshots."""

    state: int
    reason: int
    inactive: str
    live: str
    snapshots: tuple[Told, ...]

    @property
    def digest(self) -> bytes:
        """The same for the same texts only."""
        told = (f"{snapshot.current:d}{snapshot.document}" for snapshot in self.snapshots)
        return _digest(str(self.state), str(self.reason), self.inactive, self.live, *told)

    def read(self) -> Documents | None:
        """The documents; None without our mark. Raises Transient for what is not XML."""
        inactive = parse(self.inactive)
        if mark.read(inactive) is None:
            return None
        live = parse(self.live) if self.live else None
        return Documents(inactive, live, self.state, self.reason, snapshots.read_all(self.snapshots))


class Looks:
    """What the last look has seen of each domain of a host; a domain that is gone is forgotten with the next.

    Safe to use from several threads: what is kept is replaced as a whole, and of two looks at once either will do.
    """

    def __init__(self, host: HostID) -> None:
        self._host = host
        self._seen: Mapping[InstanceID, _Seen] = MappingProxyType({})

    def all(self, connection: Any, in_the_air: Mapping[Key, Unplugged]) -> dict[InstanceID, ObservedVM]:
        """Every VM with our mark; one that goes away meanwhile is left out. `in_the_air`: NICs that are plugged in to nothing.

        One call for the power of all domains and one for those with snapshots, then their documents; no QEMU is asked. A VM with
        a NIC in the air is read each time: its documents don't tell of that.
        """
        before, now = self._seen, dict[InstanceID, _Seen]()
        found, astray = dict[InstanceID, ObservedVM](), {key.instance for key in in_the_air}
        with_snapshots = {each.UUIDString() for each in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)}
        for domain, statistics in connection.getAllDomainStats(STATISTICS, 0):
            instance = InstanceID(domain.UUIDString())
            power = int(statistics["state.state"]), int(statistics["state.reason"])
            with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
                known = None if instance in astray else before.get(instance)
                seen = self._look(domain, power, instance in with_snapshots, known, in_the_air)
                if seen.vm is not None:
                    found[instance] = seen.vm
                if instance not in astray:
                    now[instance] = seen
        self._seen = MappingProxyType(now)
        return found

    def _look(
        self, domain: Any, power: tuple[int, int], kept: bool, known: _Seen | None, in_the_air: Mapping[Key, Unplugged]
    ) -> _Seen:
        """`power` is state and reason, `kept` whether there are snapshots, `known` what the same documents were before."""
        inactive = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        if known is not None and known.vm is None and known.digest == _digest(inactive):
            return known
        live = "" if power[0] == libvirt.VIR_DOMAIN_SHUTOFF else domain.XMLDesc(0)
        texts = _Texts(*power, inactive, live, snapshots.told(domain) if kept else ())
        digest = texts.digest
        if known is not None and known.digest == digest:
            return known
        documents = texts.read()
        vm = None if documents is None else observe.observe(documents, self._host, in_the_air)
        return _Seen(_digest(inactive) if vm is None else digest, vm)


def _digest(*texts: str) -> bytes:
    """NUL, which no XML can have, keeps texts apart."""
    return blake2b("\0".join(texts).encode(), digest_size=_DIGEST).digest()
