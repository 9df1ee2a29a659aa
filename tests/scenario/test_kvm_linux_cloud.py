"""A Cluster with backend Linux over two real hosts: guests of two networks with the same addresses, on VXLANs that Vireo makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab.fabric import VXLAN_GROUP
from tests.lab.guest import image
from tests.lab.host import Host
from tests.scenario.kvmguests import PATIENCE, Guests, new_key
from tests.scenario.kvmremote import Remote, remote_site
from tests.scenario.kvmsite import interfaces, links, ports

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

BACKEND = {"backend": "Linux", "uplink": "trunk0", "vxlan": {"group": VXLAN_GROUP}}
"""The lab's routers are in the same VXLANs."""
ONE, TWO = "10.1.0.11", "10.1.0.12"
VMS = {
    "front-1": ("front", "h1", ONE),
    "front-2": ("front", "h2", TWO),
    "back-1": ("back", "h2", ONE),
    "back-2": ("back", "h1", TWO),
}
"""Network, host and address: each host has a guest of each network, each network has both addresses, the other way round."""
FRAME = 1472
"""Bytes of a ping that fill a guest's packet of 1500."""
HEAR = f"""ip neigh flush dev eth0 >/dev/null
for n in $(seq 60); do ping -c 1 -W 2 -s {FRAME} {{}} >/dev/null && exec ip neigh show; done; exit 1"""
"""A script for a guest: whom it knows once an address has answered, asked afresh."""
ASK = "ip neigh flush dev eth0 >/dev/null; for n in 1 2 3; do ping -c 1 -W 2 {} >/dev/null && {{ echo yes; break; }}; done; true"


