"""A host with a complete kernel, and the VM `web` on it: for pools that the kernel of the tests cannot carry, NFS and LVM."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import libvirt
import pytest

from drivers.base import Connection
from drivers.errors import DriverError
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link.session import Timeouts
from drivers.types import DesiredDisk, DesiredVM, Endpoint, HostID, ImageFile, InstanceID, Owner, PoolSpec
from tests.contract.kvm_binding import MIB
from tests.lab.complete import NAME, CompleteHost
from tests.lab.guests import execute

MARKS = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(5400)]
PATIENCE = 1200.0
"""Seconds for anything on a host that is five times slower than a busy machine."""

HOST = HostID(NAME)
OWNER = Owner("uid", "shop", "web")
INSTANCE = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b31")
FIND = "for disk in /sys/block/sd*; do echo /dev/${disk##*/}; done"
"""What a guest calls its volumes."""


@dataclass
class Web:
    """The host with its pool, and the VM that boots from it."""

    host: CompleteHost
    connection: Connection
    admin: Any
    pool: PoolSpec
    image: ImageFile

    @property
    def size(self) -> int:
        """Of the root disk: larger than its image, and a multiple of what LVM gives out."""
        return -(-self.image.virtual_size // (4 * MIB)) * 4 * MIB + 64 * MIB

    @property
    def domain(self) -> Any:
        return self.admin.lookupByUUIDString(INSTANCE)

    @property
    def vm(self) -> DesiredVM:
        disk = DesiredDisk("root", self.pool, self.size, self.image.name)
        return DesiredVM(INSTANCE, "web", OWNER, 1, 96 * MIB, (disk,))

    def guest(self, script: str) -> str:
        return patiently(lambda: execute(self.domain, script).strip())


def patiently(look: Callable[[], Any]) -> Any:
    """What `look` returns once that is true and no error."""
    deadline = time.monotonic() + PATIENCE
    while True:
        complaint: object = "nothing"
        try:
            if found := look():
                return found
        except (DriverError, libvirt.libvirtError) as error:
            complaint = error
        assert time.monotonic() < deadline, complaint
        time.sleep(1)


@contextmanager
def driven(host: CompleteHost) -> Iterator[tuple[Connection, Any]]:
    """A connection of the driver to the host, and an administrator's."""
    driver = KVMDriver(Timeouts(connect=120.0, keepalive=10, keepalive_count=12, agent=30, call=900.0, turn=300.0))
    with closing(driver.connect(Endpoint(host.uri))) as connection, closing(libvirt.open(host.uri)) as admin:
        yield connection, admin
