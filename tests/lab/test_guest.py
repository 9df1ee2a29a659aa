"""A real guest boots in the lab, reads its seed and is reached by SSH at its address on a VLAN."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest
import yaml

from tests.lab import Lab
from tests.lab.guest import image
from tests.lab.guests import PATIENCE, Guest, Seed, agent, connection, eventually, execute, ssh, wait_for_agent, wait_for_cloud
from tests.lab.shell import run

pytestmark = pytest.mark.lab

OVS_PORT = "<source bridge='ovsbr0'/><virtualport type='openvswitch'/><vlan><tag id='{}'/></vlan>"
ADDRESS = "10.10.0.5"
NAME_SERVICE = "nameserver 10.10.0.1\nnameserver 9.9.9.9\nsearch lab.example\n"
MOTTO = "YAML in,\n  a booted VM out: 100%\n"
USER_DATA = {
    "write_files": [
        {"path": "/etc/vireo/motto", "permissions": "0640", "content": MOTTO},
        {"path": "/opt/tool", "permissions": "0755", "encoding": "b64", "content": "IyEvYmluL3NoCmVjaG8gdG9vbCByYW4K"},
    ],
    "runcmd": ["echo $((6 * 7)) > /run/answer", ["sh", "-c", 'echo "$1" > /run/words', "sh", "it's one 'word'"], "exit 3"],
}


def network_config(mac: str, address: str) -> str:
    """Version 2, as a YAML library writes it: keys sorted, addresses before the MAC that they belong to."""
    nic = {
        "match": {"macaddress": mac},
        "addresses": [f"{address}/24", "fd00:10::5/64"],
        "routes": [{"to": "default", "via": "10.10.0.1"}],
        "nameservers": {"addresses": ["10.10.0.1", "9.9.9.9"], "search": ["lab.example"]},
        "mtu": 1400,
    }
    return yaml.safe_dump({"version": 2, "ethernets": {"primary": nic}})


def seed(name: str, key: Path, mac: str, instance: str = "i-1") -> Seed:
    public = key.with_suffix(".pub").read_text().strip()
    meta = {"instance-id": instance, "local-hostname": name, "public-keys": [public]}
    return Seed(
        {
            "meta-data": yaml.safe_dump(meta),
            "user-data": "#cloud-config\n" + yaml.safe_dump(USER_DATA),
            "network-config": network_config(mac, ADDRESS),
        }
    )


@pytest.fixture(scope="module")
def guests(lab: Lab, ssh_key: Path) -> Iterator[dict[str, libvirt.virDomain]]:
    """One guest on each host, in VLAN 10 and 20, both with the same address; the lab's router too is the same in both."""
    started = {}
    connections = [libvirt.open(host.uri) for host in lab.hosts()]
    for host, connected, vlan in zip(lab.hosts(), connections, (10, 20), strict=True):
        lab.add_gateway(vlan, "10.10.0.1/24")
        mac = f"52:54:00:00:00:{vlan}"
        guest = Guest(host, f"web{vlan}", seed(f"web{vlan}", ssh_key, mac), OVS_PORT.format(vlan), mac)
        started[guest.name] = guest.define(connected)
        started[guest.name].create()
    yield started
    for connected in connections:
        connected.close()


@pytest.fixture(scope="module")
def web(guests: dict[str, libvirt.virDomain]) -> libvirt.virDomain:
    """The guest in VLAN 10, done with its seed."""
    wait_for_cloud(guests["web10"])
    return guests["web10"]


def test_ssh_reaches_each_guest_in_its_vlan_at_the_same_address(
    lab: Lab, guests: dict[str, libvirt.virDomain], ssh_key: Path
) -> None:
    names = {vlan: ssh(lab.ssh_command(ADDRESS, ssh_key, vlan), "hostname") for vlan in (10, 20)}
    assert names == {10: "web10\n", 20: "web20\n"}


def test_megabytes_cross_the_switches_both_ways(lab: Lab, guests: dict[str, libvirt.virDomain], ssh_key: Path) -> None:
    """The guest is on h2, the router on h1: TCP with offloads over the trunk is whole."""
    argv = lab.ssh_command(ADDRESS, ssh_key, 20)
    ssh(argv, "true")
    data = bytes(range(256)) * 8192

    def there_and_back() -> subprocess.CompletedProcess[bytes] | None:
        done = subprocess.run([*argv, "cat"], input=data, capture_output=True, timeout=PATIENCE)
        return None if done.returncode == 255 and not done.stdout else done

    done = eventually(there_and_back, "a login")
    assert (done.returncode, done.stdout == data) == (0, True)


def test_network_is_as_the_seed_says(web: libvirt.virDomain) -> None:
    interfaces = {item["name"]: item for item in agent(web, "guest-network-get-interfaces")}
    found = {f"{item['ip-address']}/{item['prefix']}" for item in interfaces["eth0"]["ip-addresses"]}
    assert {f"{ADDRESS}/24", "fd00:10::5/64"} <= found
    assert "default via 10.10.0.1 dev eth0" in execute(web, "ip route")
    assert execute(web, "cat /etc/resolv.conf") == NAME_SERVICE
    assert execute(web, "cat /sys/class/net/eth0/mtu") == "1400\n"


def test_meta_data_and_user_data_take_effect(web: libvirt.virDomain) -> None:
    assert agent(web, "guest-get-host-name") == {"host-name": "web10"}
    assert execute(web, "cat /etc/vireo/motto") == MOTTO
    assert execute(web, "stat -c %a /etc/vireo/motto /opt/tool") == "640\n755\n"
    assert execute(web, "/opt/tool") == "tool ran\n"
    assert execute(web, "cat /run/answer /run/words") == "42\nit's one 'word'\n"