@dataclass(frozen=True)
class World:
    """Two hosts, and the guests on them."""

    remote: Remote
    guests: Guests

    def host(self, name: str) -> Host:
        return self.remote.site.lab.host(name)

    def mac(self, name: str) -> str:
        return str(self.guests.status(name)["nics"][0]["mac"])

    def run(self, name: str, script: str) -> str:
        return self.guests.run(name, script, VMS[name][0])

    def of(self, *networks: str) -> set[str]:
        """Names of what Vireo makes on a host for these networks."""
        return {f"vireo-{kind}{self.guests.vlan(network)}" for network in networks for kind in "bu"}

    def have(self, **networks: list[str]) -> bool:
        """Whether each host has what Vireo makes for these networks, and nothing else."""
        return all(set(links(self.host(host))) == self.of(*names) for host, names in networks.items())

    def delete(self, *names: str) -> None:
        for name in names:
            self.guests.cloud.api.delete("VirtualMachine", name)
        self.guests.cloud.until(
            lambda: not {each["metadata"]["name"] for each in self.guests.cloud.api.list("VirtualMachine")} & set(names),
            f"{names} are gone",
            PATIENCE,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All VMs run."""
    directory = tmp_path_factory.mktemp("linux")
    with remote_site(directory, 2, "vxlan") as remote:
        remote.apply(BACKEND)
        remote.site.cloud.controller.start()
        guests = Guests(remote.site, new_key(directory), "root")
        guests.template("guest", image())
        guests.cloud.api.apply(make.offering("one", 1, "112Mi"))
        for network in ("front", "back"):
            guests.network(network)
        guests.cloud.api.apply(*(vm(guests, name) for name in VMS))
        guests.current(*VMS)
        yield World(remote, guests)


def vm(guests: Guests, name: str) -> make.Manifest:
    network, host, address = VMS[name]
    nic = {"name": network, "network": network, "ip": address}
    login: dict[str, Any] = {"template": {"name": "guest"}, "sshKeys": [guests.public_key]}
    return make.vm(name, [nic], offering="one", placement={"host": host}, **login)


def test_guests_of_a_network_talk_across_hosts_and_know_no_others(world: World) -> None:
    """With packets as large as they may be; who answers at the same address is told by its MAC."""
    for here, there, other in (("front-1", "front-2", "back-2"), ("back-1", "back-2", "front-2")):
        known = world.run(here, HEAR.format(VMS[there][2]))
        assert (world.mac(there) in known, world.mac(other) in known) == (True, False), known
        assert world.run(there, "hostname") == there


def test_each_host_has_a_bridge_and_a_vxlan_for_each_network(world: World) -> None:
    for name in ("h1", "h2"):
        host = world.host(name)
        found, plugged = links(host), {mac: (bridge, device) for mac, bridge, device in interfaces(host)}
        assert set(found) == world.of("front", "back")
        for vm in (each for each in VMS if VMS[each][1] == name):
            vlan = world.guests.vlan(VMS[vm][0])
            out = found[f"vireo-u{vlan}"]
            data = out["linkinfo"]["info_data"]
            assert (out["linkinfo"]["info_kind"], out["master"]) == ("vxlan", f"vireo-b{vlan}")
            assert (data["id"], data["group"], data["link"], data["port"]) == (vlan, VXLAN_GROUP, "trunk0", 4789)
            bridge, device = plugged[world.mac(vm)]
            assert (bridge, ports(host, bridge)) == (f"vireo-b{vlan}", {f"vireo-u{vlan}", device})


def test_the_hosts_say_that_they_have_it_and_guard_addresses(world: World) -> None:
    for name in ("h1", "h2"):
        status = (world.guests.cloud.api.get("Host", name) or {})["status"]
        told = {each["type"]: each["status"] for each in status["conditions"]}
        assert (told["Ready"], told["NetworkReady"], told["AddressesGuarded"]) == ("True", "True", "True"), status


def test_nobody_answers_for_a_guest_of_the_other_network(world: World) -> None:
    """A VM that is off keeps its segment on its host, where the other network's guest is heard all the time."""
    world.guests.change("front-2", powerState="Off")
    assert world.run("front-1", ASK.format(TWO)) == ""
    assert world.mac("back-2") in world.run("back-1", HEAR.format(TWO))
    assert world.have(h1=["front", "back"], h2=["front", "back"])
    world.guests.change("front-2", powerState="On")
    assert world.mac("front-2") in world.run("front-1", HEAR.format(TWO))


def test_a_network_comes_and_goes_under_a_vm_that_runs(world: World) -> None:
    boot = world.run("front-1", "cat /proc/sys/kernel/random/boot_id")
    world.guests.network("side")
    nics = {name: {"name": name, "network": name} for name in ("front", "side")}
    nics["front"]["ip"] = ONE
    world.guests.change("front-1", networks=list(nics.values()))
    assert world.have(h1=["front", "back", "side"], h2=["front", "back"])
    world.guests.change("front-1", networks=[nics["front"]])
    world.guests.cloud.until(lambda: world.have(h1=["front", "back"], h2=["front", "back"]), "side is gone from h1", PATIENCE)
    assert world.run("front-1", "cat /proc/sys/kernel/random/boot_id") == boot


def test_after_a_reboot_of_a_host_its_vms_are_in_their_networks_again(world: World) -> None:
    world.remote.reboot("h1")
    world.guests.cloud.until(lambda: world.have(h1=["front", "back"]), "h1 has both segments again", PATIENCE)
    world.guests.current(*VMS)
    assert world.mac("front-1") in world.run("front-2", HEAR.format(ONE))
    assert world.mac("back-2") in world.run("back-1", HEAR.format(TWO))


def test_a_segment_goes_from_a_host_with_the_last_vm_of_its_network(world: World) -> None:
    """Also where another controller than the one that had made it deletes the VM."""
    controller = world.guests.cloud.controller
    controller.kill()
    controller.start()
    world.delete("front-2")
    assert world.have(h1=["front", "back"], h2=["back"])
    assert world.run("front-1", "hostname") == "front-1", "its network goes on where it has a VM"
    world.delete("front-1")
    assert world.have(h1=["back"], h2=["back"])
    assert world.mac("back-2") in world.run("back-1", HEAR.format(TWO))
    world.delete("back-1", "back-2")
    assert world.have(h1=[], h2=[])
