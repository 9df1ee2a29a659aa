"""A Cluster with backend Bridge over a real host: its pattern names the bridges that an administrator makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.scenario.kvmsite import Site, interfaces, ports, site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(1800)]

GUESTS = {"backend": "Bridge", "bridge": "br-vlan{segment}"}
PATIENCE = 600.0
READY = {"NetworkReady": "True", "AddressesGuarded": "True"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A host that has the bridge of the network `front`."""
    with site(tmp_path_factory.mktemp("bridges") / "cloud", 1, "vxlan") as made:
        made.apply(guests=GUESTS)
        made.cloud.controller.start()
        made.cloud.await_current("Network", ["front"], PATIENCE)
        made.lab.add_vlan(segment(made, "front"))
        yield made


def segment(world: Site, network: str) -> int:
    found = world.cloud.api.get("Network", network)
    assert found
    return int(found["status"]["segment"]["vlan"])


def conditions(world: Site) -> dict[str, str]:
    found: dict[str, Any] = world.cloud.api.get("Host", "h1") or {}
    return {each["type"]: each["status"] for each in found.get("status", {}).get("conditions", [])}


def test_a_vm_is_on_the_bridge_of_its_segment(world: Site) -> None:
    bridge = f"br-vlan{segment(world, 'front')}"
    [host] = world.hosts
    before = ports(host, bridge)
    world.cloud.api.apply(make.vm("web"))
    world.cloud.await_current("VirtualMachine", ["web"], PATIENCE)
    vm = world.cloud.api.get("VirtualMachine", "web")
    assert vm
    [(mac, on, device)] = interfaces(host)
    assert (mac, on) == (vm["status"]["nics"][0]["mac"], bridge)
    assert ports(host, bridge) == before | {device}
    world.cloud.until(lambda: READY.items() <= conditions(world).items(), f"the host says {READY}", PATIENCE)
    world.cloud.api.delete("VirtualMachine", "web")
    world.cloud.await_gone("VirtualMachine", "web")
    assert (interfaces(host), ports(host, bridge)) == ([], before), "the administrator's bridge stays"


def test_a_bridge_that_the_host_lacks_is_named_and_the_vm_runs_once_it_is_there(world: Site) -> None:
    """Vireo makes no bridge with this backend."""
    world.cloud.api.apply(make.network("back", "10.2.0.0/24"))
    world.cloud.await_current("Network", ["back"], PATIENCE)
    vlan = segment(world, "back")
    world.cloud.api.apply(make.vm("db", ["back"]))

    def told() -> str:
        found = world.cloud.api.get("VirtualMachine", "db") or {}
        said = [each.get("message", "") for each in found.get("status", {}).get("conditions", [])]
        return next((each for each in said if f"br-vlan{vlan}" in each), "")

    world.cloud.until(told, f"the VM says that there is no br-vlan{vlan}", PATIENCE)
    world.lab.add_vlan(vlan)
    world.cloud.await_current("VirtualMachine", ["db"], PATIENCE)
    [(_, on, device)] = interfaces(world.hosts[0])
    assert (on, device in ports(world.hosts[0], on)) == (f"br-vlan{vlan}", True)
    world.cloud.api.delete("VirtualMachine", "db")
    world.cloud.await_gone("VirtualMachine", "db")
