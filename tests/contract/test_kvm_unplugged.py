"""Bridges and ports that go under running VMs on real hosts, which libvirt does not notice: seen and put back over SSH."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from drivers.base import Connection
from drivers.errors import Transient
from drivers.kvm.connection import KVMDriver
from drivers.kvm.names import COOKIE
from drivers.kvm.network import plugs
from drivers.types import (
    Attachment,
    AttachNIC,
    Credentials,
    DesiredNIC,
    DesiredVM,
    Endpoint,
    InstanceID,
    NetworkBackend,
    ObservedNIC,
    Owner,
    Power,
    Segment,
    VMChanged,
)
from tests.contract.kvm_binding import MIB, PATIENT, KVMBinding, empty_image
from tests.contract.kvm_pair import Site
from tests.contract.kvm_remote_pair import Remote, remote
from tests.contract.suite import Unplugging
from tests.contract.suite.tools import eventually
from tests.lab.host import run_in
from tests.support.listening import Listening

pytestmark = pytest.mark.lab

_numbers = itertools.count(1)
BRIDGE = Attachment(NetworkBackend.BRIDGE, "br-vlan10")
LINUX = Attachment(NetworkBackend.LINUX, uplink="trunk0", group="239.7.7.7")
OVS = Attachment(NetworkBackend.OVS, "ovsbr1")


@pytest.fixture(autouse=True)
def looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time that hosts are listed it is looked where NICs are plugged in."""
    monkeypatch.setattr(plugs, "LOOKS", 0.0)
    monkeypatch.setattr(plugs, "AGAIN", 0.0)


# Open vSwitch --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="class")
def switched() -> Iterator[Remote]:
    with remote(1, "ovs") as made:
        yield made


class SwitchedBinding(KVMBinding):
    """A host over SSH, with a bridge of its own to take away."""

    def __init__(self, world: Remote, directory: Path) -> None:
        [site], [server] = world.sites, world.servers
        super().__init__(site.host, empty_image(directory))
        login = Credentials(ssh_key=server.key, known_hosts=server.known_hosts)
        self.endpoint = Endpoint(f"qemu+ssh://root@{server.address}/system", login)
        self.attachment = OVS
        self.heal_network()

    def lose_network(self) -> None:
        run_in(self.lab_host, "ovs-vsctl", "--timeout=20", "del-br", OVS.bridge)

    def heal_network(self) -> None:
        made = ("--", "set", "Bridge", OVS.bridge, "datapath_type=netdev")
        run_in(self.lab_host, "ovs-vsctl", "--timeout=20", "--may-exist", "add-br", OVS.bridge, *made)


class TestOpenVSwitch(Unplugging):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, switched: Remote, tmp_path_factory: pytest.TempPathFactory) -> SwitchedBinding:
        return SwitchedBinding(switched, tmp_path_factory.mktemp("image"))

    def test_a_port_that_was_removed_comes_back_with_tag_and_guard(self, switched: Remote, connection: Connection) -> None:
        [site] = switched.sites
        vm = running(site, connection, DesiredNIC("eth0", mac(), "shop/front", Segment(10), OVS, "10.0.0.5"))
        [device] = ports_of_switch(site)
        before = rules(site)
        assert before > 0
        run_in(site.host, "ovs-vsctl", "--timeout=20", "del-port", OVS.bridge, device)
        assert ports_of_switch(site) == []
        seen = looked_at(connection, site, vm)
        assert str(seen.unplugged) == "in the air, not on bridge ovsbr1, vlan-10"
        connection.compute.apply(site.id, vm.instance, [AttachNIC(vm.nics[0])])
        assert ports_of_switch(site) == [device]
        assert run_in(site.host, "ovs-vsctl", "--timeout=20", "get", "Port", device, "tag").strip() == "10"
        number = run_in(site.host, "ovs-vsctl", "--timeout=20", "get", "Interface", device, "ofport").strip()
        assert f"in_port={number}" in run_in(site.host, "ovs-ofctl", "--no-names", "dump-flows", OVS.bridge)
        assert looked_at(connection, site, vm).unplugged is None
        connection.compute.delete(site.id, vm.instance)


# Linux bridges -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Iterator[Remote]:
    with remote(1, "vxlan") as made:
        made.lab.add_vlan(10)
        yield made


@pytest.fixture
def here(world: Remote) -> Iterator[Site]:
    """The host, on which no VM of ours is left in the end."""
    [site] = world.sites
    yield site
    for instance in site.connection.compute.observe_all():
        site.connection.compute.delete(site.id, instance)


def mac() -> str:
    return f"02:00:00:00:aa:{next(_numbers):02x}"


def running(site: Site, connection: Connection, *nics: DesiredNIC) -> DesiredVM:
    """A VM without a disk that runs."""
    instance = InstanceID(str(uuid4()))
    vm = DesiredVM(instance, "web", Owner(f"uid-{instance}", "shop", "web"), 1, 16 * MIB, (), nics)
    connection.compute.create(site.id, vm)
    connection.power.start(site.id, instance)
    return vm


