"""Guests that claim what is not theirs, on ports of Open vSwitch and of Linux bridges of two real hosts: they are not heard."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from drivers.kvm.connection import KVMDriver
from drivers.kvm.domain import guard
from drivers.kvm.names import COOKIE
from drivers.kvm.network import support
from drivers.types import (
    Attachment,
    AttachNIC,
    DesiredNIC,
    DesiredVM,
    DetachNIC,
    Endpoint,
    InstanceID,
    NetworkBackend,
    Owner,
    Segment,
    StopMode,
)
from tests.contract.kvm_binding import MIB, PATIENT
from tests.contract.kvm_pair import Guest, Site, heard, ready, site, start
from tests.contract.kvm_remote_pair import connect, remote
from tests.lab import disposable
from tests.lab.guests import eventually
from tests.lab.host import Host, run_in
from tests.lab.sshd import SSHServer

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # emulated guests boot in the first test's time

OVS, BRIDGE = Attachment(NetworkBackend.OVS, "ovsbr0"), Attachment(NetworkBackend.BRIDGE, "br-vlan10")
VXLAN = Attachment(NetworkBackend.LINUX, uplink="trunk0", group="239.7.7.7")
HONEST, CROOK, VICTIM = "10.0.0.1", "10.0.0.2", "10.0.0.3"
HONEST_NIC = DesiredNIC("eth0", "02:00:00:00:0a:01", "shop/front", Segment(10), BRIDGE, HONEST)
CROOK_NIC = replace(HONEST_NIC, mac="02:00:00:00:0a:02", ip=CROOK)


on_open_vswitch = pytest.mark.parametrize("attachment", [OVS], ids=["OVS"], indirect=True)
on_linux_bridges = pytest.mark.parametrize("attachment", [BRIDGE, VXLAN], ids=["Bridge", "Linux"], indirect=True)


@pytest.fixture(scope="module", params=[OVS, BRIDGE, VXLAN], ids=["OVS", "Bridge", "Linux"])
def attachment(request: pytest.FixtureRequest) -> Attachment:
    found: Attachment = request.param
    return found


@pytest.fixture(scope="module")
def places(attachment: Attachment) -> Iterator[tuple[Sequence[Site], Sequence[SSHServer]]]:
    """Two hosts that share a segment. Rules on Open vSwitch and bridges of Vireo's own need SSH; filters on bridges don't."""
    with ExitStack() as ends:
        if attachment is not BRIDGE:
            far = ends.enter_context(remote(2, "ovs" if attachment is OVS else "vxlan"))
            yield far.sites, far.servers
            return
        lab = ends.enter_context(disposable())
        lab.up(hosts=2, backend="vxlan")
        lab.add_vlan(10)
        yield [ends.enter_context(site(host, KVMDriver(PATIENT).connect(Endpoint(host.uri)))) for host in lab.hosts()], ()


@pytest.fixture(scope="module")
def sites(places: tuple[Sequence[Site], Sequence[SSHServer]]) -> Sequence[Site]:
    return places[0]


@pytest.fixture(scope="module")
def guests(sites: Sequence[Site], attachment: Attachment) -> Iterator[tuple[Guest, Guest]]:
    """One that asks, and one on the other host that claims."""
    honest, crook = (replace(nic, attachment=attachment) for nic in (HONEST_NIC, CROOK_NIC))
    pair = start(sites[0], "honest", [honest]), start(sites[1], "crook", [crook])
    ready(*pair)
    yield pair
    for guest in pair:
        guest.delete()


@pytest.fixture(autouse=True)
def as_it_was(guests: tuple[Guest, Guest]) -> Iterator[None]:
    """The crook has its own MAC and address again, and is heard."""
    yield
    crook = guests[1]
    crook.run(
        f"ip link set eth0 down; ip link set eth0 address {CROOK_NIC.mac}; ip link set eth0 up; "
        f"ip addr flush dev eth0; ip addr add {CROOK}/24 dev eth0"
    )
    crook.site.connection.compute.apply(crook.site.id, crook.vm.instance, [AttachNIC(crook.vm.nics[0])])
    guard_again(crook)
    heard(guests[0], CROOK)


def unguard(guest: Guest) -> None:
    """As an administrator, let the guest send what it likes: the test's own proof that it would be heard."""
    interface = ET.fromstring(guest.domain.XMLDesc()).find("devices/interface")
    assert interface is not None
    if guest.vm.nics[0].attachment is OVS:
        run_in(guest.site.host, "ovs-ofctl", "del-flows", "ovsbr0", f"cookie={COOKIE}/-1")
        return
    for item in interface.findall("filterref"):
        interface.remove(item)
    guest.domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"), libvirt.VIR_DOMAIN_AFFECT_LIVE)


