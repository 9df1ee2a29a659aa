"""The script for Rocky 9, whose commands stand here as small programs: nobody has run it on such a machine."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.hostprepare.script import PORT, script
from controller.hostprepare.wanted import Distribution
from tests.unit.hostprepare.test_wanted import GOOD, LOGIN

ROCKY = replace(GOOD, distribution=Distribution.ROCKY)


TOOLS = ("cat", "grep", "install", "mv", "sort", "tail", "touch")
"""Programs that every machine has."""


class Machine:
    """Runs parts of scripts, with no programs but `TOOLS` and its own.

    What its commands are called with is in `calls`, what they keep in files beside it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool) or tool)

    def has(self, name: str, body: str = "") -> None:
        """A command that notes its arguments, and then does what `body` says."""
        program = self.programs / name
        program.write_text(f'#!/bin/sh\nhere={self.directory}\necho "{name} $*" >>$here/calls\n{body}\n')
        program.chmod(0o755)

    @property
    def calls(self) -> Sequence[str]:
        return (self.directory / "calls").read_text().splitlines()

    def run(self, text: str, begins: str) -> None:
        """The part of a script that begins with the comment `begins`."""
        _, found, rest = text.partition(f"# {begins}")
        assert found, f"no part {begins!r}"
        part = rest.partition("\n\n")[0].partition("\n")[2]
        done = subprocess.run(["/bin/sh", "-euc", part], env={"PATH": str(self.programs)}, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


FIREWALL = """
touch $here/rules
case "$2" in
--add-rich-rule) echo "$3" >>$here/rules ;;
--remove-rich-rule) grep -vxF "$3" $here/rules >$here/rest; mv $here/rest $here/rules ;;
--list-rich-rules) cat $here/rules ;;
esac
"""
OTHERS = 'rule family="ipv4" source address="203.0.113.9" port port="22" protocol="tcp" accept'


def test_a_controller_that_moved_is_let_in_no_more_from_where_it_was(machine: Machine) -> None:
    machine.has("systemctl")
    machine.has("firewall-cmd", FIREWALL)
    (machine.directory / "rules").write_text(f"{OTHERS}\n")
    for controllers in (["192.0.2.2"], ["192.0.2.3", "2001:db8::/64"], ["192.0.2.3", "2001:db8::/64"]):
        machine.run(script(replace(ROCKY, controllers=controllers), LOGIN), "Only the controller reaches")
    assert (machine.directory / "rules").read_text().splitlines() == [
        OTHERS,
        f'rule family="ipv4" source address="192.0.2.3/32" port port="{PORT}" protocol="tcp" accept',
        f'rule family="ipv6" source address="2001:db8::/64" port port="{PORT}" protocol="tcp" accept',
    ]


def test_a_port_that_was_open_to_all_is_closed_before_the_controller_is_let_in(machine: Machine) -> None:
    machine.has("systemctl")
    machine.has("firewall-cmd", FIREWALL)
    machine.run(script(ROCKY, LOGIN), "Only the controller reaches")
    assert f"firewall-cmd --permanent --remove-port={PORT}/tcp" in machine.calls
    assert machine.calls[-1] == "firewall-cmd --reload"


REPOSITORY = """
[ "$2" = repoquery ] || exit 0
printf '%s\\n' openvswitch3.3 openvswitch3.10 openvswitch3.9-devel openvswitch3.9 openvswitch-selinux-extra-policy
"""


def test_the_newest_open_vswitch_is_installed(machine: Machine) -> None:
    """3.10 is newer than 3.9, and a package that only belongs to one is none."""
    machine.has("dnf", REPOSITORY)
    machine.run(script(ROCKY, LOGIN), "Packages")
    assert [call for call in machine.calls if "install" in call][1:] == [
        "dnf install -y centos-release-nfv-openvswitch",
        "dnf install -y openvswitch3.10",
    ]


def test_open_vswitch_that_is_there_stays(machine: Machine) -> None:
    machine.has("dnf", REPOSITORY)
    machine.has("ovs-vsctl")
    machine.run(script(ROCKY, LOGIN), "Packages")
    assert [call for call in machine.calls if "openvswitch" in call] == []


@pytest.mark.parametrize("known", ["", "exit 1"])
def test_what_is_made_in_the_pool_is_of_a_type_that_vms_may_use(machine: Machine, known: str, tmp_path: Path) -> None:
    """Also where the pattern is known already, and for a path with characters that mean something in a pattern."""
    pool = f"{tmp_path}/vm.disks+1"
    machine.has("selinuxenabled")
    machine.has("semanage", f'[ "$2" = -m ] || {known or "true"}')
    machine.has("restorecon")
    machine.run(script(replace(ROCKY, pool_path=pool), LOGIN), "Disks of VMs")
    pattern = machine.calls[1].split()[-1]
    assert re.fullmatch(pattern, pool)
    assert re.fullmatch(pattern, f"{pool}/a.qcow2")
    assert not re.fullmatch(pattern, pool.replace(".", "-").replace("+", "s"))
    assert all(" -t virt_image_t " in call for call in machine.calls if call.startswith("semanage"))
    assert machine.calls[-1] == f"restorecon {pool}"
    assert len(machine.calls) == (4 if known else 3)


def test_without_selinux_nothing_is_labelled(machine: Machine, tmp_path: Path) -> None:
    machine.has("selinuxenabled", "exit 1")
    machine.has("semanage")
    machine.has("restorecon")
    machine.run(script(replace(ROCKY, pool_path=f"{tmp_path}/pool"), LOGIN), "Disks of VMs")
    assert machine.calls == ["selinuxenabled "]
    assert "semanage" not in script(GOOD, LOGIN)
