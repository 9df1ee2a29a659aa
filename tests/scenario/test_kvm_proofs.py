"""What a real guest proves of a cloud over KVM: its user changes YAML, and finds the change inside, over SSH.

| proof | test |
|---|---|
| address, hostname, key, user data | `test_address_hostname_key_and_user_data` |
| hostile key and user data | `test_a_hostile_key_and_user_data_arrive_as_they_are` |
| grown root | `test_the_root_has_grown_and_grows_while_it_runs` |
| hot-added disk | `test_a_disk_that_is_added_while_it_runs` |
| hot-added NIC | `test_a_nic_that_is_added_while_it_runs` |
| more CPUs and memory | `test_more_cpus_and_memory`: at the next restart, CPUs at once where the host accelerates guests |
| hot-added memory | `test_memory_that_is_added_while_it_runs`; all else about it: `tests/contract/test_kvm_memory.py` |
| hot-added CPU | `tests/contract/test_kvm_cpus.py`: the driver's own calls, in an emulated guest with room for it |
| data after a snapshot is restored | `test_data_is_back_after_a_restore`; with memory: `tests/contract/test_kvm_guest_data.py` |
| two networks isolated | `test_networks_with_the_same_addresses_do_not_meet`; across hosts: `test_kvm_linux_cloud.py` beside it |
| same VM after its host has rebooted | `test_the_same_vm_is_there_after_its_host_has_rebooted` |
| all of cloud-init in Debian | `tests/scenario/test_kvm_debian.py` |
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import manifests as make

libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab.guest import image  # noqa: E402
from tests.scenario.kvmguests import Guests, guests  # noqa: E402

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600)]

MIB = 1 << 20
USER_DATA = "#cloud-config\nruncmd: ['echo ran >> /root/ran']\n"
SIZE = "cat /sys/block/{}/size"
AT_LAST = "while cloud-lite status | grep -q running; do sleep 1; done"
"""Waits until the guest has done with its seed."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """The VM `web` in the network `front`; its guest has done with its seed."""
    with guests(tmp_path_factory.mktemp("proofs"), "root") as world:
        world.template("guest", image())
        world.cloud.api.apply(make.offering("one", 1, "112Mi"), make.offering("two", 2, "192Mi"))
        world.cloud.api.apply(vm(world, "web", hostname="web-1", rootDisk={"size": "200Mi"}))
        world.current("web")
        world.run("web", AT_LAST)
        yield world


def vm(world: Guests, name: str, network: str = "front", **spec: Any) -> make.Manifest:
    guest: dict[str, Any] = {
        "offering": "one",
        "template": {"name": "guest"},
        "sshKeys": [world.public_key],
        "userData": {"inline": USER_DATA},
    }
    return make.vm(name, [network], **{**guest, **spec})


def test_address_hostname_key_and_user_data(world: Guests) -> None:
    [nic] = world.status("web")["nics"]
    assert f"inet {nic['ip']}/24" in world.run("web", "ip address show dev eth0")
    assert world.run("web", "cat /sys/class/net/eth0/address") == nic["mac"]
    assert world.run("web", "hostname; cat /root/ran") == "web-1\nran"
    assert world.public_key in world.run("web", "cat /root/.ssh/authorized_keys")


HOSTILE_COMMENT = "$(touch /root/pwned) `touch /root/pwned`; 'a\"b: {x, [y]} #&<!-- %s \\n \u00e4\u202e"
HOSTILE_DATA = b"#!/bin/sh\n# " + bytes(set(range(256)) - {0, 10}) + b" $(touch /root/pwned) ]]>' %s {x}\necho ran >> /root/ran\n"
"""Every byte that a script may have in a line, most of them no UTF-8."""


def test_a_hostile_key_and_user_data_arrive_as_they_are(world: Guests) -> None:
    """Byte for byte, and nothing of them was run on the way but the script itself, once."""
    kind, body, _ = world.public_key.split(" ", 2)
    key = f"{kind} {body} {HOSTILE_COMMENT}"
    secret = {**make.secret("hostile"), "data": {"user-data": base64.b64encode(HOSTILE_DATA).decode()}}
    data = {"secretRef": {"name": "hostile", "key": "user-data"}}
    world.cloud.api.apply(secret, vm(world, "hostile", sshKeys=[world.public_key, key], userData=data))
    world.current("hostile")
    assert world.run("hostile", f"{AT_LAST}; cloud-lite status") == "status: done"
    assert world.run("hostile", "cat /root/.ssh/authorized_keys").split("\n") == [world.public_key, key]
    assert world.run("hostile", "sha256sum </run/seed/user-data").split()[0] == hashlib.sha256(HOSTILE_DATA).hexdigest()
    assert world.run("hostile", "cat /root/ran; test -e /root/pwned || echo safe") == "ran\nsafe"
    assert not Path("/root/pwned").exists(), "the machine of the controller and of the hosts"
    world.cloud.api.delete("VirtualMachine", "hostile")
    world.cloud.await_gone("VirtualMachine", "hostile")


def test_the_root_has_grown_and_grows_while_it_runs(world: Guests) -> None:
    assert image().virtual_size < 100 * MIB
    assert int(world.run("web", "df -k / | awk 'END {print $2}'")) > 150 * 1024
    boot = world.boot("web")
    world.change("web", rootDisk={"size": "256Mi"})
    world.cloud.until(lambda: world.run("web", SIZE.format("vda")) == str(256 * MIB // 512), "the guest sees the larger disk", 300)
    assert world.boot("web") == boot


def test_a_disk_that_is_added_while_it_runs(world: Guests) -> None:
    """A user finds it by the serial number that the Volume's status tells."""
    boot = world.boot("web")
    world.cloud.api.apply(make.manifest("Volume", "data", zone="z", size="16Mi"))
    world.change("web", volumes=[{"name": "data", "volume": "data"}])
    device = world.disk("web", "data")
    assert world.run("web", SIZE.format(device)) == str(16 * MIB // 512)
    world.run("web", f"printf first | dd of=/dev/{device} conv=notrunc 2>/dev/null; sync")
    assert world.boot("web") == boot


def test_a_nic_that_is_added_while_it_runs(world: Guests) -> None:
    boot = world.boot("web")
    world.network("back")
    world.change("web", networks=[{"name": name, "network": name} for name in ("front", "back")])
    _, added = world.status("web")["nics"]
    macs = "cat /sys/class/net/*/address"
    world.cloud.until(lambda: added["mac"] in world.run("web", macs), "the guest has the NIC", 300)
    world.change("web", networks=[{"name": "front", "network": "front"}])
    world.cloud.until(lambda: added["mac"] not in world.run("web", macs), "the guest has let go of it", 300)
    assert world.boot("web") == boot


def test_more_cpus_and_memory(world: Guests) -> None:
    """Memory of so small a VM comes with a restart; a CPU without one where guests are accelerated."""
    boot, before = world.boot("web"), memory(world)
    world.cloud.api.patch("VirtualMachine", "web", {"spec": {"offering": "two"}})
    world.cloud.await_reason("VirtualMachine", "web", "ChangesPending", "", type="RestartRequired")
    cpus = "grep -c ^processor /proc/cpuinfo"
    if hypervisor(world) == "KVM":
        world.cloud.until(lambda: world.run("web", cpus) == "2", "the guest has another CPU", 300)
    assert (world.run("web", cpus), world.boot("web")) == ("2" if hypervisor(world) == "KVM" else "1", boot)
    world.restart("web")
    assert world.run("web", cpus) == "2"
    assert memory(world) > before + 60 * 1024


def test_memory_that_is_added_while_it_runs(world: Guests) -> None:
    """It is the guest's at once, and still after a restart."""
    world.cloud.api.apply(make.offering("roomy", 1, "1Gi"), make.offering("roomier", 1, "1536Mi"))
    world.cloud.api.apply(vm(world, "large", offering="roomy"))
    world.current("large")
    boot, before = world.boot("large"), memory(world, "large")
    world.change("large", offering="roomier")
    world.cloud.until(lambda: memory(world, "large") > before + 400 * 1024, "the guest has the memory", 300)
    world.cloud.until(lambda: "pendingChanges" not in world.status("large"), "nothing waits for a restart", 300)
    assert world.boot("large") == boot
    world.restart("large")
    assert memory(world, "large") > before + 400 * 1024
    world.cloud.api.delete("VirtualMachine", "large")
    world.cloud.await_gone("VirtualMachine", "large")


def hypervisor(world: Guests) -> str:
    found = world.cloud.api.get("Host", "h1")
    assert found
    return str(found["status"]["hypervisor"])


def memory(world: Guests, name: str = "web") -> int:
    """KiB that the guest has."""
    return int(world.run(name, "awk '/MemTotal/ {print $2}' /proc/meminfo"))


def test_data_is_back_after_a_restore(world: Guests) -> None:
    """On the root disk and on a volume, both at one moment."""
    write(world, "first")
    world.cloud.api.apply(make.manifest("Snapshot", "before", virtualMachine="web", quiesce=True))
    world.current("before", kind="Snapshot")
    write(world, "later")
    assert read(world) == ("later", "later")
    world.change("web", powerState="Off")
    world.cloud.api.apply(make.manifest("SnapshotRestore", "undo", snapshot="before"))
    world.current("undo", kind="SnapshotRestore")
    world.change("web", powerState="On")
    assert read(world) == ("first", "first")
    world.cloud.api.delete("Snapshot", "before")
    world.cloud.await_gone("Snapshot", "before")


def write(world: Guests, word: str) -> None:
    device = world.disk("web", "data")
    world.run("web", f"echo {word} > /root/word; printf {word} | dd of=/dev/{device} conv=notrunc 2>/dev/null; sync")


def read(world: Guests) -> tuple[str, str]:
    """What is on both, past the guest's cache."""
    world.run("web", "echo 3 > /proc/sys/vm/drop_caches")
    return world.run("web", "cat /root/word"), world.run("web", f"head -c 5 /dev/{world.disk('web', 'data')}")


def test_networks_with_the_same_addresses_do_not_meet(world: Guests) -> None:
    """One address is a guest here and another there, and what is only there is not heard here."""
    world.network("back")
    address = world.status("web")["nics"][0]["ip"]
    nics = [{"name": "back", "network": "back", "ip": address}]
    world.cloud.api.apply({**(twin := vm(world, "twin", "back")), "spec": {**twin["spec"], "networks": nics}})
    world.current("twin")
    await_guest(world, "front", address, "web-1")
    await_guest(world, "back", address, "twin")
    world.change("web", powerState="Off")
    assert world.who("front", address) == "", "the guest of the other network is not heard here"
    await_guest(world, "back", address, "twin")
    world.change("web", powerState="On")
    await_guest(world, "front", address, "web-1")


def await_guest(world: Guests, network: str, address: str, name: str) -> None:
    """Wait until anybody answers at an address of a network; it must be this guest."""
    assert world.cloud.until(lambda: world.who(network, address), f"a guest answers in {network}", 300) == name


def test_the_same_vm_is_there_after_its_host_has_rebooted(world: Guests) -> None:
    boot, identity = world.boot("web"), world.identity("web")
    once = "cat /root/word /root/ran; sha256sum /etc/dropbear/key"
    before = world.run("web", once)
    world.site.hosts[0].crash()
    world.cloud.until(lambda: not reachable(world), "the host is not reached", 300)
    world.site.lab.start("h1")
    world.cloud.until(lambda: reachable(world), "the host is reached", 300)
    world.current("web")
    assert world.boot("web") != boot
    assert world.run("web", once) == before
    assert world.identity("web") == identity
    assert world.status("web")["state"] == "Running"


def reachable(world: Guests) -> bool:
    conditions = (world.cloud.api.get("Host", "h1") or {})["status"]["conditions"]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
