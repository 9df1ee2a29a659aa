"""The guest's reading of its seed, by table: documents go in through the agent of one running guest."""

import json
from collections.abc import Iterator

import libvirt
import pytest
import yaml

from tests.lab import Lab
from tests.lab.guests import Guest, Seed, connection, execute, wait_for_cloud

pytestmark = pytest.mark.lab

NETWORK = """cat > /tmp/network.lua <<'END'
package.path = "/usr/share/cloud-lite/?.lua;" .. package.path
local scripts, problems = require("network").scripts(require("lyaml").load(io.read("a")))
for key, script in pairs(scripts) do io.write("== ", key, "\\n", script) end
for _, problem in ipairs(problems) do print("!! " .. problem) end
END
lua5.4 /tmp/network.lua
"""
MAC = "52:54:00:ab:cd:ef"


@pytest.fixture(scope="module")
def guest(lab: Lab) -> Iterator[libvirt.virDomain]:
    with connection(lab.host("h1")) as connected:
        domain = Guest(lab.host("h1"), "reader", Seed({"meta-data": "instance-id: i-1\n"})).define(connected)
        domain.create()
        assert wait_for_cloud(domain) == "status: done\n"
        yield domain


def scripts(guest: libvirt.virDomain, document: str) -> dict[str, list[str]]:
    """Interface to lines of its script; problems under "!!"."""
    found: dict[str, list[str]] = {}
    key = ""
    for line in execute(guest, NETWORK, document).splitlines():
        if line.startswith("== "):
            key = line[3:]
            found[key] = []
        elif line.startswith("!! "):
            found.setdefault("!!", []).append(line[3:])
        else:
            found[key].append(line)
    return found


STATIC = ["ip addr flush dev $1", "ip addr add 10.10.0.5/24 dev $1"]
ROUTED = [*STATIC, "ip route replace default via 10.10.0.1 dev $1"]


