"""Hosts as they are, and what guests may have on them."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.types.endpoints import HostID
from drivers.types.machines import Firmware
from drivers.types.networks import NetworkBackend


@dataclass(frozen=True, slots=True)
class NetworkSupport:
    """Whether a host can carry segments with a backend; `available` is None where that cannot be seen.

    `guarded`: a guest is not heard that claims another's MAC or address. `message` says why not, if it is not both.
    """

    backend: NetworkBackend
    available: bool | None
    guarded: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class GuestSupport:
    """What guests may have on a host, by the hypervisor's own names, for people to see.

    `cpu_model` is the host's CPU, `cpu_models` are those that guests can have. `lacks` says in words what other hosts have.
    """

    domain_types: tuple[str, ...] = ()
    machine_types: tuple[str, ...] = ()
    firmwares: tuple[Firmware, ...] = ()
    cpu_model: str = ""
    cpu_models: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """One host of an endpoint. `cpus` are logical CPUs, `memory` what guests can use in bytes.

    `networks` tells of each backend; empty for a hypervisor that has no such choice. `guests` is None where nothing is known.
    """

    host: HostID
    native_id: str
    hypervisor: str
    version: str
    cpus: int
    memory: int
    up: bool = True
    message: str = ""
    networks: tuple[NetworkSupport, ...] = ()
    guests: GuestSupport | None = None
