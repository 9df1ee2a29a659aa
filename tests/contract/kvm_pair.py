"""Two hosts of the lab, a driver's connection to each, and guests on their networks, spoken to through their agents."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import libvirt
import yaml

from drivers.base import Connection
from drivers.types import DesiredDisk, DesiredNIC, DesiredVM, HostID, InstanceID, Owner, PoolSpec, Seed
from tests.contract.kvm_binding import MIB, bootable_image
from tests.lab.guests import eventually, execute, wait_for_cloud
from tests.lab.host import Host

PREFIX = 24


@dataclass(frozen=True)
class Site:
    """A host as the driver and as its administrator reach it."""

    host: Host
    connection: Connection
    admin: libvirt.virConnect

    @property
    def id(self) -> HostID:
        return HostID(self.host.name)

    @property
    def pool(self) -> PoolSpec:
        return PoolSpec("local", str(self.host.local / "pool"))


@contextmanager
def site(host: Host, connection: Connection) -> Iterator[Site]:
    """With the guests' image in its pool."""
    with ExitStack() as ends:
        ends.callback(connection.close)
        admin = libvirt.open(host.uri)
        ends.callback(admin.close)
        made = Site(host, connection, admin)
        connection.storage.ensure_pool(made.id, made.pool)
        connection.storage.put_image(made.id, made.pool, bootable_image())
        yield made


@dataclass(frozen=True)
class Guest:
    """A VM that runs on a site, with the image that has an agent."""

    site: Site
    vm: DesiredVM

    @property
    def domain(self) -> libvirt.virDomain:
        return self.site.admin.lookupByUUIDString(self.vm.instance)

    def run(self, script: str) -> str:
        """What a shell script prints in the guest; it must succeed."""
        return execute(self.domain, script)

    def hears(self, address: str) -> bool:
        """Whether anything of that address answers: asked afresh, three times at most."""
        return "yes" in self.run(
            f"ip neigh flush dev eth0; for n in 1 2 3; do ping -c 1 -W 1 {address} >/dev/null && {{ echo yes; break; }}; done; true"
        )

    def delete(self) -> None:
        self.site.connection.compute.delete(self.site.id, self.vm.instance)


def start(site: Site, name: str, nics: Sequence[DesiredNIC]) -> Guest:
    """Create and start a VM whose guest configures the addresses of its NICs."""
    built = bootable_image()
    instance = InstanceID(str(uuid.uuid4()))
    disk = DesiredDisk("root", site.pool, 2 * built.virtual_size, built.name)
    vm = DesiredVM(
        instance, name, Owner(f"uid-{instance}", "shop", name), 1, 96 * MIB, (disk,), tuple(nics), seed=_seed(name, nics)
    )
    site.connection.compute.create(site.id, vm)
    site.connection.power.start(site.id, instance)
    return Guest(site, vm)


def ready(*guests: Guest) -> None:
    """Wait until they are done with their seeds."""
    for guest in guests:
        wait_for_cloud(guest.domain)


def heard(observer: Guest, address: str) -> None:
    """Wait until the address answers."""
    eventually(lambda: observer.hears(address), f"an answer of {address}")


def _seed(name: str, nics: Sequence[DesiredNIC]) -> Seed:
    ethernets = {nic.name: {"match": {"macaddress": nic.mac}, "addresses": [f"{nic.ip}/{PREFIX}"]} for nic in nics if nic.ip}
    network = yaml.safe_dump({"version": 2, "ethernets": ethernets})
    return Seed(yaml.safe_dump({"instance-id": name, "local-hostname": name}), network, b"#cloud-config\n{}\n")
