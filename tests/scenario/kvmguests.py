"""Guests with an operating system in a cloud over lab hosts, seen over SSH from the router of their network."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.lab.guest import Image
from tests.lab.shell import run
from tests.scenario.kvmsite import Site, site
from tests.support.files import Served
from tests.support.live import manifests as make

PATIENCE = 900.0
"""Seconds for anything that an emulated guest does while the machine is busy."""
ROUTER = "10.1.0.1/24"
CIDR = "10.1.0.0/24"

FIND = "for d in /sys/block/sd*; do grep -qa {} $d/device/vpd_pg80 2>/dev/null && echo ${{d##*/}}; done; true"
"""A script for a guest: its name of the disk with that serial number."""


class Guests:
    """VMs whose guests are asked over SSH. `user`: who logs in."""

    def __init__(self, site: Site, key: Path, user: str) -> None:
        self.site, self.cloud, self.key, self.user = site, site.cloud, key, user

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    def template(self, name: str, image: Image) -> None:
        """Declare a Template of an image."""
        url = self.cloud.files.serve(f"/{name}.qcow2", Served(image.path.read_bytes(), f'"{image.sha256}"'))
        self.cloud.api.apply(make.template(url, f"sha256:{image.sha256}", name))

    def network(self, name: str) -> None:
        """A Network with the one range of addresses that all have here; the lab is its router."""
        self.cloud.api.apply(make.network(name, CIDR))
        self.cloud.await_current("Network", [name], PATIENCE)
        self.site.lab.add_gateway(self.vlan(name), ROUTER)

    def vlan(self, network: str) -> int:
        return int(self._get("Network", network)["status"]["segment"]["vlan"])

    def vm(self, name: str) -> make.Manifest:
        return self._get("VirtualMachine", name)

    def status(self, name: str) -> Any:
        return self.vm(name)["status"]

    def identity(self, name: str) -> object:
        """What stays for the life of a VM."""
        status = self.status(name)
        return status["instanceID"], [(nic["name"], nic["mac"], nic["ip"]) for nic in status["nics"]]

    def current(self, *names: str, kind: str = "VirtualMachine") -> None:
        self.cloud.await_current(kind, names, PATIENCE)

    def change(self, name: str, **spec: Any) -> None:
        """Change a VM, and wait until the change is done."""
        self.cloud.api.patch("VirtualMachine", name, {"spec": spec})
        self.current(name)

    def restart(self, name: str) -> None:
        """Restart a VM, and wait until it is another boot that answers."""
        before = self.boot(name)
        self.change(name, restartedAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.cloud.until(lambda: self.boot(name) != before, f"{name} has booted again", PATIENCE)

    def boot(self, name: str) -> str:
        """Which boot of the guest this is."""
        return self.run(name, "cat /proc/sys/kernel/random/boot_id")

    def run(self, name: str, script: str, network: str = "front") -> str:
        """What a script writes in a guest; tried until its SSH server answers."""
        argv = self._ssh(name, network)
        deadline = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run([*argv, script], capture_output=True, text=True, timeout=PATIENCE)
            if done.returncode != 255:
                assert done.returncode == 0, f"{script!r} in {name}: {done.stdout}{done.stderr}"
                return done.stdout.strip()
            assert time.monotonic() < deadline, f"SSH to {name}: {done.stderr}"
            time.sleep(0.2)

    def disk(self, name: str, volume: str) -> str:
        """A guest's name of a Volume that its VM has, found as users find it: by its serial number."""
        script = FIND.format(self._get("Volume", volume)["status"]["volumeID"])
        return str(self.cloud.until(lambda: self.run(name, script), f"the guest of {name} has the disk", PATIENCE))

    def who(self, network: str, address: str) -> str:
        """The host name of the guest that answers at an address of a network; "" for nobody."""
        argv = self.site.lab.ssh_command(address, self.key, self.vlan(network), self.user)
        done = subprocess.run([*argv, "hostname"], capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout.strip()

    def _ssh(self, name: str, network: str) -> list[str]:
        address = next(nic["ip"] for nic in self.status(name)["nics"] if nic["name"] == network)
        return self.site.lab.ssh_command(address, self.key, self.vlan(network), self.user)

    def _get(self, kind: str, name: str) -> make.Manifest:
        found = self.cloud.api.get(kind, name)
        assert found, f"there is no {kind} {name}"
        return found


@contextmanager
def guests(directory: Path, user: str) -> Iterator[Guests]:
    """A cloud over one lab host, with the network `front` and the controller at work."""
    with site(directory / "cloud", 1) as made:
        made.apply()
        made.cloud.controller.start()
        found = Guests(made, new_key(directory), user)
        found.network("front")
        yield found


def new_key(directory: Path) -> Path:
    """File of a new private key; the public one is beside it."""
    key = directory / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tester@example", "-f", str(key))
    return key
