"""The script of a host: shell that parses, in which nothing is missing and nothing is asked for that was not wanted."""

import configparser
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from controller.hostprepare.authority import CLIENT
from controller.hostprepare.script import PLACE, UPLINK_SERVICE, script
from controller.hostprepare.wanted import Distribution, Wanted
from tests.unit.hostprepare.test_wanted import GOOD, LOGIN

PLAIN = replace(GOOD, bridge="", uplink="", controllers=[])
ROCKY = replace(GOOD, distribution=Distribution.ROCKY)


@pytest.mark.parametrize("wanted", [GOOD, PLAIN, ROCKY, replace(PLAIN, distribution=Distribution.ROCKY)])
def test_a_shell_understands_it(wanted: Wanted) -> None:
    done = subprocess.run(["sh", "-n"], input=script(wanted, LOGIN), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set -eu" in script(wanted, LOGIN)


@pytest.mark.parametrize(("wanted", "daemon"), [(GOOD, "libvirtd"), (ROCKY, "virtproxyd")])
def test_only_the_controller_s_certificate_is_let_in(wanted: Wanted, daemon: str) -> None:
    text = script(wanted, LOGIN)
    block = text.partition(f"cat >>/etc/libvirt/{daemon}.conf <<'END'\n")[2].partition("\nEND")[0].splitlines()
    assert block == [
        "# vireo: begin",
        f'ca_file = "{PLACE}/ca.pem"',
        f'cert_file = "{PLACE}/cert.pem"',
        f'key_file = "{PLACE}/key.pem"',
        "tls_no_verify_certificate = 0",
        f'tls_allowed_dn_list = ["CN={CLIENT}"]',
        "# vireo: end",
    ]
    assert f"{daemon}-tls.socket" in text


def test_a_firewall_only_if_controllers_are_named() -> None:
    text = script(GOOD, LOGIN)
    assert "ip saddr 198.51.100.0/28 accept" in text
    assert "ip6 saddr 2001:db8::/64 accept" in text
    assert text.index("accept\n        drop") > 0
    assert "16514" not in script(PLAIN, LOGIN)
    assert "--add-port=16514/tcp" in script(replace(PLAIN, distribution=Distribution.ROCKY), LOGIN), "firewalld is there unasked"
    assert "--add-port" not in script(ROCKY, LOGIN)
    assert 'family="ipv6" source address="2001:db8::/64" port port="16514"' in script(ROCKY, LOGIN)


def test_a_bridge_only_if_one_is_wanted() -> None:
    assert "ovs-vsctl --may-exist add-port ovsbr0 eth1" in script(GOOD, LOGIN)
    assert "add-port" not in script(replace(GOOD, uplink=""), LOGIN)
    assert [word for word in ("ovs", "openvswitch", "ip link") if word in script(PLAIN, LOGIN)] == []


@pytest.mark.parametrize("wanted", [GOOD, ROCKY])
def test_the_uplink_is_on_after_a_boot_too(wanted: Wanted) -> None:
    """By a service of systemd, which tries again while the interface is not there yet."""
    text = script(wanted, LOGIN)
    unit = text.partition(f"cat >/etc/systemd/system/{UPLINK_SERVICE} <<'END'\n")[2].partition("\nEND\n")[0]
    parsed = configparser.ConfigParser()
    parsed.read_string(unit)
    assert parsed["Service"]["ExecStart"] == "ip link set eth1 up"
    assert (parsed["Service"]["Type"], parsed["Service"]["Restart"]) == ("oneshot", "on-failure")
    assert parsed["Install"]["WantedBy"] == "multi-user.target"
    begun = [
        text.index(f"systemctl {words}") for words in ("daemon-reload", f"enable {UPLINK_SERVICE}", f"restart {UPLINK_SERVICE}")
    ]
    assert begun == sorted(begun)
    assert UPLINK_SERVICE not in script(replace(wanted, uplink=""), LOGIN)


@pytest.mark.parametrize(("wanted", "word"), [(GOOD, "apt-get"), (ROCKY, "dnf")])
def test_each_distribution_has_its_package_manager(wanted: Wanted, word: str) -> None:
    assert {each for each in ("apt-get", "dnf") if each in script(wanted, LOGIN)} == {word}


def test_libvirt_is_what_starts_last() -> None:
    """Everything that it reads is in place then."""
    for wanted in (GOOD, ROCKY):
        text = script(wanted, LOGIN)
        assert max(map(text.index, ("install -m 600 key.pem", "# vireo: end", "install -d -m 711"))) < text.index("-tls.socket")


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (GOOD, f'from="192.0.2.2,198.51.100.0/28,2001:db8::/64",restrict {LOGIN}'),
        (PLAIN, f"restrict {LOGIN}"),
        (ROCKY, f'from="192.0.2.2,198.51.100.0/28,2001:db8::/64",restrict {LOGIN}'),
    ],
)
def test_the_controller_s_login_is_for_commands_from_its_addresses(wanted: Wanted, line: str) -> None:
    assert f"<<'END'\n{line}\nEND\n" in script(wanted, LOGIN)


def test_no_login_without_a_key() -> None:
    assert [word for word in ("ssh", "authorized") if word in script(GOOD, "")] == []


OURS, OTHERS = "restrict ssh-ed25519 BBBB vireo-controller", "ssh-rsa AAAA me@desk"


@pytest.mark.parametrize("before", ["", f"{OTHERS}\n", OTHERS, f"{OURS}\n", f"{OURS}\n{OTHERS}"])
def test_logins_of_others_stay_and_an_old_one_is_replaced(before: str, tmp_path: Path) -> None:
    """Its own lines of the script, run twice on a file that may lack its last line break."""
    lines = script(GOOD, LOGIN).partition("# The controller's SSH login")[2].partition("\n\n")[0].partition("\n")[2]
    file = tmp_path / ".ssh" / "authorized_keys"
    file.parent.mkdir()
    file.write_text(before)
    for _ in range(2):
        subprocess.run(["sh", "-euc", lines.replace("/root/", f"{tmp_path}/")], check=True)
    kept = [line for line in before.splitlines() if "me@desk" in line]
    assert file.read_text().splitlines() == [*kept, f'from="192.0.2.2,198.51.100.0/28,2001:db8::/64",restrict {LOGIN}']
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
