"""The one host of an endpoint (drivers.base.Hosts)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from drivers.errors import DriverError, NotFound
from drivers.kvm.host import profile
from drivers.kvm.host.profile import HostProfile
from drivers.kvm.link.session import Role, Session
from drivers.kvm.machine import trial
from drivers.kvm.network import filters
from drivers.kvm.network.plugs import Plugs
from drivers.kvm.network.segments import Segments
from drivers.kvm.network.support import Networks
from drivers.kvm.store import luns
from drivers.types import HostID, ObservedHost


def probe(session: Session) -> HostProfile:
    """Read what the host is and offers. Raises Transient, AuthFailed, Unsupported."""
    return session.run(Role.STATE, "read the capabilities of the host", _read)


def _read(connection: Any) -> HostProfile:
    capabilities = connection.getCapabilities()
    kind = profile.guest(capabilities)
    arguments = (kind.emulator, profile.ARCHITECTURE, kind.machine, kind.domain_type, 0)
    versions = (connection.getLibVersion(), connection.getVersion())
    return profile.profile(
        connection.getHostname(),
        capabilities,
        connection.getDomainCapabilities(*arguments),
        *versions,
        filters=filters.supported(connection),
        adds_memory=trial.adds_memory(connection, kind),
        tells_panics=trial.tells_panics(connection, kind),
        unsigned_uefi=trial.unsigned_uefi(connection, kind),
        iscsi=luns.KIND in profile.pools(connection.getStoragePoolCapabilities(0)),
    )


class KVMHosts:
    """Lists the host; its name is libvirt's host name, its native id the host's UUID.

    `lacks`: what became known only by trying, by kind, in words; told with the rest of `GuestSupport.lacks`.
    """

    def __init__(self, session: Session, host: HostProfile, networks: Networks, plugs: Plugs, segments: Segments) -> None:
        self._session = session
        self._networks = networks
        self._plugs = plugs
        self._segments = segments
        self._tidied = False
        self.profile = host
        self.lacks: dict[str, str] = {}

    def list_hosts(self) -> tuple[ObservedHost]:
        """CPUs that are on line, and all memory of the host: what the host keeps for itself is the Cluster's overcommit to say.

        It is asked for regularly, so what libvirt does not tell of is looked at on this occasion, one thing at a time.
        """
        guests = self.profile.guests
        _model, mebibytes, cpus, *_ = self._session.run(Role.STATE, "read the host", lambda connection: connection.getInfo())
        networks = self._networks.support()
        if not self._networks.asked:
            self._look_after()
        observed = ObservedHost(
            host=self.profile.host,
            native_id=self.profile.uuid,
            hypervisor="KVM" if self.profile.domain_type == "kvm" else "QEMU",
            version=self.profile.version,
            cpus=int(cpus),
            memory=int(mebibytes) << 20,
            networks=networks,
            guests=replace(guests, lacks=(*guests.lacks, *self.lacks.values())),
        )
        return (observed,)

    def _look_after(self) -> None:
        """Segments that were left and ports take turns: each costs logins. A host that lets nobody in now is asked again."""
        self._tidied = self._segments.left and not self._tidied
        if not self._tidied:
            self._plugs.look()
            return
        with suppress(DriverError):
            self._session.run(Role.STATE, "look for segments that no VM needs", self._segments.tidy)

    def require(self, host: HostID) -> None:
        """Raises NotFound if `host` is not the host of this endpoint."""
        if host != self.profile.host:
            raise NotFound(f"this endpoint has no host {host}")
