"""What is known of a hypervisor → the status of its Host."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from controller.host import networks
from controller.host.lacks import Lack
from controller.inventory import HostLink, LinkState
from controller.runtime.conditions import Conditions
from controller.runtime.results import Result, done, failed, waiting
from controller.runtime.store import Store
from controller.scheduler import Usage
from controller.shared.deletion import listing
from controller.shared.lookups import qualified, vms_by_host
from crds.fields import Quantity
from crds.references import Allocated, Capacity
from crds.v1alpha1 import Host
from crds.v1alpha1.cluster import Overcommit
from crds.v1alpha1.host import AdminState, HostGuests, HostResourceState, HostState, HostStatus
from crds.v1alpha1.template import Firmware
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.errors import Unsupported
from drivers.types import Capability, GuestSupport, ObservedHost

_LONGEST_NAME, _LONGEST_TEXT, _MOST_RUNNING = 64, 128, 100
_LONGEST_SENTENCE, _MOST_NAMES, _MOST_LACKS = 256, 128, 16

CONNECTED, SCHEDULABLE, SUPPORTED = "Connected", "Schedulable", "Supported"


def native_id(info: ObservedHost) -> str:
    """The hypervisor's own identifier of a host, as statuses record it; "" if it has none."""
    return info.native_id[:_LONGEST_TEXT]


def fill(status: HostStatus, info: ObservedHost, capabilities: frozenset[Capability], overcommit: Overcommit) -> None:
    """Take over what the hypervisor says of itself, cut to what the API takes; `allocatable` is with overcommit, rounded down."""
    status.native_id = native_id(info)
    status.hypervisor, status.version = info.hypervisor[:_LONGEST_NAME], info.version[:_LONGEST_TEXT]
    cpus, memory = max(0, info.cpus), max(0, info.memory)
    status.capacity = Capacity(cpus=cpus, memory=Quantity.of(memory))
    status.allocatable = Capacity(
        cpus=int(cpus * Decimal(overcommit.cpu)), memory=Quantity.of(int(memory * Decimal(overcommit.memory)))
    )
    networks.fill(status, info.networks)
    status.guests = guests(info.guests) if info.guests else None
    status.capabilities = sorted(capability.value for capability in capabilities)


def guests(found: GuestSupport) -> HostGuests:
    """What guests may have on the host, cut to what the API takes."""
    return HostGuests(
        domain_types=_cut(found.domain_types),
        machine_types=_cut(found.machine_types),
        firmwares=[Firmware(firmware.value) for firmware in found.firmwares],
        cpu_model=found.cpu_model[:_LONGEST_NAME] or None,
        cpu_models=_cut(found.cpu_models),
        lacks=[text[:_LONGEST_SENTENCE] for text in found.lacks[:_MOST_LACKS]],
    )


def _cut(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name[:_LONGEST_NAME] for name in names if name))[:_MOST_NAMES]


def allocated(promised: Usage, placed: int) -> Allocated:
    """What is counted when another VM is to go there; `placed` VMs are on the host, with their room or without."""
    return Allocated(cpus=promised.cpus, memory=Quantity.of(promised.memory), vms=placed)


async def running(host: Host, store: Store) -> list[str]:
    """VMs that keep the host from Maintenance, as namespace/name: all there that are not known to be stopped. Else empty."""
    if host.spec.admin_state is not AdminState.MAINTENANCE:
        return []
    found = []
    async for vm in vms_by_host.slowly(store, host.metadata.name):
        if vm.status.state != VirtualMachineState.STOPPED:
            found.append(qualified(vm.metadata.namespace, vm.metadata.name))
    return found[:_MOST_RUNNING]


def state(link: HostLink | None, *, contacted: bool) -> HostState:
    """CloudStack's state for a host, with the meanings of its com.cloud.host.Status.

    Up: connected. Connecting: the first attempt is under way. Down: the endpoint itself says that the host is down. Alert: there is
    no contact, and whether the host is dead is not known. Error: the hypervisor refuses us, or must not be used. Disconnected:
    contact ended on our side, for lack of an endpoint or credentials; Creating: the same before the first contact (`contacted`).
    """
    if link is None:
        return HostState.DISCONNECTED if contacted else HostState.CREATING
    if link.state is LinkState.DOWN and link.reachable and link.info is not None:
        return HostState.DOWN
    return {
        LinkState.CONNECTING: HostState.CONNECTING,
        LinkState.UP: HostState.UP,
        LinkState.DOWN: HostState.ALERT,
        LinkState.REFUSED: HostState.ERROR,
    }[link.state]


def result(host: Host, link: HostLink) -> Result:
    """How the Host stands by its link alone. A lost contact is waited for: the session tries again and wakes the Host."""
    match link.state:
        case LinkState.UP if host.spec.admin_state is AdminState.ENABLED:
            return done("Up")
        case LinkState.UP if host.status.running:
            return waiting("PrepareForMaintenance", f"running, and can't be moved: {listing(host.status.running)}; stop them")
        case LinkState.UP:
            return done(host.spec.admin_state)
        case LinkState.REFUSED:
            return failed(link.reason, link.message, terminal=True)
        case LinkState.CONNECTING | LinkState.DOWN:
            return waiting(link.reason, link.message)


def describe(
    host: Host,
    conditions: Conditions,
    link: HostLink | None,
    outcome: Result,
    leaving: Sequence[object],
    lacking: Lack | None = None,
) -> None:
    """Set state, resource state and the facets Connected, Supported and Schedulable for a reconcile that ended with `outcome`.

    `lacking` says what VMs of its Cluster would not have there.
    """
    host.status.state = state(link, contacted=bool(host.metadata.finalizers))
    host.status.resource_state = _resource_state(host)
    if link and link.info is not None and link.info.up and link.reachable:
        conditions.set(CONNECTED, True, "Connected")
        conditions.set(SUPPORTED, True, "Supported")
    else:
        conditions.set(CONNECTED, False, link.reason if link else outcome.reason, link.message if link else outcome.message)
    if link and link.reason == Unsupported.reason:
        conditions.set(SUPPORTED, False, link.reason, link.message)
    elif (told := conditions.get(SUPPORTED)) and told.status == "False":  # by an answer that is not the last any more
        conditions.set(SUPPORTED, "Unknown", outcome.reason, outcome.message)
    _schedulable(host.spec.admin_state, conditions, link, outcome, lacking, leaving=bool(leaving))


def _resource_state(host: Host) -> HostResourceState:
    """CloudStack's resource state: a host is in Maintenance once no VM runs there."""
    if host.spec.admin_state is AdminState.MAINTENANCE and host.status.running:
        return HostResourceState.PREPARE_FOR_MAINTENANCE
    return HostResourceState(host.spec.admin_state.value)


def _schedulable(
    wanted: AdminState, conditions: Conditions, link: HostLink | None, outcome: Result, lacking: Lack | None, *, leaving: bool
) -> None:
    if leaving:
        conditions.set(SCHEDULABLE, False, "Deleting", "the host is being deleted")
    elif wanted is not AdminState.ENABLED:
        conditions.set(SCHEDULABLE, False, wanted, f"adminState is {wanted}")
    elif outcome.reason == "Up" and link and link.up and lacking:
        conditions.set(SCHEDULABLE, False, lacking.reason, lacking.message)
    elif outcome.reason == "Up" and link and link.up:
        conditions.set(SCHEDULABLE, True, "Up")
    else:
        conditions.set(SCHEDULABLE, False, outcome.reason, outcome.message)
