"""Small tools of the suite: waiting with a deadline, and descriptions of VMs."""

import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest

from drivers.base import Connection
from drivers.errors import Busy, DriverError
from drivers.types import (
    Change,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    Done,
    Failed,
    InstanceID,
    ObservedVM,
    Owner,
    Power,
    Running,
    Seed,
    Segment,
    Started,
    StopMode,
)

from .binding import Binding

MIB = 1024**2
DEADLINE = 400.0
"""Seconds after which something that should happen won't."""

T = TypeVar("T")

_numbers = itertools.count(1)


def eventually(look: Callable[[], T], good: Callable[[T], bool] = bool) -> T:
    """What `look` sees once it is good."""
    deadline, pause = time.monotonic() + DEADLINE, 0.005
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen!r}"
        time.sleep(pause)
        pause = min(0.25, pause * 2)


def settle(connection: Connection, call: Callable[[], Done | Started]) -> None:
    """Carry a mutator through: again while the hypervisor is busy, polled until its task ends."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            outcome = call()
            break
        except Busy as busy:
            if busy.retry_after <= 0 or time.monotonic() > deadline:
                raise
            time.sleep(min(0.05, busy.retry_after))
    if isinstance(outcome, Started):
        op = outcome.op
        progress = eventually(lambda: connection.tasks.poll(op), lambda seen: not isinstance(seen, Running))
        assert not isinstance(progress, Failed), progress
    else:
        assert outcome == Done()


@contextmanager
def raises_ours(*kinds: type[DriverError]) -> Iterator[pytest.ExceptionInfo[DriverError]]:
    """Expect one of these errors of the contract, exactly: its class is what the caller acts on."""
    with pytest.raises(DriverError) as caught:
        yield caught
    assert type(caught.value) in kinds, f"{type(caught.value).__name__}: {caught.value}"
    assert caught.value.message


@dataclass(frozen=True)
class Maker:
    """Makes descriptions of VMs for a binding, and carries the usual calls through."""

    binding: Binding
    connection: Connection

    def seed(self, secret: str = "") -> Seed:
        """A small seed with a secret in its user data."""
        return Seed("instance-id: i-1\nlocal-hostname: guest\n", "version: 2\nethernets: {}\n", f"#cloud-config\n{secret}".encode())

    def disk(self, name: str, *, image: bool = False, size: int = 8 * MIB) -> DesiredDisk:
        """A disk in the binding's pool, of its image or empty."""
        size = max(size, self.binding.image.virtual_size) if image else size
        return DesiredDisk(name, self.binding.pool, size, self.binding.image.name if image else "")

    def nic(self, name: str = "front", *, vlan: int | None = 10, ip: str = "") -> DesiredNIC:
        """A NIC with a MAC of its own."""
        number = next(_numbers)
        mac = f"02:00:00:00:{number // 256:02x}:{number % 256:02x}"
        return DesiredNIC(name, mac, "shop/front", Segment(vlan), self.binding.attachment, ip)

    def vm(self, *, empty: bool = False) -> DesiredVM:
        """A VM with a root disk of the image, a NIC and a seed; an `empty` one has none of these."""
        number = next(_numbers)
        instance = InstanceID(str(uuid.uuid4()))
        made = DesiredVM(instance, f"vm-{number}", Owner(f"uid-{instance}", "shop", f"vm-{number}"), 1, self.binding.memory, ())
        if empty:
            return made
        return replace(made, disks=(self.disk("root", image=True),), nics=(self.nic(ip="10.1.0.20"),), seed=self.seed())

    def create(self, vm: DesiredVM) -> DesiredVM:
        """Create it; powered off."""
        settle(self.connection, lambda: self.connection.compute.create(self.binding.host, vm))
        return vm

    def created(self, *, empty: bool = False) -> DesiredVM:
        """A VM that exists, powered off."""
        return self.create(self.vm(empty=empty))

    def running(self, *, empty: bool = False) -> DesiredVM:
        """A VM that runs."""
        vm = self.created(empty=empty)
        self.start(vm)
        return vm

    def start(self, vm: DesiredVM) -> None:
        """Power it on."""
        settle(self.connection, lambda: self.connection.power.start(self.binding.host, vm.instance))

    def stop(self, vm: DesiredVM, mode: StopMode = StopMode.HARD) -> None:
        """Power it off."""
        settle(self.connection, lambda: self.connection.power.stop(self.binding.host, vm.instance, mode))

    def apply(self, vm: DesiredVM, *changes: Change) -> None:
        """Have the changes made, all together."""
        settle(self.connection, lambda: self.connection.compute.apply(self.binding.host, vm.instance, changes))

    def delete(self, vm: DesiredVM) -> None:
        """Remove it with all that belongs to it."""
        delete = self.connection.compute.delete
        settle(self.connection, lambda: delete(self.binding.host, vm.instance, [self.binding.pool]))

    def observe(self, vm: DesiredVM) -> ObservedVM:
        """The VM as it is now."""
        return self.connection.compute.observe(self.binding.host, vm.instance)

    def power(self, vm: DesiredVM) -> Power:
        """Its power now."""
        return self.observe(vm).power
