"""Segments that Vireo makes on a real host over a real sshd: when they come, when they go, and what it never touches."""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from drivers.errors import Busy, Conflict, DriverError, Transient, Unsupported
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link.shell import Command, Shell
from drivers.types import (
    Attachment,
    AttachNIC,
    Credentials,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    Endpoint,
    InstanceID,
    NetworkBackend,
    Owner,
    Power,
    Segment,
)
from tests.contract.kvm_binding import MIB, PATIENT, move
from tests.contract.kvm_pair import Site
from tests.contract.kvm_remote_pair import Remote, connect, remote
from tests.lab.guests import eventually
from tests.lab.host import run_in
from tests.lab.shell import succeeds

pytestmark = pytest.mark.lab

_numbers = itertools.count(1)
VXLAN = Attachment(NetworkBackend.LINUX, uplink="trunk0", group="239.7.7.7")


@pytest.fixture(scope="module")
def world() -> Iterator[Remote]:
    with remote(1, "vxlan") as made:
        yield made


@pytest.fixture
def here(world: Remote) -> Iterator[Site]:
    """The host, on which nothing of ours is left in the end."""
    yield world.sites[0]
    for instance in world.sites[0].connection.compute.observe_all():
        world.sites[0].connection.compute.delete(world.sites[0].id, instance)
    assert ours(world.sites[0]) == set()


def nic(segment: int, attachment: Attachment = VXLAN) -> DesiredNIC:
    mac = f"02:00:00:00:{next(_numbers):02x}:{segment:02x}"
    return DesiredNIC(f"eth{segment}", mac, "shop/front", Segment(segment), attachment, "10.0.0.5")


def create(site: Site, *nics: DesiredNIC) -> DesiredVM:
    """A VM without a disk."""
    instance = InstanceID(str(uuid4()))
    vm = DesiredVM(instance, "web", Owner(f"uid-{instance}", "shop", "web"), 1, 16 * MIB, (), nics)
    site.connection.compute.create(site.id, vm)
    return vm


def ours(site: Site) -> set[str]:
    """Interfaces with names of ours on the host."""
    return {name for name in run_in(site.host, "ls", "/sys/class/net").split() if name.startswith("vireo-")}


def of(*segments: int) -> set[str]:
    return {f"vireo-{kind}{segment}" for segment in segments for kind in "bu"}


def test_a_segment_is_there_while_a_vm_needs_it(here: Site) -> None:
    calls, power = here.connection.compute, here.connection.power
    one, two = create(here, nic(10)), create(here, nic(10), nic(20))
    assert ours(here) == set(), "a VM that never ran needs none"
    for vm in (one, two):
        power.start(here.id, vm.instance)
    assert ours(here) == of(10, 20)
    assert run_in(here.host, "cat", "/sys/class/net/vireo-b10/ifalias") == "vireo:10\n"
    calls.delete(here.id, two.instance)
    assert ours(here) == of(10)
    calls.apply(here.id, one.instance, [AttachNIC(nic(30))])
    assert ours(here) == of(10, 30)
    calls.delete(here.id, one.instance)
    assert ours(here) == set()


def test_a_nic_that_goes_from_a_vm_that_is_off_takes_its_segment_along(here: Site) -> None:
    vm = create(here, nic(10))
    here.connection.power.start(here.id, vm.instance)
    here.admin.lookupByUUIDString(vm.instance).destroy()
    assert ours(here) == of(10), "the VM needs it again when it starts"
    here.connection.compute.apply(here.id, vm.instance, [DetachNIC("eth10")])
    assert ours(here) == set()


def test_a_nic_moved_to_another_segment_is_seen_and_put_back(here: Site) -> None:
    front, compute = nic(10), here.connection.compute
    vm, other = create(here, front), create(here, nic(20))
    for each in (vm, other):
        here.connection.power.start(here.id, each.instance)
    before = compute.observe(here.id, vm.instance)
    assert before.nics[0].moved is None
    move(here.admin.lookupByUUIDString(vm.instance), front.mac, _to_segment_20)
    [seen] = compute.observe(here.id, vm.instance).nics
    assert str(seen.moved) == "on bridge vireo-b20 instead of bridge vireo-b10"
    compute.delete(here.id, other.instance)
    compute.apply(here.id, vm.instance, [AttachNIC(front)])
    assert compute.observe(here.id, vm.instance) == before
    assert len(run_in(here.host, "ls", "/sys/class/net/vireo-b10/brif").split()) == 2, "the way out, and the guest's port"
    assert ours(here) == of(10)


def _to_segment_20(interface: ET.Element) -> None:
    source = interface.find("source")
    assert source is not None
    source.set("bridge", "vireo-b20")