def ethernets(**settings: object) -> dict[str, object]:
    return {"version": 2, "ethernets": {"id0": {"match": {"macaddress": MAC}, **settings}}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(ethernets(addresses=["10.10.0.5/24"]), {MAC: STATIC}, id="address alone"),
        pytest.param(ethernets(addresses=["10.10.0.5/24"], gateway4="10.10.0.1"), {MAC: ROUTED}, id="gateway4"),
        pytest.param(
            ethernets(addresses=["10.10.0.5/24"], routes=[{"to": "default", "via": "10.10.0.1"}]), {MAC: ROUTED}, id="routes"
        ),
        pytest.param(
            ethernets(addresses=["10.10.0.5/24"], routes=[{"to": "0.0.0.0/0", "via": "10.10.0.1"}]),
            {MAC: ROUTED},
            id="default route by its number",
        ),
        pytest.param(
            ethernets(addresses=["10.10.0.5/24"], routes=[{"to": "10.20.0.0/16", "via": "10.10.0.9", "metric": 50}]),
            {MAC: [*STATIC, "ip route replace 10.20.0.0/16 via 10.10.0.9 dev $1 metric 50"]},
            id="route with metric",
        ),
        pytest.param(
            ethernets(addresses=["10.10.0.5/24"], nameservers={"addresses": ["9.9.9.9"], "search": ["a.example"]}, mtu=1400),
            {
                MAC: [
                    "ip link set $1 mtu 1400",
                    *STATIC,
                    "echo nameserver 9.9.9.9 >>/etc/resolv.conf",
                    "echo search a.example >>/etc/resolv.conf",
                ]
            },
            id="name servers and mtu",
        ),
        pytest.param(
            ethernets(addresses=["fd00::5/64"], gateway6="fd00::1"),
            {
                MAC: [
                    "ip addr flush dev $1",
                    "ip addr add fd00::5/64 dev $1",
                    "ip -6 route replace default via fd00::1 dev $1",
                ]
            },
            id="IPv6",
        ),
        pytest.param(ethernets(dhcp4=True), {}, id="DHCP"),
        pytest.param({"version": 2, "ethernets": {"eth0": {"addresses": ["10.10.0.5/24"]}}}, {"eth0": STATIC}, id="by name"),
        pytest.param({"network": ethernets(addresses=["10.10.0.5/24"])}, {MAC: STATIC}, id="below network"),
        pytest.param({"version": 2}, {}, id="no interface"),
        pytest.param({}, {}, id="empty"),
        pytest.param(
            {
                "version": 2,
                "ethernets": {
                    "a": {"match": {"macaddress": MAC.upper()}, "addresses": ["10.10.0.5/24"]},
                    "b": {"match": {"macaddress": "52:54:00:00:00:02"}, "addresses": ["10.10.0.5/24"], "gateway4": "10.10.0.1"},
                },
            },
            {MAC: STATIC, "52:54:00:00:00:02": ROUTED},
            id="two interfaces, a MAC in capitals",
        ),
        pytest.param(
            {
                "version": 1,
                "config": [
                    {
                        "type": "physical",
                        "name": "eth0",
                        "mac_address": MAC,
                        "subnets": [{"type": "static", "address": "10.10.0.5/24", "gateway": "10.10.0.1"}],
                    }
                ],
            },
            {MAC: ROUTED},
            id="version 1",
        ),
        pytest.param(
            {
                "version": 1,
                "config": [
                    {
                        "type": "physical",
                        "name": "eth0",
                        "subnets": [
                            {
                                "type": "static",
                                "address": "10.10.0.5",
                                "netmask": "255.255.255.0",
                                "dns_nameservers": ["9.9.9.9"],
                            }
                        ],
                    },
                    {"type": "physical", "name": "eth1", "subnets": [{"type": "dhcp"}]},
                ],
            },
            {
                "eth0": [
                    "ip addr flush dev $1",
                    "ip addr add 10.10.0.5/255.255.255.0 dev $1",
                    "echo nameserver 9.9.9.9 >>/etc/resolv.conf",
                ]
            },
            id="version 1 with netmask",
        ),
    ],
)
@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps], ids=["YAML", "JSON"])
def test_network_config(guest: libvirt.virDomain, document: object, expected: object, write: object) -> None:
    assert callable(write)
    assert scripts(guest, write(document)) == expected


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (ethernets(addresses=["10.0.0.5/24; reboot"]), "address 10.0.0.5/24; reboot is not valid"),
        (ethernets(addresses=["10.0.0.5/24"], gateway4="$(reboot)"), "gateway $(reboot) is not valid"),
        (ethernets(addresses=["10.0.0.5/24"], nameservers={"addresses": ["`reboot`"]}), "name server `reboot` is not valid"),
        (ethernets(addresses=["10.0.0.5/24"], mtu="1500\nreboot"), "mtu 1500\nreboot is not valid"),
        (ethernets(addresses=["10.0.0.5/24"], routes=[{"to": "default"}]), "gateway is missing"),
        ({"version": 2, "ethernets": {"../../etc/passwd": {"addresses": ["10.0.0.5/24"]}}}, "is not valid"),
        ({"version": 2, "ethernets": {"..": "text"}}, "network-config: ..: not a mapping"),
        ({"version": 3}, "network-config: version 3 is not 1 or 2"),
        ({"version": 2, "ethernets": "text"}, "network-config: "),
        ({"version": 1, "config": "text"}, "network-config: config is not a list"),
    ],
)
def test_bad_network_config_configures_nothing(guest: libvirt.virDomain, document: object, complaint: str) -> None:
    found = execute(guest, NETWORK, yaml.safe_dump(document))
    assert complaint in found
    assert "==" not in found


