"""NICs on Linux bridges that an administrator made, and guests that do not let go of theirs."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Busy, DriverError, InvalidSpec
from drivers.kvm.connection import KVMDriver
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
from tests.contract.kvm_binding import MIB, QUICK
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
    connection = KVMDriver(QUICK).connect(Endpoint(host.uri))
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
    with pytest.raises(DriverError, match="br-vlan30"):
        connection.power.start(H1, INSTANCE)
    assert connection.compute.observe(H1, INSTANCE).power is Power.OFF


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


def test_a_seed_needs_a_disk_and_refuses_what_comes_with_it(connection: Connection, vm: DesiredVM) -> None:
    before = connection.compute.observe(H1, INSTANCE)
    with pytest.raises(InvalidSpec, match="needs a disk"):
        connection.compute.apply(H1, INSTANCE, [SetCPUs(2), SetSeed(Seed("instance-id: 1\n", "", b""))])
    assert connection.compute.observe(H1, INSTANCE) == before
