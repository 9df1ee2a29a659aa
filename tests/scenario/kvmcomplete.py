"""A cloud over one host with a kernel of its own, for pools that the kernel of the tests cannot carry; its VM is `web`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.lab import Lab, disposable
from tests.lab.complete import NAME, CompleteHost
from tests.lab.guest import image
from tests.lab.guests import eventually, execute
from tests.scenario.kvmguests import FIND
from tests.support.files import Served
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make

MARKS = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(5400)]
PATIENCE = 1800.0
"""Seconds for anything on a host that is five times slower than a busy machine."""
ROOT = "160Mi"
"""The root disk: larger than its image, and a multiple of what LVM gives out."""


@dataclass(frozen=True)
class Complete:
    """The cloud, its host, and the directory on it that is the path of its pool."""

    cloud: LiveCloud
    lab: Lab
    host: CompleteHost
    directory: Path

    def get(self, kind: str, name: str) -> Any:
        found = self.cloud.api.get(kind, name)
        assert found, f"there is no {kind} {name}"
        return found

    def current(self, kind: str, *names: str) -> None:
        self.cloud.await_current(kind, names, PATIENCE)

    def change(self, **spec: Any) -> None:
        """Change `web`, and wait until the change is done."""
        self.cloud.api.patch("VirtualMachine", "web", {"spec": spec})
        self.current("VirtualMachine", "web")

    def delete(self, kind: str, name: str) -> None:
        """Have it gone."""
        self.cloud.api.delete(kind, name)
        self.gone(kind, name)

    def gone(self, kind: str, name: str) -> None:
        """Wait until it is gone."""
        self.cloud.until(lambda: self.cloud.api.get(kind, name) is None, f"{kind} {name} is gone", PATIENCE)

    def run(self, script: str) -> str:
        """What a script prints in the guest of `web`, by its agent."""
        with closing(libvirt.open(self.host.uri)) as admin:
            domain = admin.lookupByUUIDString(self.get("VirtualMachine", "web")["status"]["instanceID"])
            [text] = eventually(lambda: [execute(domain, script)], script, PATIENCE)
            return text.strip()

    def disk(self, volume: str) -> str:
        """The guest's name of a Volume, found by its serial number."""
        script = FIND.format(self.get("Volume", volume)["status"]["volumeID"])
        return str(self.cloud.until(lambda: self.run(script), f"the guest has {volume}", PATIENCE))

    def write(self, word: str, volume: str) -> None:
        """To the root disk, and to a volume."""
        self.run(f"echo {word} > /root/word; printf {word} | dd of=/dev/{self.disk(volume)} conv=notrunc 2>/dev/null; sync")

    def read(self, volume: str) -> tuple[str, str]:
        """The words of five letters that are on both, past the guest's cache."""
        self.run("echo 3 > /proc/sys/vm/drop_caches")
        return self.run("cat /root/word"), self.run(f"head -c 5 /dev/{self.disk(volume)}")

    def pools(self) -> set[str]:
        """The host's pools, by libvirt's names."""
        with closing(libvirt.open(self.host.uri)) as admin:
            return {pool.name() for pool in admin.listAllStoragePools()}

    def domains(self) -> list[str]:
        """XML of the host's domains."""
        with closing(libvirt.open(self.host.uri)) as admin:
            return [each.XMLDesc() for each in admin.listAllDomains()]


@contextmanager
def complete(directory: Path, path: str) -> Iterator[Complete]:
    """The host is declared, and the controller at work; no pool is there. path: of the pool's directory, below the host's own."""
    with disposable() as lab, live_cloud(directory, hosts=1) as cloud:
        lab.up(hosts=1)
        host = CompleteHost(lab)
        host.start()
        guests = {"backend": "Bridge", "bridge": "br{segment}"}
        cloud.api.apply(
            *(make.zone(), make.manifest("Pod", "p", zone="z")),
            make.manifest("Cluster", "c", zone="z", pod="p", hypervisor="KVM", guestNetwork=guests, overcommit={"cpu": "99"}),
            make.host(NAME, host.uri),
            make.offering("one", 1, "96Mi"),
        )
        _template(cloud)
        cloud.controller.start()
        yield Complete(cloud, lab, host, lab.layout.state / NAME / path)
        cloud.controller.kill()
        host.stop()


def _template(cloud: LiveCloud) -> None:
    content = image().path.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    url = cloud.files.serve("/guest.qcow2", Served(content, f'"{checksum}"'))
    cloud.api.apply(make.template(url, f"sha256:{checksum}", "guest"))


def web() -> make.Manifest:
    """A VM whose root disk goes where there is a pool."""
    return make.vm("web", (), offering="one", template={"name": "guest"}, rootDisk={"size": ROOT}, stopTimeout="600s")