APPLY = """
rm -rf /run/seed /run/cloud-lite /var/lib/cloud/*
mkdir -p /run/seed
cat > /tmp/bundle
cd /run/seed && lua5.4 -e 'for name, text in pairs(require("lyaml").load(io.read("a"))) do
  local file = io.open(name, "wb") file:write(text) file:close() end' < /tmp/bundle
cloud-lite early; cloud-lite final; cloud-lite status
"""


def apply(guest: libvirt.virDomain, **files: str) -> str:
    """Give the guest another seed as if it had booted with it; returns what it says about it."""
    seed = {"meta-data": "instance-id: i-2\n"} | {name.replace("_", "-"): text for name, text in files.items()}
    return execute(guest, APPLY, yaml.safe_dump(seed))


DONE = "status: done\n"


def test_keys_come_from_meta_data_and_user_data(guest: libvirt.virDomain) -> None:
    meta = yaml.safe_dump({"instance-id": "i", "public-keys": {"0": {"openssh-key": "ssh-ed25519 A a"}}})
    user = "#cloud-config\n" + yaml.safe_dump({"ssh_authorized_keys": ["ssh-ed25519 B b: c # d"]})
    assert apply(guest, meta_data=meta, user_data=user) == DONE
    assert execute(guest, "cat /root/.ssh/authorized_keys") == "ssh-ed25519 A a\nssh-ed25519 B b: c # d\n"
    assert execute(guest, "stat -c %a /root/.ssh /root/.ssh/authorized_keys") == "700\n600\n"


def test_a_new_instance_without_keys_loses_those_of_the_old_one(guest: libvirt.virDomain) -> None:
    assert apply(guest) == DONE
    assert execute(guest, "cat /root/.ssh/authorized_keys") == ""


@pytest.mark.parametrize("password", ["s3cret", "with: colon", "'quotes' \"$HOME\"", "pässwörd"])
def test_passwords(guest: libvirt.virDomain, password: str) -> None:
    user = {"chpasswd": {"users": [{"name": "root", "password": password, "type": "text"}]}}
    assert apply(guest, user_data="#cloud-config\n" + yaml.safe_dump(user, allow_unicode=True)) == DONE
    salt = 'IFS="$"; set -- $(grep ^root: /etc/passwd | cut -d: -f2); echo "$3"'
    check = f'salt=$({salt}); [ "$(mkpasswd -m sha512 -S "$salt" "$(cat)")" = "$(grep ^root: /etc/passwd | cut -d: -f2)" ]'
    execute(guest, check, password)


@pytest.mark.parametrize(
    "content",
    ["plain", "tail\n\n", "tab\tand  spaces\n", "$(date) `date` \\n %s 'x' \"y\"\n", "äöü ☃\n", ": - #\n", "", "-n\n"],
)
def test_written_files_are_exact(guest: libvirt.virDomain, content: str) -> None:
    user = {"write_files": [{"path": "/tmp/new dir/it's", "content": content, "permissions": 0o600}]}
    assert apply(guest, user_data="#cloud-config\n" + yaml.safe_dump(user, allow_unicode=True)) == DONE
    assert execute(guest, 'cat "/tmp/new dir/it\'s"') == content
    assert execute(guest, 'stat -c %a "/tmp/new dir/it\'s"') == "600\n"


def test_files_are_there_before_anybody_can_log_in(guest: libvirt.virDomain) -> None:
    """That is what the boot does between the two stages; commands of the user come after it."""
    execute(guest, "rm -f /tmp/early /tmp/late")
    user = {"write_files": [{"path": "/tmp/early", "content": "here"}], "runcmd": ["touch /tmp/late"]}
    stages = APPLY.replace("cloud-lite early;", "cloud-lite early; cat /tmp/early; test -e /tmp/late || echo;")
    seed = {"meta-data": "instance-id: i-4\n", "user-data": "#cloud-config\n" + yaml.safe_dump(user)}
    assert execute(guest, stages, yaml.safe_dump(seed)) == f"here\n{DONE}"
    execute(guest, "test -e /tmp/late")