def looked_at(connection: Connection, site: Site, vm: DesiredVM) -> ObservedNIC:
    """The VM's NIC, after a look at its host."""
    connection.hosts.list_hosts()
    seen = connection.compute.observe(site.id, vm.instance)
    assert seen.power is Power.ON
    return seen.nics[0]


def ports_of_switch(site: Site) -> list[str]:
    found = run_in(site.host, "ovs-vsctl", "--timeout=20", "list-ports", OVS.bridge).split()
    return [name for name in found if name.startswith("vnet")]


def rules(site: Site) -> int:
    return run_in(site.host, "ovs-ofctl", "dump-flows", OVS.bridge, f"cookie={COOKIE}/-1").count("in_port=")


def members(site: Site, bridge: str) -> list[str]:
    """Guests' interfaces on a bridge of the host."""
    return [name for name in run_in(site.host, "ls", f"/sys/class/net/{bridge}/brif").split() if name.startswith("vnet")]


def cut(site: Site, bridge: str) -> None:
    run_in(site.host, "ip", "link", "delete", "dev", bridge)


def made_again(site: Site, bridge: str) -> None:
    run_in(site.host, "ip", "link", "add", "name", bridge, "type", "bridge", "mcast_snooping", "0")
    run_in(site.host, "ip", "link", "set", "dev", bridge, "up")


def test_a_bridge_of_an_administrator_is_waited_for_and_plugged_in_to_again(here: Site) -> None:
    connection = here.connection
    vm = running(here, connection, DesiredNIC("eth0", mac(), "shop/front", Segment(10), BRIDGE, "10.0.0.5"))
    [device] = members(here, "br-vlan10")
    before, change = looked_at(connection, here, vm), AttachNIC(vm.nics[0])
    listener = Listening(connection)
    cut(here, "br-vlan10")
    assert str(looked_at(connection, here, vm).unplugged) == "in the air: the host has no bridge br-vlan10"
    eventually(lambda: VMChanged(vm.instance) in listener.wait(5))  # of VMs that went before it may be told first
    with pytest.raises(Transient, match="no bridge br-vlan10"):
        connection.compute.apply(here.id, vm.instance, [change])
    assert "br-vlan10" not in run_in(here.host, "ls", "/sys/class/net").split(), "it is not Vireo's to make"
    made_again(here, "br-vlan10")
    assert str(looked_at(connection, here, vm).unplugged) == "in the air, not on bridge br-vlan10"
    connection.compute.apply(here.id, vm.instance, [change])
    assert members(here, "br-vlan10") == [device], "the guest has kept its device"
    assert looked_at(connection, here, vm) == before
    run_in(here.host, "ip", "link", "set", "dev", device, "nomaster")
    assert looked_at(connection, here, vm).unplugged is not None
    connection.compute.apply(here.id, vm.instance, [change])
    assert members(here, "br-vlan10") == [device]


def _bridge(site: Site) -> None:
    cut(site, "vireo-b30")


def _way_out(site: Site) -> None:
    cut(site, "vireo-u30")


def _all(site: Site) -> None:
    _bridge(site)
    _way_out(site)


@pytest.mark.parametrize("happens", [_bridge, _way_out, _all], ids=["bridge", "way out", "both"])
def test_a_segment_of_vireo_s_own_is_made_again_under_the_guest(here: Site, happens: Callable[[Site], None]) -> None:
    connection = here.connection
    vm = running(here, connection, DesiredNIC("eth0", mac(), "shop/front", Segment(30), LINUX, "10.0.0.5"))
    [device] = members(here, "vireo-b30")
    before = looked_at(connection, here, vm)
    assert before.unplugged is None
    happens(here)
    assert str(looked_at(connection, here, vm).unplugged) == "in the air, not on bridge vireo-b30"
    connection.compute.apply(here.id, vm.instance, [AttachNIC(vm.nics[0])])
    assert members(here, "vireo-b30") == [device]
    assert "vireo-u30" in run_in(here.host, "ls", "/sys/class/net/vireo-b30/brif").split()
    assert looked_at(connection, here, vm) == before


def test_what_is_not_reached_over_ssh_is_not_seen_and_its_next_start_says_so(here: Site) -> None:
    with closing(KVMDriver(PATIENT).connect(Endpoint(here.host.uri))) as local:
        vm = running(here, local, DesiredNIC("eth0", mac(), "shop/front", Segment(10), BRIDGE, "10.0.0.5"))
        cut(here, "br-vlan10")
        assert looked_at(local, here, vm).unplugged is None
        here.admin.lookupByUUIDString(vm.instance).destroy()
        with pytest.raises(Transient, match="br-vlan10"):
            local.power.start(here.id, vm.instance)
        made_again(here, "br-vlan10")
        local.power.start(here.id, vm.instance)
        assert len(members(here, "br-vlan10")) == 1
