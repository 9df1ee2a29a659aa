"""What was last observed of the VMs of one endpoint."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from drivers.types import HostID, InstanceID, ObservedVM, Power, VolumeID

K = TypeVar("K", bound=Hashable)

_NEVER = -1


class Whereabouts:
    """Which snapshots have a VM: among thousands of endpoints it is found without a look at each."""

    def __init__(self) -> None:
        self._having: dict[InstanceID, tuple[Snapshot, ...]] = {}

    def of(self, instance: InstanceID) -> tuple[Snapshot, ...]:
        """The snapshots that have this VM: one, unless it was moved and somebody has not noticed yet."""
        return self._having.get(instance, ())

    def note(self, instance: InstanceID, snapshot: Snapshot, *, has: bool) -> None:
        """Note that a snapshot has, or no longer has, this VM."""
        others = tuple(each for each in self.of(instance) if each is not snapshot)
        if having := (*others, snapshot) if has else others:
            self._having[instance] = having
        else:
            self._having.pop(instance, None)


class Snapshot:
    """Observed VMs by instance, each valid until an event or one of our own calls makes it stale.

    A complete observation replaces all; a single one replaces its entry. Between complete observations the snapshot answers
    without a call, so that a cloud at rest costs calls per endpoint, not per VM (but for guests: `controller.vm.guests`).

    Readers take a `moment` before they call the hypervisor and hand it in with the answer. So an answer never hides a change
    that was announced after the question, and never replaces the answer to a later question.

    `tells_guests`: a complete observation has told what a guest says, so all do (`drivers.base.Compute.observe_all`).
    """

    def __init__(self, whereabouts: Whereabouts) -> None:
        self._whereabouts = whereabouts
        self._vms: dict[InstanceID, ObservedVM] = {}
        self._hosts: dict[HostID, set[InstanceID]] = {}
        self._volumes: dict[VolumeID, set[InstanceID]] = {}
        self._stale: dict[InstanceID, int] = {}
        self._asked: dict[InstanceID, int] = {}
        self._asked_all = _NEVER
        self._now = 0
        self._doubted = _NEVER
        self.complete = False
        self.tells_guests = False

    def get(self, instance: InstanceID) -> ObservedVM | None:
        """What was last seen of this VM, stale or not."""
        return self._vms.get(instance)

    def is_fresh(self, instance: InstanceID) -> bool:
        """Whether the answer, be it a VM or its absence, can be relied on without a call."""
        return self.complete and instance not in self._stale

    def on_host(self, host: HostID) -> Iterator[ObservedVM]:
        """The VMs last seen on this host, in no order."""
        return (self._vms[instance] for instance in self._hosts.get(host, ()))

    def with_volume(self, volume: VolumeID) -> Iterator[ObservedVM]:
        """The VMs last seen with this volume, in no order."""
        return (self._vms[instance] for instance in self._volumes.get(volume, ()))

    def withdraw(self) -> None:
        """Tell nobody any more where VMs are: the endpoint is served no longer."""
        for instance in self._vms:
            self._whereabouts.note(instance, self, has=False)
        self._whereabouts = Whereabouts()

    def moment(self) -> int:
        """A point in time, later than every change recorded so far."""
        self._now += 1
        return self._now

    @property
    def surveyed(self) -> int:
        """The moment at which the last complete observation was asked for; negative if there was none."""
        return self._asked_all

    def mark_stale(self, instance: InstanceID) -> None:
        """Something about this VM changes or changed: only an answer to a question asked from now on can be relied on."""
        self._stale[instance] = self.moment()

    def doubt(self) -> None:
        """Others have changed things here: nothing can be relied on but answers to questions asked from now on."""
        self._doubted, self.complete = self.moment(), False

    def put(self, instance: InstanceID, vm: ObservedVM | None, asked: int) -> None:
        """Record an observation of one VM that was asked for at the moment `asked`; None means it does not exist."""
        if asked < self._last_asked(instance):
            return
        self._asked[instance] = asked
        self._store(instance, vm)
        self._settle(instance, asked)

    def replace(self, seen: Mapping[InstanceID, ObservedVM], asked: int) -> list[ObservedVM]:
        """Take over a complete observation and return the VMs that appeared, changed or vanished, or may have, as last known.

        Entries that were asked for later keep their newer value. Guest information that a complete observation leaves out is kept.
        """
        if asked < self._asked_all:
            return []
        self.tells_guests = self.tells_guests or any(vm.guest.told for vm in seen.values())
        changed: list[ObservedVM] = []
        for instance in [known for known in self._vms if known not in seen and self._last_asked(known) < asked]:
            changed.append(self._vms[instance])
            self._store(instance, None)
        for instance, vm in seen.items():
            if self._last_asked(instance) < asked and (self._take(instance, vm) or instance in self._stale):
                changed.append(self._vms[instance])
        self._asked_all = asked
        self._asked = {instance: moment for instance, moment in self._asked.items() if moment > asked}
        self._stale = {instance: moment for instance, moment in self._stale.items() if moment > asked}
        self.complete = asked > self._doubted
        return changed

    def misses(self, seen: Collection[InstanceID]) -> bool:
        """Whether a VM that is known here is not among those `seen`."""
        return any(instance not in seen for instance in self._vms)

    def _last_asked(self, instance: InstanceID) -> int:
        return self._asked.get(instance, self._asked_all)

    def _settle(self, instance: InstanceID, asked: int) -> None:
        if self._stale.get(instance, _NEVER) < asked:
            self._stale.pop(instance, None)

    def _take(self, instance: InstanceID, vm: ObservedVM) -> bool:
        known = self._vms.get(instance)
        if known is not None and vm.power is known.power is Power.ON and _tells_less(vm, known):
            vm = replace(vm, guest=known.guest)
        self._store(instance, vm)
        return known != vm

    def _store(self, instance: InstanceID, vm: ObservedVM | None) -> None:
        known = self._vms.pop(instance, None)
        if known is not None:
            _take_out(self._hosts, known.host, instance)
            for each in known.volumes:
                _take_out(self._volumes, each.volume, instance)
        if (known is None) is not (vm is None):
            self._whereabouts.note(instance, self, has=vm is not None)
        if vm is not None:
            self._vms[instance] = vm
            self._hosts.setdefault(vm.host, set()).add(instance)
            for each in vm.volumes:
                self._volumes.setdefault(each.volume, set()).add(instance)


def _tells_less(vm: ObservedVM, known: ObservedVM) -> bool:
    """Whether `known` has guest information that a complete observation leaves out."""
    return not vm.guest.told and (known.guest.told or not vm.guest.agent)


def _take_out(index: dict[K, set[InstanceID]], key: K, instance: InstanceID) -> None:
    found = index.get(key, set())
    found.discard(instance)
    if not found:
        index.pop(key, None)