def test_a_failing_command_is_reported_and_stops_nothing(web: libvirt.virDomain) -> None:
    status = wait_for_cloud(web)
    assert status.splitlines() == ["status: error", "runcmd: failed: sh -c exit 3"]


def test_root_grows_to_the_disk(web: libvirt.virDomain) -> None:
    root = next(item for item in agent(web, "guest-get-fsinfo") if item["mountpoint"] == "/")
    assert root["total-bytes"] > 150 * 1024 * 1024 > image().virtual_size


def test_ssh_refuses_passwords_and_other_keys(lab: Lab, web: libvirt.virDomain, tmp_path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))

    def refused() -> bool:
        done = subprocess.run([*lab.ssh_command(ADDRESS, tmp_path / "other", 10), "true"], capture_output=True, text=True)
        assert done.returncode == 255
        return "Permission denied (publickey)" in done.stderr

    eventually(refused, "an answer of its SSH server")


def test_a_reboot_keeps_the_instance_and_its_network(lab: Lab, web: libvirt.virDomain, ssh_key: Path) -> None:
    key = execute(web, "cat /etc/dropbear/key | sha256sum")
    execute(web, "rm /opt/tool; touch /run/before")
    web.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
    eventually(lambda: execute(web, "[ -e /run/before ] || echo rebooted"), "reboot")
    assert ssh(lab.ssh_command(ADDRESS, ssh_key, 10), "ls /opt") == ""
    assert execute(web, "cat /etc/dropbear/key | sha256sum") == key
    assert execute(web, "cat /etc/resolv.conf") == NAME_SERVICE


def test_power_button_and_a_new_instance(lab: Lab, web: libvirt.virDomain, ssh_key: Path) -> None:
    """A stop by ACPI; the same disk with another instance-id is a clone: its seed counts again, its host key is new."""
    key = execute(web, "cat /etc/dropbear/key | sha256sum")
    web.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    eventually(lambda: not web.isActive(), "power button")
    seed("clone", ssh_key, "52:54:00:00:00:10", "i-2").write(lab.host("h1").local / "web10.iso")
    web.create()
    wait_for_cloud(web)
    assert execute(web, "hostname; /opt/tool") == "clone\ntool ran\n"
    assert execute(web, "cat /etc/dropbear/key | sha256sum") != key


def test_cpu_and_nic_added_while_it_runs(web: libvirt.virDomain) -> None:
    """The CPU goes on line; the NIC, which the seed does not name, is switched on and asks for an address."""
    wait_for_cloud(web)
    web.setVcpusFlags(2, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    eventually(lambda: execute(web, "grep -c ^processor /proc/cpuinfo") == "2\n", "second CPU")
    mac = "52:54:00:00:00:11"
    port = OVS_PORT.format(11)
    web.attachDeviceFlags(
        f"<interface type='bridge'>{port}<mac address='{mac}'/><model type='virtio'/></interface>", libvirt.VIR_DOMAIN_AFFECT_LIVE
    )
    eventually(lambda: execute(web, f"ip -o link | grep {mac} | grep -o LOWER_UP || true"), "second NIC")
    eventually(lambda: execute(web, "grep -s discover /run/udhcpc.eth1.log || true"), "a request for an address")


def test_a_guest_that_ignores_its_power_button(guests: dict[str, libvirt.virDomain]) -> None:
    stubborn = guests["web20"]
    wait_for_cloud(stubborn)
    execute(stubborn, "touch /etc/ignore-acpi")
    stubborn.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
    eventually(lambda: execute(stubborn, "ls /run/ignored-acpi 2>/dev/null || true"), "press of the power button")
    assert stubborn.isActive()
    wait_for_agent(stubborn)


def test_vxlan_lab_reaches_a_guest(new_lab: Lab, ssh_key: Path) -> None:
    new_lab.up(hosts=1, backend="vxlan")
    new_lab.add_vlan(10)
    new_lab.add_gateway(10, "10.10.0.1/24")
    mac = "52:54:00:00:00:10"
    with connection(new_lab.host("h1")) as connected:
        port = "<source bridge='br-vlan10'/>"
        Guest(new_lab.host("h1"), "web", seed("web", ssh_key, mac), port, mac).define(connected).create()
    assert ssh(new_lab.ssh_command(ADDRESS, ssh_key, 10), "hostname") == "web\n"


def test_uefi_boots_the_same_disk(lab: Lab) -> None:
    with connection(lab.host("h2")) as connected:
        files = {"meta-data": "instance-id: i-1\nlocal-hostname: modern\n"}
        guest = Guest(lab.host("h2"), "modern", Seed(files), uefi=True, memory_mib=256).define(connected)
        guest.create()
        assert wait_for_cloud(guest) == "status: done\n"
        assert execute(guest, "hostname; [ -d /sys/firmware/efi ] && echo UEFI") == "modern\nUEFI\n"
        guest.destroy()


def test_a_guest_whose_power_is_cut_boots_again(lab: Lab) -> None:
    """Right after its root grew and its seed was written."""
    with connection(lab.host("h2")) as connected:
        guest = Guest(lab.host("h2"), "cut", Seed({"meta-data": "instance-id: i-1\n"}), disk_mib=1000).define(connected)
        for _ in range(2):
            guest.create()
            assert wait_for_cloud(guest) == "status: done\n"
            assert int(execute(guest, "df -m / | awk 'END {print $2}'")) > 500
            guest.destroy()
