"""What becomes of a guest by its own doing or for want of room is told by an event, and is what is seen then."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest

from drivers.base import Connection
from drivers.types import DesiredVM, DiskFailure, PoolSpec, Power, VMChanged
from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host
from tests.contract.suite.tools import DEADLINE, Maker, eventually
from tests.lab.guests import execute, wait_for_agent
from tests.lab.host import run_in
from tests.support.listening import Listening
from tests.support.tables import Report

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

TABLE = "Guests of KVM hosts: seconds until an event told what had become of one"
ROOM = 100 * MIB
"""Of the pool: for the template's image, and less than the guest is going to write."""


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    """A host whose pool is a small file system."""
    with one_host() as host:
        small = host.local / "small"
        run_in(host, "mkdir", str(small))
        run_in(host, "mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(small))
        made = KVMBinding(host, bootable_image(), memory=112 * MIB)
        made.pool = PoolSpec("small", str(small))
        yield made


@dataclass(frozen=True)
class Guest:
    """A VM whose guest runs, and somebody who listens to another connection's events."""

    make: Maker
    vm: DesiredVM
    domain: Any
    listener: Listening

    def inside(self, script: str) -> str:
        return execute(self.domain, script).strip()

    def begin(self, script: str) -> None:
        """Have it run after the agent has answered."""
        self.inside(f"({script}) </dev/null >/dev/null 2>&1 &")

    def go_on(self) -> None:
        self.make.connection.power.resume(self.make.binding.host, self.vm.instance)

    def becomes(self, power: Power) -> float:
        """Look only when an event tells of the VM, until its power is so; seconds from now."""
        began = time.monotonic()
        while True:
            told = VMChanged(self.vm.instance) in self.listener.wait(DEADLINE)
            assert told, f"no event; the power is {self.make.power(self.vm)}"
            after = time.monotonic() - began
            if self.make.power(self.vm) is power:
                return after


@pytest.fixture
def guest(binding: KVMBinding, connection: Connection) -> Iterator[Guest]:
    make = Maker(binding, connection)
    vm = make.vm()
    [root] = vm.disks
    make.create(replace(vm, disks=(replace(root, size=root.size + 150 * MIB),), nics=()))
    make.start(vm)
    with binding.admin() as admin, closing(binding.connect()) as other:
        domain = admin.lookupByUUIDString(vm.instance)
        wait_for_agent(domain)
        yield Guest(make, vm, domain, Listening(other))
    make.delete(vm)


def test_a_guest_that_shuts_itself_down_is_told_of(guest: Guest, report: Report) -> None:
    """It is off, and starts again."""
    guest.begin("sleep 1; poweroff -f")
    report(TABLE, f"shut down by itself  {guest.becomes(Power.OFF) - 1:6.1f}")
    guest.make.start(guest.vm)
    wait_for_agent(guest.domain)
    assert guest.make.power(guest.vm) is Power.ON


def test_a_guest_whose_kernel_panics_is_told_of(guest: Guest, report: Report) -> None:
    """It is crashed, with its memory, until it is started again; whether it is stopped first is all the same."""
    for stopped in (False, True):
        guest.begin("sleep 1; echo c >/proc/sysrq-trigger")
        report(TABLE, f"its kernel panicked  {guest.becomes(Power.CRASHED) - 1:6.1f}")
        assert guest.domain.isActive()
        if stopped:
            guest.make.stop(guest.vm)
            assert guest.make.power(guest.vm) is Power.OFF
        guest.make.start(guest.vm)
        wait_for_agent(guest.domain)
        assert guest.make.power(guest.vm) is Power.ON


def test_a_guest_that_finds_the_pool_full_is_suspended_and_loses_nothing(guest: Guest, binding: KVMBinding, report: Report) -> None:
    """What is full is told. Without room it is suspended again; with room it goes on where it was, unless somebody suspended it."""
    boot = guest.inside("cat /proc/sys/kernel/random/boot_id")
    guest.begin("dd if=/dev/urandom of=/root/filler bs=1M count=100 && sha256sum /root/filler >/root/sum; sync; touch /run/done")
    report(TABLE, f"found the pool full  {guest.becomes(Power.PAUSED):6.1f} from its first write")
    full = (DiskFailure("root", binding.pool.name, full=True),)
    assert guest.make.observe(guest.vm).failures == full
    assert guest.make.connection.compute.observe_all()[guest.vm.instance].failures == (DiskFailure(),), "QEMU was not asked"
    guest.go_on()
    guest.becomes(Power.PAUSED)
    assert guest.make.observe(guest.vm).failures == full
    run_in(binding.lab_host, "mount", "-o", f"remount,size={4 * ROOM}", binding.pool.path)
    guest.go_on()
    assert eventually(lambda: guest.inside("test -e /run/done && echo yes || true"))
    assert guest.make.power(guest.vm) is Power.ON
    assert guest.inside("echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /root/sum") == "/root/filler: OK"
    assert guest.inside("cat /proc/sys/kernel/random/boot_id") == boot
    guest.domain.suspend()
    guest.go_on()
    assert (guest.make.power(guest.vm), guest.make.observe(guest.vm).failures) == (Power.PAUSED, ())
