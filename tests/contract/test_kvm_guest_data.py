"""Volumes and snapshots as a guest sees them: what it wrote, what runs in it, and what it finds by serial number."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import libvirt
import libvirt_qemu
import pytest

from drivers.base import Connection
from drivers.errors import Conflict
from drivers.kvm.snapshot import livesnapshot
from drivers.types import DesiredVM, DesiredVolume, Power, StopMode
from tests.contract.kvm_binding import MIB, KVMBinding, bootable_image, one_host
from tests.contract.suite.storebase import Store
from tests.contract.suite.tools import Maker, eventually
from tests.lab.guests import ANSWER, execute, wait_for_agent

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, bootable_image(), memory=96 * MIB)


@dataclass(frozen=True)
class Booted:
    """A VM with a volume whose guest runs."""

    store: Store
    vm: DesiredVM
    volume: DesiredVolume
    domain: Any

    def run(self, script: str) -> str:
        return execute(self.domain, script).strip()

    def write(self, text: str) -> None:
        """On the root file system and on the volume, for good."""
        self.run(f"echo {text} > /root/word; printf {text} | dd of={self.device} conv=notrunc 2>/dev/null; sync")

    def read(self) -> tuple[str, str]:
        """What is on both, past the guest's cache of the volume."""
        self.run("echo 3 > /proc/sys/vm/drop_caches")
        return self.run("cat /root/word"), self.run(f"head -c 5 {self.device}")

    @property
    def device(self) -> str:
        """The guest's name of the volume, found as users find it: by its serial number."""
        script = f"""for disk in /sys/block/sd*; do
            grep -qa {self.volume.volume} $disk/device/vpd_pg80 2>/dev/null && echo /dev/${{disk##*/}}; done; true"""
        return eventually(lambda: self.run(script))

    def reboot(self) -> None:
        self.store.make.start(self.vm)
        wait_for_agent(self.domain)

    def freeze_status(self) -> str:
        answer = libvirt_qemu.qemuAgentCommand(self.domain, json.dumps({"execute": "guest-fsfreeze-status"}), ANSWER, 0)
        return str(json.loads(answer)["return"])


@pytest.fixture
def booted(binding: KVMBinding, connection: Connection) -> Iterator[Booted]:
    make = Maker(binding, connection)
    store = Store(binding, connection, make)
    volume = store.created()
    vm = make.create(replace(make.vm(), volumes=(store.attachment(volume),)))
    make.start(vm)
    with binding.admin() as admin:
        domain = admin.lookupByUUIDString(vm.instance)
        wait_for_agent(domain)
        yield Booted(store, vm, volume, domain)
    make.delete(vm)
    for each in store.volumes:
        store.delete(each)
    for each in store.snapshots:
        store.drop(each)


@pytest.mark.parametrize("quiesce", [False, True])
def test_disks_of_a_running_guest_come_back(booted: Booted, quiesce: bool) -> None:
    booted.write("first")
    snapshot = booted.store.take(booted.vm, booted.store.snapshot(quiesce=quiesce))
    booted.write("later")
    assert booted.freeze_status() == "thawed"
    booted.store.make.stop(booted.vm, StopMode.HARD)
    booted.store.restore(booted.vm, snapshot)
    booted.reboot()
    assert booted.read() == ("first", "first")


def test_the_running_state_comes_back_with_its_processes(booted: Booted) -> None:
    booted.write("first")
    booted.run("mkdir -p /run/mark; echo kept > /run/mark/memory")
    booted.run("sleep 100000 > /dev/null 2>&1 < /dev/null & echo $! > /run/mark/pid")
    pid = booted.run("cat /run/mark/pid")
    snapshot = booted.store.take(booted.vm, booted.store.snapshot(memory=True))
    booted.write("later")
    booted.run("rm /run/mark/memory; kill $(cat /run/mark/pid)")
    booted.store.restore(booted.vm, snapshot)
    assert booted.store.make.power(booted.vm) is Power.ON
    wait_for_agent(booted.domain)
    assert booted.run("cat /run/mark/memory") == "kept"
    assert booted.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline") == "sleep 100000"
    assert booted.read() == ("first", "first")


def test_a_volume_is_copied_under_a_guest_that_writes(booted: Booted) -> None:
    booted.write("first")
    quiesced = booted.store.keep(booted.volume, booted.store.snapshot(quiesce=True))
    assert booted.freeze_status() == "thawed"
    booted.write("later")
    plain = booted.store.keep(booted.volume)
    for snapshot, word in ((quiesced, "first"), (plain, "later")):
        assert booted.store.read(booted.store.created(snapshot=snapshot.snapshot)) == word


def test_a_volume_comes_and_goes_and_grows_under_a_guest(booted: Booted) -> None:
    late = booted.store.created(marker="hello")
    other = replace(booted, volume=late)
    booted.store.attach(booted.vm, late, "late")
    assert other.run(f"head -c 5 {other.device}") == "hello"
    booted.store.grow(late, 32 * MIB)
    sectors = 32 * MIB // 512
    eventually(lambda: other.run(f"cat /sys/block/{other.device[5:]}/size"), lambda seen: seen == str(sectors))
    device = other.device
    booted.store.detach(booted.vm, late)
    eventually(lambda: booted.run(f"test -e {device} && echo there || echo gone"), lambda seen: seen == "gone")
    assert booted.store.read(late) == "hello"


def test_an_agent_that_is_frozen_already_is_thawed_and_the_next_attempt_works(booted: Booted) -> None:
    """What a controller leaves that is killed while the guest is frozen."""
    snapshot = booted.store.snapshot(quiesce=True)
    booted.domain.fsFreeze()
    with pytest.raises(Conflict, match="cannot freeze"):
        booted.store.take(booted.vm, snapshot)
    assert booted.freeze_status() == "thawed"
    booted.store.take(booted.vm, snapshot)
    booted.domain.fsFreeze()
    booted.store.take(booted.vm, snapshot)
    assert booted.freeze_status() == "thawed", "an existing snapshot is success, and the guest is thawed all the same"


def test_a_snapshot_that_fails_thaws_the_guest(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def fail(*_: object) -> None:
        seen.append(booted.freeze_status())
        raise libvirt.libvirtError("broken")

    monkeypatch.setattr(livesnapshot, "take", fail)
    with pytest.raises(Exception, match="cannot take a snapshot"):
        booted.store.take(booted.vm, booted.store.snapshot(quiesce=True))
    assert seen == ["frozen"]
    assert booted.freeze_status() == "thawed"
    assert booted.store.taken(booted.vm) == {}
