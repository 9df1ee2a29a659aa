"""CPUs that come while a guest runs: the driver's own calls as accelerated hosts get them, in a real guest.

This machine's guests may be emulated, and then the driver gives them no room for CPUs, since QEMU's translator has a number of
regions and aborts when a CPU comes while all are in use. Here such a guest is given room, and so many regions that its boot can't
use them up, which QEMU is asked before a CPU comes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import libvirt_qemu
import pytest

from drivers.base import Connection
from drivers.kvm.domain import observe, platform
from drivers.kvm.host.profile import ACCELERATED
from drivers.kvm.machine import changes
from drivers.types import ApplyMode, DesiredVM, Power, SetCPUs, StopMode
from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host, stocked
from tests.contract.suite.tools import Maker
from tests.lab.guests import eventually, execute, wait_for_agent

pytestmark = pytest.mark.lab

CPUS = "grep -c ^processor /proc/cpuinfo"
LARGE = 1024
"""MiB of translated code: 32 regions of 32 MiB for a guest with room for four CPUs (tcg_n_regions in QEMU's tcg/region.c)."""
TRANSLATED = re.compile(r"gen code size\s+(\d+)/(\d+)")


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated VMs are given room for CPUs as accelerated ones are, and much room for translated code.

    Room for half as many: CPUs wait for each other in the guest's kernel, and on two busy cores nine of them take minutes to start.
    """
    ceiling = platform.ceiling
    monkeypatch.setattr(platform, "ceiling", lambda cpus, _: ceiling(cpus, ACCELERATED))
    monkeypatch.setattr(platform, "CPU_STEP", 4)
    monkeypatch.setattr(platform, "TRANSLATION_CACHE", LARGE)
    monkeypatch.setattr(observe, "most_cpus", lambda live: 0 if live is None else int(live.findtext("vcpu") or 0))


@pytest.fixture
def binding(roomy: None) -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, bootable_image(), memory=112 * MIB)


@pytest.fixture
def connection(binding: KVMBinding) -> Iterator[Connection]:
    with stocked(binding) as connection:
        yield connection


@dataclass(frozen=True)
class Running:
    """A VM whose guest runs."""

    make: Maker
    vm: DesiredVM
    domain: Any

    def run(self, script: str) -> str:
        return execute(self.domain, script).strip()

    def shows(self, cpus: int) -> bool:
        return self.run(CPUS) == str(cpus)

    def set_cpus(self, cpus: int) -> None:
        """The driver's call; it must be one that takes effect at once."""
        observed = self.make.observe(self.vm)
        assert changes.mode(SetCPUs(cpus), observed, self.domain_type) is ApplyMode.LIVE
        self.make.connection.compute.apply(self.make.binding.host, self.vm.instance, [SetCPUs(cpus)])

    @property
    def domain_type(self) -> str:
        return "kvm" if "type='kvm'" in self.domain.XMLDesc() else "qemu"

    def require_regions(self) -> None:
        """That no more than half of the translator's room was used since the guest started."""
        if self.domain_type == ACCELERATED:
            return
        said = libvirt_qemu.qemuMonitorCommand(self.domain, "info jit", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
        found = TRANSLATED.search(said)
        assert found, said
        used, room = map(int, found.groups())
        assert used < room / 2, said


@pytest.fixture
def running(binding: KVMBinding, connection: Connection) -> Iterator[Running]:
    make = Maker(binding, connection)
    vm = make.running()
    with binding.admin() as admin:
        domain = admin.lookupByUUIDString(vm.instance)
        wait_for_agent(domain)
        yield Running(make, vm, domain)
    make.delete(vm)


def test_cpus_come_one_after_the_other_and_the_guest_runs_on(running: Running) -> None:
    """Up to the room that it was started with; what is beyond waits for a restart, as memory does, and then has room again."""
    boot = running.run("cat /proc/sys/kernel/random/boot_id")
    assert running.run(CPUS) == "1"
    for cpus in (2, 4):
        running.require_regions()
        running.set_cpus(cpus)
        eventually(partial(running.shows, cpus), f"{cpus} CPUs")
        seen = running.make.observe(running.vm)
        assert (seen.power, seen.cpus, seen.running_cpus) == (Power.ON, cpus, cpus)
    where = "taskset -p 8 $$ > /dev/null && awk '{print $39}' /proc/$$/stat"
    assert running.run(where) == "3", "the last one runs programs"
    assert running.run("cat /proc/sys/kernel/random/boot_id") == boot
    assert changes.mode(SetCPUs(5), running.make.observe(running.vm), running.domain_type) is ApplyMode.RESTART
    running.make.connection.compute.apply(running.make.binding.host, running.vm.instance, [SetCPUs(5)])
    seen = running.make.observe(running.vm)
    assert (seen.cpus, seen.running_cpus) == (5, 4)
    running.make.stop(running.vm, StopMode.HARD)
    running.make.start(running.vm)
    wait_for_agent(running.domain)
    assert running.run(CPUS) == "5"
    assert changes.mode(SetCPUs(8), running.make.observe(running.vm), running.domain_type) is ApplyMode.LIVE
