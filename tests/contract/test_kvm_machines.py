"""Real guests on a real host: what the driver changes from outside is what a guest finds inside."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Conflict
from drivers.kvm.connection import KVMDriver
from drivers.types import (
    AttachNIC,
    Capability,
    Change,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    Firmware,
    GrowDisk,
    InstanceID,
    ObservedVM,
    Owner,
    Power,
    Seed,
    Segment,
    SetCPUs,
    SetMemory,
    SetSeed,
    StopMode,
)
from tests.contract.kvm_binding import MIB, PATIENT, KVMBinding, bootable_image, one_host
from tests.lab.guests import eventually, execute, last_words, wait_for_agent, wait_for_cloud
from tests.lab.host import run_in

pytestmark = pytest.mark.lab

INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
MAC = "02:00:00:00:00:0a"
FEW = 2
"""CPUs that an emulated guest gets at its restart, where any change waits for that. No more than it takes: each waits for others
in the kernel of the guest, and on two busy cores they hardly ever run at the same time.
"""


def seed(number: int) -> Seed:
    return Seed(f"instance-id: i-{number}\nlocal-hostname: guest-{number}\n", "", b"#cloud-config\n{}\n")


@dataclass
class Machine:
    """A VM of the driver, and libvirt's own view of it."""

    binding: KVMBinding
    connection: Connection
    domain: libvirt.virDomain

    def apply(self, *changes: Change) -> None:
        self.connection.compute.apply(self.binding.host, INSTANCE, changes)

    def observe(self) -> ObservedVM:
        return self.connection.compute.observe(self.binding.host, INSTANCE)

    def start(self) -> None:
        self.connection.power.start(self.binding.host, INSTANCE)
        wait_for_agent(self.domain)

    def stop(self) -> None:
        """Ask the guest, and see that it obeys."""
        self.connection.power.stop(self.binding.host, INSTANCE, StopMode.SOFT)
        eventually(lambda: self.observe().power is Power.OFF, "the guest to stop", more=lambda: last_words(self.domain))

    def inside(self, script: str) -> str:
        return execute(self.domain, script).strip()

    @property
    def adds_cpus(self) -> bool:
        """Whether CPUs can be added while it runs, up to eight here."""
        return Capability.CPU_ADD_LIVE in self.connection.capabilities

    def macs(self) -> str:
        """Of the NICs that the guest has."""
        return self.inside("cat /sys/class/net/*/address")


@pytest.fixture(scope="module")
def binding() -> Iterator[KVMBinding]:
    with one_host() as host:
        yield KVMBinding(host, bootable_image())


def described(binding: KVMBinding) -> DesiredVM:
    disk = DesiredDisk("root", binding.pool, 200 * MIB, binding.image.name)
    nic = DesiredNIC("eth0", "02:00:00:00:00:01", "shop/front", Segment(10), binding.attachment, "10.0.0.5")
    owner = Owner("uid", "shop", "web")
    return DesiredVM(INSTANCE, "web", owner, 1, 112 * MIB, (disk, DesiredDisk("data", binding.pool, 8 * MIB)), (nic,), seed=seed(1))


@contextmanager
def made(binding: KVMBinding, connection: Connection, vm: DesiredVM) -> Iterator[Machine]:
    """The VM, powered off; gone afterwards, and nothing stays."""
    connection.compute.create(binding.host, vm)
    with binding.admin() as admin:
        yield Machine(binding, connection, admin.lookupByUUIDString(INSTANCE))
    connection.compute.delete(binding.host, INSTANCE, [binding.pool])
    assert binding.leftovers(INSTANCE) == set()


@pytest.fixture
def machine(binding: KVMBinding, connection: Connection) -> Iterator[Machine]:
    """A guest whose agent answers."""
    with made(binding, connection, described(binding)) as machine:
        machine.start()
        yield machine