def guard_again(guest: Guest) -> None:
    """What is in effect already is success, and done once more."""
    guest.site.connection.power.start(guest.site.id, guest.vm.instance)


def test_guests_of_one_network_talk_across_hosts(guests: tuple[Guest, Guest]) -> None:
    heard(guests[0], CROOK)
    heard(guests[1], HONEST)


def test_another_s_address_is_not_heard(guests: tuple[Guest, Guest]) -> None:
    honest, crook = guests
    crook.run(f"ip addr add {VICTIM}/24 dev eth0")
    assert not honest.hears(VICTIM)
    heard(honest, CROOK)
    unguard(crook)
    heard(honest, VICTIM)


def test_another_s_mac_is_not_heard(guests: tuple[Guest, Guest]) -> None:
    honest, crook = guests
    crook.run("ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; ip link set eth0 up")
    assert not honest.hears(CROOK)
    unguard(crook)
    heard(honest, CROOK)


def test_a_forged_arp_answer_changes_nobody_s_mind(guests: tuple[Guest, Guest]) -> None:
    """Sent from its own MAC, with another's address inside, to a guest that would believe it."""
    honest, crook = guests
    honest.run("echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_accept")
    forge = (
        f"ip addr add {VICTIM}/32 dev lo; arping -U -c 3 -w 3 -I eth0 -s {VICTIM} {VICTIM} >/dev/null 2>&1; "
        f"ip addr del {VICTIM}/32 dev lo"
    )
    crook.run(f"{forge}; true")
    assert CROOK_NIC.mac not in honest.run(f"ip neigh show {VICTIM}")
    unguard(crook)

    def believed() -> bool:
        crook.run(f"{forge}; true")
        return CROOK_NIC.mac in honest.run(f"ip neigh show {VICTIM}")

    eventually(believed, "a forged answer that is not filtered to be believed")


def test_packets_with_another_s_source_do_not_arrive(guests: tuple[Guest, Guest]) -> None:
    """From its own MAC, to a neighbour that it knows already, so that no ARP is needed."""
    honest, crook = guests
    count = "awk '/^Icmp:/ && $2 ~ /[0-9]/ {print $2}' /proc/net/snmp"
    send = f"ip addr add {VICTIM}/32 dev lo; ping -c 3 -W 1 -I {VICTIM} {HONEST} >/dev/null; ip addr del {VICTIM}/32 dev lo; true"
    heard(crook, HONEST)
    before = int(honest.run(count))
    crook.run(send)
    assert int(honest.run(count)) == before
    unguard(crook)

    def arrived() -> bool:
        crook.run(send)
        return int(honest.run(count)) >= before + 3

    eventually(arrived, "packets that are not filtered")


def test_the_guard_follows_a_changed_address_at_once(guests: tuple[Guest, Guest]) -> None:
    honest, crook = guests
    crook.run(f"ip addr add {VICTIM}/24 dev eth0")
    assert not honest.hears(VICTIM)
    crook.site.connection.compute.apply(crook.site.id, crook.vm.instance, [AttachNIC(replace(crook.vm.nics[0], ip=VICTIM))])
    heard(honest, VICTIM)
    assert not honest.hears(CROOK)