def test_the_host_has_no_address_in_a_guest_network(here: Site) -> None:
    """And does not answer there for those that it has elsewhere."""
    vm = create(here, nic(10))
    here.connection.power.start(here.id, vm.instance)
    told = run_in(here.host, "ip", "address", "show", "dev", "vireo-b10")
    assert "inet" not in told
    assert "NOARP" in told


def test_interfaces_of_others_stay_as_they_are(here: Site) -> None:
    run_in(here.host, "ip", "link", "add", "name", "vireo-b40", "type", "bridge")
    vm = create(here, nic(40))
    with pytest.raises(Conflict, match="ip link delete vireo-b40"):
        here.connection.power.start(here.id, vm.instance)
    assert here.connection.compute.observe(here.id, vm.instance).power is Power.OFF
    here.connection.compute.delete(here.id, vm.instance)
    assert ours(here) == {"vireo-b40"}
    run_in(here.host, "ip", "link", "delete", "dev", "vireo-b40")


@pytest.mark.parametrize(
    ("attachment", "complaint"),
    [
        (replace(VXLAN, uplink="eno7"), "no interface eno7"),
        (replace(VXLAN, uplink="lo"), "MTU 1500.*needs 1550"),
    ],
)
def test_what_cannot_be_made_says_why_and_leaves_nothing(here: Site, attachment: Attachment, complaint: str) -> None:
    run_in(here.host, "ip", "link", "set", "dev", "lo", "mtu", "1500")
    vm = create(here, nic(10, attachment))
    with pytest.raises(DriverError, match=complaint):
        here.connection.power.start(here.id, vm.instance)
    assert ours(here) == set()


def test_a_kernel_without_vlans_says_so_and_leaves_nothing(here: Site) -> None:
    """Where the machine's kernel has them, the segment is made."""
    vm = create(here, nic(10, Attachment(NetworkBackend.LINUX, uplink="trunk0")))
    if succeeds(here.host.command("ip", "link", "add", "link", "trunk0", "name", "try", "type", "vlan", "id", "9")):
        run_in(here.host, "ip", "link", "delete", "dev", "try")
        here.connection.power.start(here.id, vm.instance)
        assert "id 10" in run_in(here.host, "ip", "-d", "link", "show", "dev", "vireo-u10")
        return
    with pytest.raises(Transient, match="ip failed on the host"):
        here.connection.power.start(here.id, vm.instance)
    assert ours(here) == set()


def test_another_controller_takes_over_what_is_there(world: Remote, here: Site) -> None:
    vm = create(here, nic(10))
    here.connection.power.start(here.id, vm.instance)
    later = connect(world.servers[0])
    try:
        later.hosts.list_hosts()
        later.compute.delete(here.id, vm.instance)
        assert ours(here) == set()
    finally:
        later.close()


def test_a_host_says_what_it_has(world: Remote, here: Site) -> None:
    told = {each.backend: each for each in here.connection.hosts.list_hosts()[0].networks}
    assert told[NetworkBackend.LINUX].available
    assert told[NetworkBackend.LINUX].guarded
    assert told[NetworkBackend.OVS].available is False, "this host runs no Open vSwitch"
    local = KVMDriver(PATIENT).connect(Endpoint(here.host.uri))
    try:
        without = {each.backend: each for each in local.hosts.list_hosts()[0].networks}
        assert without[NetworkBackend.LINUX].available is False
        assert "SSH" in without[NetworkBackend.LINUX].message
        vm = create(here, nic(10))
        with pytest.raises(Unsupported, match="no SSH login"):
            local.power.start(here.id, vm.instance)
    finally:
        local.close()


def test_a_host_whose_key_is_not_known_is_told_of_and_runs_nothing(world: Remote, here: Site) -> None:
    """libvirt itself is reached in another way here: a Secret may be right for one and wrong for the other."""
    stranger = world.servers[0].known_hosts.replace(b"198.18.0.1", b"198.18.0.9")
    endpoint = Endpoint("qemu+ssh://root@198.18.0.1/system", Credentials(ssh_key=world.servers[0].key, known_hosts=stranger))
    with pytest.raises(DriverError, match="not in known_hosts"):
        Shell(endpoint, 20.0).run(Command.SHOW_LINKS)


def test_after_a_reboot_the_next_vm_brings_its_segment_back(world: Remote, here: Site) -> None:
    vm = create(here, nic(10))
    here.connection.power.start(here.id, vm.instance)
    world.restart(0)
    assert ours(here) == set()

    def started() -> bool:
        try:
            here.connection.power.start(here.id, vm.instance)
        except (Transient, Busy):  # the connection from before the reboot is given up by and by, and so are calls on it
            return False
        return True

    eventually(started, "the VM to start")
    assert ours(here) == of(10)
    assert here.connection.compute.observe(here.id, vm.instance).power is Power.ON