def test_cpus_that_are_added_appear_in_an_accelerated_guest_and_wait_for_the_restart_of_an_emulated_one(machine: Machine) -> None:
    """An emulated guest's QEMU would abort as soon as its translation cache is full, which a boot alone can bring about."""
    live = machine.adds_cpus
    assert live == ("type='kvm'" in machine.domain.XMLDesc())
    boot = machine.inside("cat /proc/sys/kernel/random/boot_id")
    most = 8 if live else FEW
    for cpus in range(2, most + 1):
        machine.apply(SetCPUs(cpus))
    eventually(lambda: machine.inside("grep -c ^processor /proc/cpuinfo") == (str(most) if live else "1"), "CPUs")
    assert (machine.observe().cpus, machine.observe().running_cpus) == (most, most if live else 1)
    assert machine.inside("cat /proc/sys/kernel/random/boot_id") == boot
    machine.stop()
    machine.start()
    assert machine.inside("grep -c ^processor /proc/cpuinfo") == str(most)


def test_a_definition_with_room_for_cpus_does_not_change_that(binding: KVMBinding, connection: Connection) -> None:
    """As somebody else may have defined it."""
    live = Capability.CPU_ADD_LIVE in connection.capabilities
    with made(binding, connection, described(binding)) as machine:
        root = ET.fromstring(machine.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        vcpu, topology = root.find("vcpu"), root.find("cpu/topology")
        assert vcpu is not None
        assert topology is not None
        vcpu.text, vcpu.attrib["current"], topology.attrib["cores"] = "8", "1", "8"
        with binding.admin() as admin:
            admin.defineXML(ET.tostring(root, encoding="unicode"))
        connection.power.start(binding.host, INSTANCE)
        machine.apply(SetCPUs(3))
        seen = machine.observe()
        assert (seen.power, seen.cpus, seen.running_cpus) == (Power.ON, 3, 3 if live else 1)


def test_disks_and_nics_that_are_added_appear_in_the_guest(machine: Machine) -> None:
    late = DesiredNIC("late", MAC, "shop/back", Segment(20), machine.binding.attachment, "10.1.0.5")
    machine.apply(GrowDisk("data", 16 * MIB), AttachNIC(late))
    eventually(lambda: machine.inside("cat /sys/block/vdb/size") == str(16 * MIB // 512), "disk")
    eventually(lambda: MAC in machine.macs(), "NIC")
    machine.apply(DetachNIC("late"))
    assert [nic.name for nic in machine.observe().nics] == ["eth0"]
    eventually(lambda: MAC not in machine.domain.XMLDesc(), "the guest to let go of the NIC")
    assert MAC not in machine.macs()
    machine.apply(AttachNIC(late))
    eventually(lambda: MAC in machine.macs(), "the NIC again")


def test_what_needs_a_restart_holds_after_it_and_data_stays(machine: Machine) -> None:
    cpus = 9 if machine.adds_cpus else FEW
    before = int(machine.inside("awk '/MemTotal/ {print $2}' /proc/meminfo"))
    machine.inside("echo kept > /root/kept; sync")
    machine.apply(SetMemory(160 * MIB), SetCPUs(cpus), SetSeed(seed(2)))
    running = machine.observe()
    assert (running.running_memory, running.memory, running.running_cpus, running.cpus) == (112 * MIB, 160 * MIB, 1, cpus)
    wait_for_cloud(machine.domain)
    machine.stop()
    machine.start()
    wait_for_cloud(machine.domain)
    assert machine.inside("cat /root/kept; hostname") == "kept\nguest-2"
    assert machine.inside("grep -c ^processor /proc/cpuinfo") == str(cpus)
    assert int(machine.inside("awk '/MemTotal/ {print $2}' /proc/meminfo")) > before + 40 * 1024


def test_only_the_seed_in_use_stays(machine: Machine) -> None:
    """The running guest keeps the one that it was started with until it is off."""

    def seeds() -> set[str]:
        return {path.name for path in Path(machine.binding.pool.path).glob(f"{INSTANCE}-seed-*")}

    def name(number: int) -> str:
        return f"{INSTANCE}-seed-{seed(number).digest[:16]}.iso"

    machine.apply(SetSeed(seed(2)))
    machine.apply(SetSeed(seed(3)))
    assert seeds() == {name(1), name(3)}
    machine.stop()
    machine.apply(SetSeed(seed(4)))
    assert seeds() == {name(4)}


def test_a_guest_that_was_rebooted_inside_is_the_same_vm(machine: Machine) -> None:
    boot = machine.inside("cat /proc/sys/kernel/random/boot_id")
    machine.domain.reboot(0)
    eventually(lambda: machine.inside("cat /proc/sys/kernel/random/boot_id") != boot, "the guest to reboot")
    assert machine.observe().power is Power.ON


@contextmanager
def frozen(machine: Machine) -> Iterator[None]:
    """Its QEMU hangs."""
    pid = run_in(machine.binding.lab_host, "cat", f"/run/libvirt/qemu/{machine.domain.name()}.pid").strip()
    run_in(machine.binding.lab_host, "kill", "-STOP", pid)
    try:
        yield
    finally:
        run_in(machine.binding.lab_host, "sh", "-c", f"kill -CONT {pid} || true")


def test_a_qemu_that_hangs_holds_up_neither_reading_nor_other_vms(machine: Machine) -> None:
    compute, power, host = machine.connection.compute, machine.connection.power, machine.binding.host
    other = DesiredVM(InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b12"), "other", Owner("u", "shop", "other"), 1, 16 * MIB, ())
    whole = machine.observe()
    hasty = KVMDriver(replace(PATIENT, agent=5)).connect(machine.binding.endpoint)
    with frozen(machine), closing(hasty):
        machine = replace(machine, connection=hasty)
        assert replace(compute.observe_all()[INSTANCE], guest=whole.guest) == whole
        assert replace(machine.observe(), guest=whole.guest) == whole
        assert machine.observe().guest.hostname == "", "nobody answers"
        compute.create(host, other)
        power.start(host, other.instance)
        assert compute.observe_all()[other.instance].power is Power.ON
        compute.delete(host, other.instance)
        machine.connection.power.stop(host, INSTANCE, StopMode.HARD)
        assert machine.observe().power is Power.OFF


def test_a_nic_that_is_attached_twice_is_there_once_and_another_with_its_address_is_refused(machine: Machine) -> None:
    nic = DesiredNIC("late", MAC, "shop/back", Segment(20), machine.binding.attachment)
    machine.apply(AttachNIC(nic))
    machine.apply(AttachNIC(nic))
    assert machine.domain.XMLDesc().count(f"<mac address='{MAC}'/>") == 1
    for other in (replace(nic, name="other", mac=described(machine.binding).nics[0].mac), replace(nic, segment=Segment(30))):
        with pytest.raises(Conflict):
            machine.apply(AttachNIC(other))
    assert [seen.segment for seen in machine.observe().nics] == [Segment(10), Segment(20)]


def test_a_nic_of_somebody_else_is_not_adopted(machine: Machine) -> None:
    port = "<source bridge='ovsbr0'/><virtualport type='openvswitch'/><model type='virtio'/>"
    foreign = f"<interface type='bridge'><mac address='{MAC}'/>{port}</interface>"
    machine.domain.attachDeviceFlags(foreign, libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG)
    assert machine.observe().foreign_devices == (MAC,)
    with pytest.raises(Conflict):
        machine.apply(AttachNIC(DesiredNIC("late", MAC, "shop/back", Segment(20), machine.binding.attachment)))


def test_a_guest_with_uefi_boots_and_leaves_no_variables_behind(binding: KVMBinding, connection: Connection) -> None:
    vm = replace(described(binding), firmware=Firmware.UEFI, memory=256 * MIB)
    with made(binding, connection, vm) as machine:
        machine.start()
        assert machine.inside("test -d /sys/firmware/efi && echo efi") == "efi"
        [store] = [path for path in _variables(binding) if "web-6f1d9a3e" in path]
        assert store
    assert _variables(binding) == []


def _variables(binding: KVMBinding) -> list[str]:
    return run_in(binding.lab_host, "ls", "/var/lib/libvirt/qemu/nvram").split()
