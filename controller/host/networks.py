"""What a hypervisor can carry guest segments with → the status of its Host, and whether that is what its Cluster wants."""

from __future__ import annotations

from collections.abc import Sequence

from controller.runtime.conditions import Conditions
from crds.v1alpha1 import Cluster
from crds.v1alpha1.host import HostNetwork, HostStatus
from drivers.types import NetworkBackend, NetworkSupport

NETWORK_READY, ADDRESSES_GUARDED = "NetworkReady", "AddressesGuarded"
MISSING = "NetworkBackendMissing"
_LONGEST_TEXT = 1024
_AVAILABLE = {True: "True", False: "False", None: "Unknown"}


def fill(status: HostStatus, told: Sequence[NetworkSupport]) -> None:
    """Take over what the hypervisor says of each backend."""
    status.networks = [
        HostNetwork.model_validate(
            {
                "backend": each.backend.value,
                "available": _AVAILABLE[each.available],
                "addressesGuarded": each.guarded,
                "message": each.message[:_LONGEST_TEXT],
            }
        )
        for each in told
    ]


def wanted(cluster: Cluster, told: Sequence[NetworkSupport]) -> NetworkSupport | None:
    """What the hypervisor says of the backend that the Cluster uses; None if it says nothing of it."""
    guest = cluster.spec.guest_network
    return next((each for each in told if guest and each.backend == NetworkBackend(guest.backend)), None)


def describe(conditions: Conditions, found: NetworkSupport | None) -> None:
    """Set the facets NetworkReady and AddressesGuarded; a Host that has no such choice has neither."""
    if found is None:
        return
    backend = found.backend.value
    if found.available is False:
        conditions.set(NETWORK_READY, False, MISSING, lacking(found))
    else:
        conditions.set(NETWORK_READY, True, backend if found.available else "NotSeen", "" if found.available else found.message)
    if found.guarded:
        conditions.set(ADDRESSES_GUARDED, True, backend)
    else:
        conditions.set(ADDRESSES_GUARDED, False, "NotGuarded", found.message)


def lacking(found: NetworkSupport | None) -> str:
    """Why VMs of the Cluster cannot have their NICs on the host, in a sentence; empty if they can, as far as is known."""
    if found is None or found.available is not False:
        return ""
    return f"the host cannot carry segments with backend {found.backend}: {found.message}"