@on_open_vswitch
def test_what_another_controller_finds_unguarded_on_open_vswitch_it_guards(
    guests: tuple[Guest, Guest], places: tuple[Sequence[Site], Sequence[SSHServer]]
) -> None:
    """Rules are gone when Open vSwitch was started anew; what was left for others' ports goes too."""
    honest, crook = guests
    crook.run(f"ip addr add {VICTIM}/24 dev eth0")
    unguard(crook)
    heard(honest, VICTIM)
    stale = f"cookie={COOKIE},priority=50000,in_port=4711,actions=drop"
    run_in(crook.site.host, "ovs-ofctl", "add-flow", "ovsbr0", stale)
    later = connect(places[1][1])
    try:
        told = {each.backend: each for each in later.hosts.list_hosts()[0].networks}
    finally:
        later.close()
    assert told[NetworkBackend.OVS].guarded
    assert not honest.hears(VICTIM)
    assert "in_port=4711" not in run_in(crook.site.host, "ovs-ofctl", "dump-flows", "ovsbr0")


@on_open_vswitch
def test_rules_that_open_vswitch_forgot_are_set_again(guests: tuple[Guest, Guest], monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is updated: it starts anew under guests that run, and knows its ports, not its rules."""
    honest, crook = guests
    crook.run(f"ip addr add {VICTIM}/24 dev eth0")
    assert not honest.hears(VICTIM)
    restart_switch(crook.site.host)
    heard(honest, VICTIM)
    monkeypatch.setattr(support, "LOOKS", 0.0)
    told = {each.backend: each for each in crook.site.connection.hosts.list_hosts()[0].networks}
    assert told[NetworkBackend.OVS].guarded
    assert not honest.hears(VICTIM)
    heard(honest, CROOK)


def numbers_with_rules(host: Host) -> set[str]:
    """Of the ports of the bridge for which it has rules of ours."""
    told = run_in(host, "ovs-ofctl", "--no-names", "-O", "OpenFlow14", "dump-flows", "ovsbr0", f"cookie={COOKIE}/-1")
    return set(re.findall(r"\bin_port=(\d+)", told))


def number_of(host: Host, domain: libvirt.virDomain, mac: str) -> str:
    """Of the port that the NIC of a running VM is plugged in to."""
    [target] = ET.fromstring(domain.XMLDesc()).findall(f"devices/interface/mac[@address='{mac}']/../target")
    return run_in(host, "ovs-vsctl", "--timeout=20", "get", "Interface", target.get("dev", ""), "ofport").strip()


def swept(site: Site, number: str) -> bool:
    """Whether a look at the host, as there is one every 15 seconds, leaves no rule of ours on that number."""
    site.connection.hosts.list_hosts()
    return number not in numbers_with_rules(site.host)


ENDS: dict[str, Callable[[Site, DesiredVM], object]] = {
    "stopped": lambda site, vm: site.connection.power.stop(site.id, vm.instance, StopMode.HARD),
    "deleted": lambda site, vm: site.connection.compute.delete(site.id, vm.instance),
    "stopped by hand": lambda site, vm: site.admin.lookupByUUIDString(vm.instance).destroy(),
    "QEMU killed": lambda site, vm: run_in(
        site.host, "sh", "-c", f"kill -KILL $(cat /run/libvirt/qemu/blank-{vm.instance[:8]}.pid)"
    ),
}


@on_open_vswitch
@pytest.mark.parametrize("end", ENDS)
def test_rules_go_with_a_vm_that_ends_and_those_of_others_stay(guests: tuple[Guest, Guest], end: str) -> None:
    """The look at all rules every five minutes has no part in it."""
    crook, site = guests[1], guests[1].site
    instance = InstanceID(str(uuid4()))
    nic = replace(CROOK_NIC, mac="02:00:00:00:0a:04", ip="10.0.0.4", attachment=OVS)
    vm = DesiredVM(instance, "blank", Owner(f"uid-{instance}", "shop", "blank"), 1, 16 * MIB, (), (nic,))
    site.connection.compute.create(site.id, vm)
    try:
        site.connection.power.start(site.id, instance)
        number = number_of(site.host, site.admin.lookupByUUIDString(instance), nic.mac)
        assert number in numbers_with_rules(site.host)
        ENDS[end](site, vm)
        eventually(lambda: swept(site, number), "rules to go with their port")
        assert numbers_with_rules(site.host) == {number_of(site.host, crook.domain, CROOK_NIC.mac)}
    finally:
        site.connection.compute.delete(site.id, instance)


@on_open_vswitch
def test_rules_go_with_a_nic_that_its_guest_lets_go(guests: tuple[Guest, Guest]) -> None:
    crook = guests[1]
    second = replace(CROOK_NIC, name="eth1", mac="02:00:00:00:0a:05", ip="10.0.0.5", attachment=OVS)
    crook.site.connection.compute.apply(crook.site.id, crook.vm.instance, [AttachNIC(second)])
    number = number_of(crook.site.host, crook.domain, second.mac)
    assert number in numbers_with_rules(crook.site.host)
    crook.site.connection.compute.apply(crook.site.id, crook.vm.instance, [DetachNIC("eth1")])
    eventually(lambda: swept(crook.site, number), "rules to go with their port")
    assert numbers_with_rules(crook.site.host) == {number_of(crook.site.host, crook.domain, CROOK_NIC.mac)}


@on_open_vswitch
def test_rules_go_with_a_vm_whose_guest_powers_it_off_and_come_with_its_next_start(guests: tuple[Guest, Guest]) -> None:
    honest, crook = guests
    number = number_of(crook.site.host, crook.domain, CROOK_NIC.mac)
    assert number in numbers_with_rules(crook.site.host)
    crook.run("(sleep 1; poweroff) </dev/null >/dev/null 2>&1 &")
    eventually(lambda: swept(crook.site, number), "rules to go with their port")
    assert numbers_with_rules(crook.site.host) == set()
    crook.site.connection.power.start(crook.site.id, crook.vm.instance)
    ready(crook)
    crook.run(f"ip addr add {VICTIM}/24 dev eth0")
    assert not honest.hears(VICTIM)
    heard(honest, CROOK)


def restart_switch(host: Host) -> None:
    """Start the host's ovs-vswitchd anew, with the same database."""
    pid = Path("/run/openvswitch/ovs-vswitchd.pid")
    run_in(host, "ovs-appctl", "exit")
    eventually(lambda: "gone" in run_in(host, "sh", "-c", f"test -e {pid} || echo gone"), "Open vSwitch to end")
    run_in(host, "ovs-vswitchd", "unix:/run/openvswitch/db.sock", f"--pidfile={pid}", "-vconsole:off", "--detach", "--no-chdir")


@on_linux_bridges
def test_a_definition_from_before_is_guarded_when_it_starts(guests: tuple[Guest, Guest]) -> None:
    """And the filters themselves are made again, should they be gone from the host."""
    crook = guests[1]
    with_guard = crook.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    document = ET.fromstring(with_guard)
    interface = document.find("devices/interface")
    assert interface is not None
    interface.remove(interface.find("filterref"))  # type: ignore[arg-type]
    crook.domain.destroy()
    crook.site.admin.defineXML(ET.tostring(document, encoding="unicode"))
    for described in guard.FILTERS:
        crook.site.admin.nwfilterLookupByName(described.name).undefine()
    crook.site.connection.power.start(crook.site.id, crook.vm.instance)
    references = ET.fromstring(crook.domain.XMLDesc()).findall("devices/interface/filterref")
    assert [item.get("filter") for item in references] == [guard.ADDRESS_FILTER.name]
    ready(crook)