def test_compressed_and_appended_files(guest: libvirt.virDomain) -> None:
    execute(guest, "rm -f /tmp/log")
    entry = {"path": "/tmp/log", "encoding": "gz+b64", "append": True}
    packed = execute(guest, "gzip -c | base64", "line\n")
    user = {"write_files": [{**entry, "content": packed}, {**entry, "content": packed}]}
    assert apply(guest, user_data="#cloud-config\n" + yaml.safe_dump(user)) == DONE
    assert execute(guest, "cat /tmp/log") == "line\nline\n"


def test_a_script_is_user_data_too(guest: libvirt.virDomain) -> None:
    assert apply(guest, user_data='#!/bin/sh\necho "$0 ran" > /tmp/ran\n') == DONE
    assert execute(guest, "cat /tmp/ran") == "/var/lib/cloud/script-2 ran\n"


def test_a_users_key_wins_over_the_vendors_and_both_scripts_of_one_run(guest: libvirt.virDomain) -> None:
    vendor = "#cloud-config\nhostname: vendor\nruncmd: [touch /tmp/vendor-was-here]\n"
    assert apply(guest, vendor_data=vendor, user_data="#cloud-config\nhostname: user\n") == DONE
    assert execute(guest, "hostname; rm /tmp/vendor-was-here && echo removed") == "user\nremoved\n"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"user_data": "just text"}, "user-data: begins with neither #! nor #cloud-config, ignored"),
        ({"user_data": "#cloud-config\na: [unclosed"}, "user-data: "),
        ({"user_data": "#cloud-config\n- a list\n- of words\n"}, None),
        ({"user_data": "#cloud-config\nplain words\n"}, "user-data: not a mapping"),
        ({"user_data": "#cloud-config\nhostname: a b; reboot\n"}, "hostname: host name a b; reboot is not valid"),
        ({"user_data": "#cloud-config\nwrite_files: [{content: x}]\n"}, "write_files: "),
        ({"user_data": "#cloud-config\nwrite_files: [{path: /tmp/x, encoding: rot13}]\n"}, "encoding rot13 is not known"),
        ({"user_data": "#cloud-config\nwrite_files: [{path: /proc/x/y, content: z}]\n"}, "/proc/x/y: not written"),
        ({"user_data": "#cloud-config\nruncmd: [no-such-command]\n"}, "runcmd: failed: sh -c no-such-command"),
        ({"network_config": "version: 7\n"}, "network-config: version 7 is not 1 or 2"),
        ({"network_config": "{"}, "network-config: "),
    ],
)
def test_what_cannot_be_used_is_reported(guest: libvirt.virDomain, files: dict[str, str], complaint: str | None) -> None:
    said = apply(guest, **files)
    if complaint is None:
        assert said == DONE
        return
    assert said.startswith("status: error\n")
    assert complaint in said


@pytest.mark.parametrize("text", ["#cloud-config", "#cloud-config\n", "", "\n", "#cloud-config\n# only a comment\n"])
def test_empty_user_data_is_fine(guest: libvirt.virDomain, text: str) -> None:
    assert apply(guest, user_data=text) == DONE


def test_a_megabyte_of_user_data(guest: libvirt.virDomain) -> None:
    execute(guest, "head -c 700000 /dev/zero | tr '\\0' x > /tmp/big")
    written = "instance-id: i-3\n"
    user = "{ printf '#cloud-config\\nwrite_files:\\n- path: /tmp/copy\\n  content: '; cat /tmp/big; } > /run/seed/user-data"
    execute(guest, f"rm -rf /run/seed /run/cloud-lite; mkdir /run/seed; echo {written.strip()!r} > /run/seed/meta-data; {user}")
    assert execute(guest, "cloud-lite early; cloud-lite final; cloud-lite status; cmp /tmp/big /tmp/copy") == DONE
