"""Domain XML as libvirt writes it, with what others did to it, → ObservedVM."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt
import pytest

from drivers.kvm import mark
from drivers.kvm.domain import memory, observe
from drivers.kvm.domain.build import build
from drivers.kvm.domain.memory import BLOCK
from drivers.kvm.domain.observe import Documents, Key
from drivers.kvm.xmltext import parse
from drivers.types import DiskFailure, GuestInfo, ObservedVM, Power, Segment, Unplugged
from tests.unit.kvm.domain.test_build import BRIDGE, INSTANCE, NIC, VM
from tests.unit.kvm.fakes import HOST

GIB = 1 << 30
SECOND = replace(NIC, name="eth1", mac="02:00:00:00:00:02", segment=Segment(20))

STATES = [
    (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED, Power.ON),
    (libvirt.VIR_DOMAIN_BLOCKED, 0, Power.ON),
    (libvirt.VIR_DOMAIN_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTDOWN_USER, Power.ON),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER, Power.PAUSED),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR, Power.PAUSED),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, Power.ON),
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_CRASHED, Power.CRASHED),
    (libvirt.VIR_DOMAIN_PMSUSPENDED, 0, Power.PAUSED),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN, Power.OFF),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, Power.OFF),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED, Power.OFF),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FAILED, Power.OFF),
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, Power.OFF),
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED, Power.CRASHED),
    (libvirt.VIR_DOMAIN_NOSTATE, 0, Power.UNKNOWN),
    (99, 99, Power.UNKNOWN),
]


@pytest.mark.parametrize(("state", "reason", "power"), STATES)
def test_power(state: int, reason: int, power: Power) -> None:
    assert observe.power(state, reason) is power


def suspended(reason: int, errors: dict[str, int] | None = None, root: ET.Element | None = None) -> tuple[DiskFailure, ...]:
    """Failures of a VM that was suspended for that reason; `errors` by device are what QEMU says of them."""
    document = domain() if root is None else root
    found = observe.observe(Documents(document, document, libvirt.VIR_DOMAIN_PAUSED, reason, errors=errors or {}), HOST.host)
    assert found is not None
    assert found.power is Power.PAUSED
    return found.failures


NO_SPACE, OTHER = libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE, libvirt.VIR_DOMAIN_DISK_ERROR_UNSPEC


def test_which_disk_has_failed_and_why() -> None:
    assert suspended(libvirt.VIR_DOMAIN_PAUSED_IOERROR, {"vda": NO_SPACE}) == (DiskFailure("root", "local", full=True),)
    assert suspended(libvirt.VIR_DOMAIN_PAUSED_IOERROR, {"vda": OTHER}) == (DiskFailure("root", "local"),)
    assert suspended(libvirt.VIR_DOMAIN_PAUSED_IOERROR, {"vdx": OTHER}) == (DiskFailure("vdx"),), "somebody else's"


def test_that_a_disk_has_failed_is_known_where_qemu_was_not_asked() -> None:
    assert suspended(libvirt.VIR_DOMAIN_PAUSED_IOERROR) == (DiskFailure(),)


@pytest.mark.parametrize(
    "reason", [libvirt.VIR_DOMAIN_PAUSED_USER, libvirt.VIR_DOMAIN_PAUSED_UNKNOWN, libvirt.VIR_DOMAIN_PAUSED_MIGRATION]
)
def test_a_vm_that_somebody_suspended_has_no_failure(reason: int) -> None:
    assert suspended(reason, {"vda": NO_SPACE}) == ()


def running(inactive: ET.Element | None = None, live: ET.Element | None = None) -> ObservedVM:
    """What is seen of the VM while it runs with `live` and has `inactive` for its next start."""
    state = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)
    both = (domain() if document is None else document for document in (inactive, live))
    found = observe.observe(Documents(*both, *state), HOST.host)
    assert found is not None
    return found


def domain(**changes: object) -> ET.Element:
    return build(replace(VM, **changes), HOST)  # type: ignore[arg-type]


def devices(root: ET.Element) -> ET.Element:
    found = root.find("devices")
    assert found is not None
    return found


def without_nics(root: ET.Element) -> ET.Element:
    """The mark says what it said; the devices are gone."""
    for item in devices(root).findall("interface"):
        devices(root).remove(item)
    return root


def test_a_domain_without_our_mark_is_nobody_we_know() -> None:
    root = domain()
    root.remove(root.find("metadata"))  # type: ignore[arg-type]
    assert observe.observe(Documents(root, None, 5, 0), HOST.host) is None


def test_a_mark_without_an_owner_is_no_mark() -> None:
    root = domain()
    del root.find("metadata")[0].attrib["uid"]  # type: ignore[index]
    assert observe.observe(Documents(root, None, 5, 0), HOST.host) is None


def test_somebody_else_s_metadata_is_no_mark() -> None:
    root = parse("<domain><metadata><vm xmlns='https://other.example/1' uid='1'/></metadata></domain>")
    assert observe.observe(Documents(root, None, 5, 0), HOST.host) is None


def test_next_start_and_present_are_told_apart() -> None:
    seen = running(domain(cpus=9, memory=1 << 30), domain(cpus=2, memory=512 << 20))
    assert (seen.cpus, seen.running_cpus, seen.memory, seen.running_memory) == (9, 2, 1 << 30, 512 << 20)


def test_a_vm_that_is_off_runs_with_what_it_will_start_with() -> None:
    seen = observe.observe(Documents(domain(cpus=9), None, 5, 0), HOST.host)
    assert seen is not None
    assert (seen.cpus, seen.running_cpus) == (9, 9)


def test_the_name_is_that_of_the_domain_also_after_somebody_renamed_it() -> None:
    root = domain()
    assert running(root, root).name == root.findtext("name")
    renamed = domain()
    name = renamed.find("name")
    assert name is not None
    name.text = "by-hand"
    found = observe.observe(Documents(renamed, None, libvirt.VIR_DOMAIN_SHUTOFF, 0), HOST.host)
    assert found is not None
    assert (found.name, found.instance, found.owner) == ("by-hand", INSTANCE, VM.owner)


def test_disks_and_nics_of_others_are_named_and_not_ours() -> None:
    live = domain()
    for text in (
        "<disk type='file' device='disk'><source file='/srv/other.raw'/><target dev='vdb' bus='virtio'/></disk>",
        f"<disk type='file' device='disk'><source file='/srv/{INSTANCE}-x.qcow2'/><target dev='vdc' bus='virtio'/></disk>",
        "<disk type='network' device='disk'><source protocol='nbd' name='x'/><target dev='vdd' bus='virtio'/></disk>",
        "<interface type='network'><mac address='52:54:00:00:00:01'/></interface>",
    ):
        devices(live).append(parse(text))
    seen = running(live=live)
    assert seen.foreign_devices == ("vdb", "vdc", "vdd", "52:54:00:00:00:01")
    assert [disk.name for disk in seen.disks] == ["root"]
    assert [nic.name for nic in seen.nics] == ["eth0"]


def test_a_disk_that_was_swapped_for_another_file_is_not_ours() -> None:
    live = domain()
    live.find("devices/disk/source").set("file", "/srv/other.qcow2")  # type: ignore[union-attr]
    seen = running(live=live)
    assert (seen.disks, seen.foreign_devices) == ((), ("vda",))


@pytest.mark.parametrize(("path", "foreign"), [(f"/srv/vireo/{INSTANCE}-seed-00.iso", ()), ("/srv/other.iso", ("vdzz",))])
def test_the_seed_is_ours_unless_it_is_another_file(path: str, foreign: tuple[str, ...]) -> None:
    assert running(live=build(VM, HOST, path)).foreign_devices == foreign


def test_a_mac_is_the_same_in_capitals() -> None:
    live = domain()
    live.find("devices/interface/mac").set("address", NIC.mac.upper())  # type: ignore[union-attr]
    assert running(live=live).nics[0].mac == NIC.mac


def test_on_a_linux_bridge_the_mark_knows_the_segment() -> None:
    nic = replace(NIC, attachment=BRIDGE)
    assert running(domain(nics=(nic,)), domain(nics=(nic,))).nics[0].segment == Segment(10)


def test_a_nic_that_is_in_the_mark_only_is_not_there() -> None:
    assert running(without_nics(domain()), without_nics(domain())).nics == ()


def test_a_nic_of_the_next_start_only_is_not_there_yet() -> None:
    assert [nic.name for nic in running(domain(nics=(NIC, SECOND)), domain()).nics] == ["eth0"]


def test_a_nic_that_was_detached_and_not_released_is_gone_and_not_foreign() -> None:
    live = domain()
    observe.cut_link(live.find("devices/interface"))  # type: ignore[arg-type]
    seen = running(without_nics(domain()), live)
    assert (seen.nics, seen.foreign_devices) == ((), ())


def test_a_nic_whose_cable_somebody_pulled_is_still_there() -> None:
    live = domain()
    observe.cut_link(live.find("devices/interface"))  # type: ignore[arg-type]
    assert [nic.name for nic in running(domain(), live).nics] == ["eth0"]


def test_cutting_twice_leaves_one_link() -> None:
    item = parse("<interface><link state='up'/></interface>")
    observe.cut_link(item)
    observe.cut_link(item)
    assert [link.attrib for link in item.iterfind("link")] == [{"state": "down"}]


@pytest.mark.parametrize(("state", "connected"), [("connected", True), ("disconnected", False), (None, False)])
def test_the_agent_is_there_when_it_holds_its_end_of_the_channel(state: str | None, connected: bool) -> None:
    live = domain()
    target = live.find("devices/channel/target")
    assert target is not None
    if state:
        target.set("state", state)
    assert running(live=live).guest == GuestInfo(agent=connected)


def test_other_channels_are_not_the_agent() -> None:
    live = domain()
    devices(live).append(
        parse("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' state='connected'/></channel>")
    )
    assert running(live=live).guest.agent is False


ROOMY = replace(HOST, adds_memory=True)


def grown(given: int, taken: int, *, asked: int = 2 * GIB, adopted: bool = False) -> ObservedVM:
    """What is seen of a VM of 1 GiB with a device that gives `given` bytes, of which its guest has `taken`."""
    inactive, live = (build(replace(VM, memory=size), ROOMY) for size in (asked, GIB))
    now = memory.read(live)
    device = memory.device(now, given)
    target = device.find("target")
    assert target is not None
    target.append(parse(f"<current unit='KiB'>{taken >> 10}</current>"))
    devices(live).append(device)
    live.find("memory").text = str((now.base + now.room) >> 10)  # type: ignore[union-attr]
    for root in (inactive, live):
        known = mark.read(root)
        assert known is not None
        mark.write(root, replace(known, memory=asked, adopted=adopted))
    return running(inactive, live)


@pytest.mark.parametrize(
    ("given", "taken", "has", "offered"),
    [
        (0, 0, GIB, 0),
        (GIB, 0, GIB, 2 * GIB),
        (GIB, GIB // 2, GIB + GIB // 2, 2 * GIB),
        (GIB, GIB, 2 * GIB, 0),
        (0, GIB, 2 * GIB, 0),
    ],
)
def test_memory_that_was_given_and_what_the_guest_has_of_it(given: int, taken: int, has: int, offered: int) -> None:
    seen = grown(given, taken)
    assert (seen.memory, seen.running_memory, seen.offered_memory, seen.most_memory) == (2 * GIB, has, offered, 4 * GIB)


def test_memory_in_blocks_is_seen_as_it_was_asked_for() -> None:
    """Otherwise a caller would give it again for ever."""
    asked = GIB + 3 * (1 << 20) + 5
    seen = grown(2 * BLOCK, 2 * BLOCK, asked=asked)
    assert (seen.memory, seen.running_memory) == (asked, asked)
    assert grown(2 * BLOCK, BLOCK, asked=asked).offered_memory == asked


def ballooned(size: int, current: int, *, adopted: bool = False, room: bool = True) -> ObservedVM:
    """What is seen of a VM that is off after `virsh setmem --config`."""
    root = build(replace(VM, memory=size), ROOMY if room else HOST)
    known = mark.read(root)
    assert known is not None
    mark.write(root, replace(known, memory=size, adopted=adopted))
    root.find("currentMemory").text = str(current >> 10)  # type: ignore[union-attr]
    seen = observe.observe(Documents(root, None, 5, 0), HOST.host)
    assert seen is not None
    return seen


@pytest.mark.parametrize("room", [False, True])
@pytest.mark.parametrize("current", [GIB, 2 * GIB - BLOCK, 3 * GIB])
def test_what_the_balloon_takes_at_the_next_start_the_guest_has_not(current: int, room: bool) -> None:
    assert ballooned(2 * GIB, current, room=room).memory == min(current, 2 * GIB)


def test_an_adopted_vm_keeps_its_balloon() -> None:
    assert ballooned(2 * GIB, GIB, adopted=True).memory == 2 * GIB


def test_memory_of_the_next_start_that_was_changed_by_hand_is_told_of_one_that_runs() -> None:
    later = domain(memory=2 * GIB)
    later.find("currentMemory").text = str(GIB >> 10)  # type: ignore[union-attr]
    seen = running(later, domain(memory=2 * GIB))
    assert (seen.memory, seen.running_memory) == (GIB, 2 * GIB)


def test_a_vm_that_others_made_is_given_no_memory_while_it_runs() -> None:
    assert grown(0, 0, adopted=True).most_memory == 0


def test_one_that_is_off_has_no_room() -> None:
    seen = observe.observe(Documents(build(replace(VM, memory=GIB), ROOMY), None, 5, 0), HOST.host)
    assert seen is not None
    assert (seen.memory, seen.running_memory, seen.most_memory, seen.offered_memory) == (GIB, GIB, 0, 0)


def test_a_nic_in_the_air_is_told_of_in_the_run_in_which_it_was_found() -> None:
    found = Unplugged("bridge ovsbr0, vlan-10", missing=True)

    def seen(live: ET.Element | None, *state: int) -> Unplugged | None:
        told = observe.observe(Documents(domain(), live, *state), HOST.host, {Key(INSTANCE, "3", "vnet0"): found})
        assert told is not None
        return told.nics[0].unplugged

    def live(run: str, device: str) -> ET.Element:
        root = domain()
        root.set("id", run)
        ET.SubElement(devices(root).findall("interface")[0], "target", {"dev": device})
        return root

    on = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)
    assert seen(live("3", "vnet0"), *on) == found
    assert seen(live("3", "vnet1"), *on) is None
    assert seen(live("4", "vnet0"), *on) is None, "it was started anew since"
    assert seen(None, libvirt.VIR_DOMAIN_SHUTOFF, 0) is None
