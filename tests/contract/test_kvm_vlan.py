"""Backend Linux without VXLAN: a segment is a VLAN of the uplink, on a kernel that has VLANs, seen on the wire.

The commands are those that go over SSH elsewhere (`test_kvm_linux.py`); here they go to a lab host with a kernel of its own.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import libvirt
import pytest

from drivers.kvm.carrier import Carrier
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.mark import MarkedNIC
from drivers.kvm.network.segments import Segments
from drivers.types import Endpoint, Segment
from tests.lab import Lab, disposable
from tests.lab.complete import NAME, CompleteHost

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

VLAN, OTHER = 120, 121
GUEST, ASKER = "10.9.0.1", "10.9.0.2"
UPLINK = "vec0"

ASK = """
import socket, struct, sys, time
device, guest, asker, wanted = sys.argv[1], *map(socket.inet_aton, sys.argv[2:4]), int(sys.argv[4])
packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
packets.bind((device, 0))
packets.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes the tag out of a frame
packets.settimeout(1)
own = bytes.fromhex("020000000099")
arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, own, asker, bytes(6), guest)
end = time.monotonic() + float(sys.argv[6])
while time.monotonic() < end:
    for tag in (int(sys.argv[5]), 0, wanted):  # the one that is to be answered last
        head = bytes([255] * 6) + own + (struct.pack("!HH", 0x8100, tag) if tag else b"")
        packets.send(head + struct.pack("!H", 0x0806) + arp + bytes(18))
    try:
        while True:
            frame, more, _, _ = packets.recvmsg(2048, 256)
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", more[0][2][:20])
            if frame[12:14] == b"\\x81\\x00":
                tci, frame = struct.unpack("!H", frame[14:16])[0], frame[:12] + frame[16:]
            if frame[12:14] == b"\\x08\\x06" and frame[20:22] == b"\\x00\\x02" and frame[28:32] == guest:
                print(tci & 0xFFF)
                if tci & 0xFFF == wanted:
                    sys.exit()
    except TimeoutError:
        pass
sys.exit("no answer")
"""
"""Asks who has the guest's address, in three ways each second; prints the VLAN of each answer, up to the right one's (0: none)."""


class LabShell(Shell):
    """Has the host run the commands, without SSH."""

    def __init__(self, host: CompleteHost) -> None:
        super().__init__(Endpoint("qemu+ssh://root@host/system"), 1.0)
        self._host = host

    def run(self, command: Command, text: str = "", bridge: str = "") -> str:
        return self._host.run(f"{command.text(bridge)} <<'END'\n{text}END\n")


@dataclass
class World:
    """The host, what it is asked for, and its libvirt, which has no VM."""

    lab: Lab
    host: CompleteHost
    segments: Segments
    admin: libvirt.virConnect

    @property
    def ours(self) -> set[str]:
        return {name for name in self.host.run("ls /sys/class/net").split() if name.startswith("vireo-")}

    def plug(self) -> None:
        """A network namespace in the bridge of `VLAN` stands for a guest."""
        self.host.run(
            "set -e; ip netns add guest; ip link add port type veth peer name eth0 netns guest\n"
            f"ip -n guest address add {GUEST}/24 dev eth0; ip -n guest link set eth0 up; ip link set port master vireo-b{VLAN} up"
        )

    def unplug(self) -> None:
        self.host.run("set -e; ip link delete port; ip netns delete guest")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with disposable() as lab:
        lab.up()
        host = CompleteHost(lab)
        try:
            host.start()
            with closing(libvirt.open(host.uri)) as admin:
                yield World(lab, host, Segments(LabShell(host), 60.0), admin)
        finally:
            host.stop()


def nic(vlan: int) -> MarkedNIC:
    return MarkedNIC("front", f"02:00:00:00:00:{vlan:02x}", "shop/front", Segment(vlan), "", str(Carrier(UPLINK)))


def test_a_segment_is_a_vlan_of_the_uplink(world: World) -> None:
    world.segments.ensure([nic(VLAN), nic(OTHER)])
    assert world.ours == {f"vireo-{kind}{vlan}" for kind in "bu" for vlan in (VLAN, OTHER)}
    for vlan in (VLAN, OTHER):
        told = world.host.run(f"ip -d link show dev vireo-u{vlan}")
        assert f"vireo-u{vlan}@{UPLINK}" in told
        assert f"vlan protocol 802.1Q id {vlan} " in told
        assert f"master vireo-b{vlan} " in told
    made = world.host.run("grep . /sys/class/net/vireo-*/ifindex")
    world.segments.ensure([nic(VLAN)])
    assert world.host.run("grep . /sys/class/net/vireo-*/ifindex") == made, "what is there stays"


def test_a_guest_hears_its_vlan_alone_and_answers_in_it(world: World) -> None:
    """Who asks with another tag, or without one, gets no answer."""
    world.segments.ensure([nic(VLAN), nic(OTHER)])
    world.plug()
    argv = [sys.executable, "-c", ASK, f"{NAME}-m", GUEST, ASKER, str(VLAN), str(OTHER), "240"]
    done = subprocess.run(world.lab.command("fabric", *argv), capture_output=True, text=True)
    assert (done.returncode, set(done.stdout.split())) == (0, {str(VLAN)}), done.stderr
    world.unplug()


def test_it_goes_with_the_last_that_needs_it(world: World) -> None:
    world.segments.ensure([nic(VLAN), nic(OTHER)])
    world.plug()
    world.segments.release(world.admin)
    assert world.ours == {f"vireo-b{VLAN}", f"vireo-u{VLAN}"}, "somebody is still plugged in"
    world.unplug()
    world.segments.release(world.admin)
    assert world.ours == set()
