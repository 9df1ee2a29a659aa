"""The script of a host: shell that parses, in which nothing is missing and nothing is asked for that was not wanted."""

import subprocess
from dataclasses import replace

import pytest

from controller.hostprepare.authority import CLIENT
from controller.hostprepare.script import PLACE, script
from controller.hostprepare.wanted import Distribution, Wanted
from tests.unit.hostprepare.test_wanted import GOOD

PLAIN = replace(GOOD, bridge="", uplink="", controllers=[])
ROCKY = replace(GOOD, distribution=Distribution.ROCKY)


@pytest.mark.parametrize("wanted", [GOOD, PLAIN, ROCKY, replace(PLAIN, distribution=Distribution.ROCKY)])
def test_a_shell_understands_it(wanted: Wanted) -> None:
    done = subprocess.run(["sh", "-n"], input=script(wanted), text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set -eu" in script(wanted)


@pytest.mark.parametrize(("wanted", "daemon"), [(GOOD, "libvirtd"), (ROCKY, "virtproxyd")])
def test_only_the_controller_s_certificate_is_let_in(wanted: Wanted, daemon: str) -> None:
    text = script(wanted)
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
    text = script(GOOD)
    assert "ip saddr 198.51.100.0/28 accept" in text
    assert "ip6 saddr 2001:db8::/64 accept" in text
    assert text.index("accept\n        drop") > 0
    assert "16514" not in script(PLAIN)
    assert "--add-port=16514/tcp" in script(replace(PLAIN, distribution=Distribution.ROCKY)), "firewalld is there unasked"
    assert "--add-port" not in script(ROCKY)
    assert 'family="ipv6" source address="2001:db8::/64" port port="16514"' in script(ROCKY)


def test_a_bridge_only_if_one_is_wanted() -> None:
    assert "ovs-vsctl --may-exist add-port ovsbr0 eth1" in script(GOOD)
    assert "add-port" not in script(replace(GOOD, uplink=""))
    assert [word for word in ("ovs", "openvswitch", "ip link") if word in script(PLAIN)] == []


@pytest.mark.parametrize(("wanted", "word"), [(GOOD, "apt-get"), (ROCKY, "dnf")])
def test_each_distribution_has_its_package_manager(wanted: Wanted, word: str) -> None:
    assert {each for each in ("apt-get", "dnf") if each in script(wanted)} == {word}


def test_libvirt_is_what_starts_last() -> None:
    """Everything that it reads is in place then."""
    for wanted in (GOOD, ROCKY):
        text = script(wanted)
        assert max(map(text.index, ("install -m 600 key.pem", "# vireo: end", "install -d -m 711"))) < text.index("-tls.socket")
