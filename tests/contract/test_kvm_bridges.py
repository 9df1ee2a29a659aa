"""NICs on Linux bridges that an administrator made, and guests that do not let go of theirs."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import Busy, InvalidSpec, NetworkMissing
from drivers.kvm.connection import KVMDriver
from drivers.kvm.mark import NAMESPACE
from drivers.types import (
    Attachment,
    AttachNIC,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    Endpoint,
    HostID,
    InstanceID,
    NetworkBackend,
    ObservedNIC,
    Owner,
    Power,
    Seed,
    Segment,
    SetCPUs,
    SetSeed,
    StopMode,
)
from tests.contract.kvm_binding import MIB, PATIENT, move
from tests.lab import Lab, disposable
from tests.lab.host import Host, run_in

pytestmark = pytest.mark.lab

H1 = HostID("h1")
INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A host with a Linux bridge for each VLAN."""
    with disposable() as lab:
        lab.up(backend="vxlan")
        lab.add_vlan(10)
        lab.add_vlan(20)
        yield lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    return lab.host("h1")


@pytest.fixture(scope="module")
def connection(host: Host) -> Iterator[Connection]:
    connection = KVMDriver(PATIENT).connect(Endpoint(host.uri))
    yield connection
    connection.close()


def nic(number: int) -> DesiredNIC:
    bridge = Attachment(NetworkBackend.BRIDGE, f"br-vlan{number}")
    return DesiredNIC(f"eth{number}", f"02:00:00:00:00:{number:02x}", "shop/front", Segment(number), bridge, "10.0.0.5")


@pytest.fixture
def vm(connection: Connection) -> Iterator[DesiredVM]:
    vm = DesiredVM(INSTANCE, "web", Owner("uid", "shop", "web"), 1, 16 * MIB, (), (nic(10),))
    connection.compute.create(H1, vm)
    yield vm
    connection.compute.delete(H1, INSTANCE)


def ports(host: Host, bridge: str) -> list[str]:
    """Guests' interfaces on a bridge of the host."""
    return [name for name in run_in(host, "ls", f"/sys/class/net/{bridge}/brif").split() if name.startswith("vnet")]


def test_a_nic_is_a_port_of_its_bridge_while_the_vm_runs(connection: Connection, host: Host, vm: DesiredVM) -> None:
    assert ports(host, "br-vlan10") == []
    connection.power.start(H1, INSTANCE)
    assert len(ports(host, "br-vlan10")) == 1
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(20))])
    assert len(ports(host, "br-vlan20")) == 1
    seen = connection.compute.observe(H1, INSTANCE)
    assert seen.nics == tuple(ObservedNIC(one.name, one.mac, one.network, one.segment, one.ip) for one in (nic(10), nic(20)))
    connection.power.stop(H1, INSTANCE, StopMode.HARD)
    assert ports(host, "br-vlan10") + ports(host, "br-vlan20") == []


def test_a_bridge_that_is_not_there_keeps_a_vm_from_starting_and_says_which(connection: Connection, vm: DesiredVM) -> None:
    missing = replace(nic(30), attachment=Attachment(NetworkBackend.BRIDGE, "br-vlan30"))
    connection.compute.apply(H1, INSTANCE, [AttachNIC(missing)])
    with pytest.raises(NetworkMissing, match=r"cannot start the VM .*: the host has no bridge br-vlan30"):
        connection.power.start(H1, INSTANCE)
    assert connection.compute.observe(H1, INSTANCE).power is Power.OFF


def test_one_that_runs_gets_no_nic_on_a_bridge_that_is_not_there_until_it_is(
    lab: Lab, connection: Connection, host: Host, vm: DesiredVM
) -> None:
    connection.power.start(H1, INSTANCE)
    with pytest.raises(NetworkMissing, match="the host has no bridge br-vlan40"):
        connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(40))])
    lab.add_vlan(40)
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(40))])
    assert len(ports(host, "br-vlan40")) == 1


def test_a_vm_whose_bridge_came_is_started(lab: Lab, connection: Connection, host: Host, vm: DesiredVM) -> None:
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(50))])
    with pytest.raises(NetworkMissing, match="br-vlan50"):
        connection.power.start(H1, INSTANCE)
    lab.add_vlan(50)
    connection.power.start(H1, INSTANCE)
    assert len(ports(host, "br-vlan50")) == 1


def test_a_bridge_of_open_vswitch_that_is_not_there_is_told_of_likewise(connection: Connection, vm: DesiredVM) -> None:
    """Also where there is no Open vSwitch at all."""
    missing = replace(nic(30), attachment=Attachment(NetworkBackend.OVS, "ovsbr9"))
    connection.compute.apply(H1, INSTANCE, [AttachNIC(missing)])
    with pytest.raises(NetworkMissing, match="the host has no bridge ovsbr9"):
        connection.power.start(H1, INSTANCE)


