"""A Debian guest with the whole of cloud-init, from Template to SSH: what was declared is in it, also after a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import manifests as make

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.lab.debian import image
from tests.lab.shell import run
from tests.scenario.kvmguests import Guests, guests

# The image is built by the first test, unless the cache has it.
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(5400)]

GIB = 1 << 30
LOOK = 75.0
"""Seconds in which all VMs of a KVM host are looked at once at least."""
USER_DATA = """#cloud-config
write_files:
- {path: /etc/motto, content: "YAML in: 100%", permissions: '0640'}
runcmd:
- echo ran >> /var/log/ran
- [sh, -c, 'echo "$1" > /var/log/word', sh, "it's one 'word'"]
"""


LATER = """#cloud-config
bootcmd:
- echo booted > /var/log/booted
runcmd:
- echo again >> /var/log/ran
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guests]:
    """The VM `web`, whose guest is done with its first boot."""
    with guests(tmp_path_factory.mktemp("debian"), "debian") as world:
        world.template("debian", image())
        world.cloud.api.apply(make.offering("debian", 1, "640Mi"))
        guest: dict[str, Any] = {"hostname": "web-1", "sshKeys": [world.public_key], "userData": {"inline": USER_DATA}}
        machine: dict[str, Any] = {"offering": "debian", "template": {"name": "debian"}, "rootDisk": {"size": "2Gi"}}
        world.cloud.api.apply(make.vm("web", stopTimeout="20m", **machine, **guest))
        world.current("web")
        finish(world)
        yield world


def finish(world: Guests) -> str:
    """Wait until cloud-init is done; returns what it says."""
    return world.run("web", "cloud-init status --wait --long; true")


def test_cloud_init_is_done_without_errors(world: Guests) -> None:
    assert "status: done" in finish(world)
    result = json.loads(world.run("web", "sudo cat /run/cloud-init/result.json"))
    assert result["v1"]["errors"] == []
    assert result["v1"]["datasource"].startswith("DataSourceNoCloud")
    assert world.run("web", "sudo grep -c WARNING /var/log/cloud-init.log || true") == "0"
    assert world.run("web", "systemctl is-active cloud-final ssh qemu-guest-agent systemd-networkd | sort -u") == "active"


def test_address_route_hostname_and_key_are_those_declared(world: Guests) -> None:
    status = world.status("web")
    links = json.loads(world.run("web", "ip -json -4 address show scope global"))
    [link] = [each for each in links if each["addr_info"]]
    [nic] = status["nics"]
    assert [each["local"] for each in link["addr_info"]] == [nic["ip"]]
    assert world.run("web", f"cat /sys/class/net/{link['ifname']}/address") == nic["mac"]
    assert "default via 10.1.0.1" in world.run("web", "ip route")
    assert world.run("web", "hostname; id -un") == "web-1\ndebian"
    assert world.public_key.split()[1] in world.run("web", "cat ~/.ssh/authorized_keys")


def test_user_data_ran(world: Guests) -> None:
    assert world.run("web", "sudo cat /etc/motto; sudo stat -c %a /etc/motto") == "YAML in: 100%640"
    assert world.run("web", "cat /var/log/ran /var/log/word") == "ran\nit's one 'word'"


def test_the_root_has_grown_to_the_disk(world: Guests) -> None:
    size = int(world.run("web", "df --block-size=1 --output=size / | tail -1"))
    assert 2 * GIB * 0.9 < size < 2 * GIB
    assert image().virtual_size < GIB


def test_the_agent_tells_of_the_guest(world: Guests) -> None:
    assert world.cloud.until(lambda: agent(world).get("hostname") == "web-1", "the VM's status has the guest's name", 900)
    time.sleep(LOOK)
    assert agent(world)["hostname"] == "web-1", "looks at all VMs of the host ask no guest"


def agent(world: Guests) -> dict[str, object]:
    found: dict[str, object] = world.status("web").get("guest", {})
    return found


def test_a_restart_keeps_the_instance_and_runs_nothing_again(world: Guests) -> None:
    """Keys of the host, the instance, and what user data did once."""
    once = "cat /var/log/ran /etc/machine-id; sudo sha256sum /etc/ssh/ssh_host_*_key; cloud-init query instance_id"
    before, identity = world.run("web", once), world.identity("web")
    assert before.endswith(world.status("web")["instanceID"])
    world.run("web", "sudo rm /etc/motto; echo kept > kept; sync")
    world.restart("web")
    assert "status: done" in finish(world)
    assert world.run("web", once) == before
    assert world.run("web", "cat kept; test ! -e /etc/motto && echo absent") == "kept\nabsent"
    assert world.identity("web") == identity


def test_of_a_changed_seed_only_what_is_of_each_boot_takes_effect(world: Guests, tmp_path: Path) -> None:
    """As docs/concepts/vm-life.md has it: host name and bootcmd at the next start, keys and the rest of user data never."""
    identity, ran = world.identity("web"), world.run("web", "cat /var/log/ran; cat ~/.ssh/authorized_keys")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    other = (tmp_path / "other.pub").read_text().strip()
    world.change("web", hostname="web-2", sshKeys=[world.public_key, other], userData={"inline": LATER})
    assert world.run("web", "hostname; test -e /var/log/booted || echo not yet") == "web-1\nnot yet"
    world.restart("web")
    assert "status: done" in finish(world)
    assert world.run("web", "hostname; cat /var/log/booted") == "web-2\nbooted"
    assert world.run("web", "cat /var/log/ran; cat ~/.ssh/authorized_keys") == ran
    assert world.identity("web") == identity