def test_a_nic_that_the_guest_does_not_release_is_cut_off_and_not_there(connection: Connection, host: Host, vm: DesiredVM) -> None:
    """A guest without an operating system never lets go."""
    connection.power.start(H1, INSTANCE)
    connection.compute.apply(H1, INSTANCE, [DetachNIC("eth10")])
    seen = connection.compute.observe(H1, INSTANCE)
    assert (seen.nics, seen.foreign_devices) == ((), ())
    assert connection.compute.observe_all()[INSTANCE].nics == ()
    for again in (nic(10), replace(nic(10), name="other")):
        with pytest.raises(Busy, match="released"):
            connection.compute.apply(H1, INSTANCE, [AttachNIC(again)])
    connection.power.stop(H1, INSTANCE, StopMode.HARD)
    connection.power.start(H1, INSTANCE)
    assert ports(host, "br-vlan10") == []
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    assert len(ports(host, "br-vlan10")) == 1


@pytest.fixture
def domain(host: Host, vm: DesiredVM) -> Iterator[Any]:
    """The VM as an administrator has it at hand."""
    admin = libvirt.open(host.uri)
    yield admin.lookupByUUIDString(vm.instance)
    admin.close()


def elsewhere(item: ET.Element) -> None:
    source = item.find("source")
    assert source is not None
    source.set("bridge", "br-vlan20")


def define(domain: Any, change: Callable[[ET.Element], None]) -> None:
    """As `virsh edit`: the next start is different."""
    root = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    change(root)
    domain.connect().defineXML(ET.tostring(root, encoding="unicode"))


def moved(connection: Connection) -> str:
    [seen] = connection.compute.observe(H1, INSTANCE).nics
    assert seen.segment == Segment(10)
    return str(seen.moved or "")


THERE = "on bridge br-vlan20 instead of bridge br-vlan10"


def test_a_nic_moved_to_another_bridge_is_seen_and_put_back_while_the_vm_runs(
    connection: Connection, host: Host, domain: Any
) -> None:
    connection.power.start(H1, INSTANCE)
    [port] = ports(host, "br-vlan10")
    before = connection.compute.observe(H1, INSTANCE)
    move(domain, nic(10).mac, elsewhere)
    assert (ports(host, "br-vlan10"), ports(host, "br-vlan20"), moved(connection)) == ([], [port], THERE)
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    assert (ports(host, "br-vlan10"), ports(host, "br-vlan20")) == ([port], []), "the guest has kept its device"
    assert connection.compute.observe(H1, INSTANCE) == before
    assert "filterref" in domain.XMLDesc(0), "it is held to its address again"


def test_a_nic_moved_for_the_next_start_is_seen_at_once(connection: Connection, host: Host, domain: Any) -> None:
    connection.power.start(H1, INSTANCE)
    define(domain, lambda root: elsewhere(root.findall("devices/interface")[0]))
    assert (len(ports(host, "br-vlan10")), moved(connection)) == (1, THERE)
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    assert moved(connection) == ""
    connection.power.stop(H1, INSTANCE, StopMode.HARD)
    connection.power.start(H1, INSTANCE)
    assert (len(ports(host, "br-vlan10")), ports(host, "br-vlan20")) == (1, [])


def test_a_nic_that_became_another_sort_of_device_comes_back_when_the_guest_lets_go(
    connection: Connection, host: Host, domain: Any
) -> None:
    """One without an operating system does when it is off."""

    def to_user(root: ET.Element) -> None:
        for item in root.iterfind("devices/interface"):
            item.set("type", "user")
            for child in [child for child in item if child.tag in ("source", "filterref")]:
                item.remove(child)

    define(domain, to_user)
    connection.power.start(H1, INSTANCE)
    assert moved(connection) == "on no bridge instead of bridge br-vlan10"
    for _ in range(2):
        with pytest.raises(Busy, match="release"):
            connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    connection.power.stop(H1, INSTANCE, StopMode.HARD)
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    connection.power.start(H1, INSTANCE)
    assert (len(ports(host, "br-vlan10")), moved(connection)) == (1, "")


def test_a_vm_of_an_earlier_version_is_as_it_was_made(connection: Connection, domain: Any) -> None:
    """Its mark names no bridge: whatever it is on is right until its NIC is made anew."""

    def older(root: ET.Element) -> None:
        for item in root.iter(f"{{{NAMESPACE}}}nic"):
            del item.attrib["port"]

    define(domain, older)
    before = connection.compute.observe(H1, INSTANCE)
    assert before.nics[0].moved is None
    move(domain, nic(10).mac, elsewhere)
    assert connection.compute.observe(H1, INSTANCE) == before
    connection.compute.apply(H1, INSTANCE, [AttachNIC(nic(10))])
    move(domain, nic(10).mac, elsewhere)
    assert moved(connection) == THERE


def test_a_seed_needs_a_disk_and_refuses_what_comes_with_it(connection: Connection, vm: DesiredVM) -> None:
    before = connection.compute.observe(H1, INSTANCE)
    with pytest.raises(InvalidSpec, match="needs a disk"):
        connection.compute.apply(H1, INSTANCE, [SetCPUs(2), SetSeed(Seed("instance-id: 1\n", "", b""))])
    assert connection.compute.observe(H1, INSTANCE) == before
