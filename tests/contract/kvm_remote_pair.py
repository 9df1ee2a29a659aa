"""Two hosts of the lab that the driver reaches over SSH, from the operator's place in the lab's network."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from drivers.kvm.connection import KVMConnection, KVMDriver
from drivers.types import Credentials, Endpoint
from tests.contract.kvm_binding import PATIENT
from tests.contract.kvm_pair import Site, site
from tests.lab import Lab, disposable
from tests.lab.processes import NAMESPACES
from tests.lab.record import Backend
from tests.lab.sshd import SSHServer, let_in, reboot, serve


@contextmanager
def operator_of(lab: Lab) -> Iterator[None]:
    """This thread, those that it starts, and their processes, are in the operator's network; others stay where they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(NAMESPACES / lab.layout.namespace("ctl"), os.O_RDONLY)
    try:
        _enter(libc, there)
        yield
    finally:
        _enter(libc, before)
        os.close(before)
        os.close(there)


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class Remote:
    """A lab, its hosts as the driver reaches them, and their SSH servers."""

    lab: Lab
    sites: Sequence[Site]
    servers: Sequence[SSHServer]

    def restart(self, index: int) -> None:
        """Cut the power of a host, and boot it."""
        reboot(self.lab, self.servers[index])


@contextmanager
def remote(hosts: int, backend: Backend) -> Iterator[Remote]:
    """A lab with that many hosts, each with sshd."""
    with disposable() as lab, ExitStack() as ends:
        lab.up(hosts=hosts, backend=backend)
        ends.enter_context(operator_of(lab))
        made = Remote(lab, [], [serve(host, lab.layout.management_address(host.name)) for host in lab.hosts()])
        sites = []
        for host, server in zip(lab.hosts(), made.servers, strict=True):
            let_in(host)
            sites.append(ends.enter_context(site(host, connect(server))))
        yield replace(made, sites=sites)


def connect(server: SSHServer) -> KVMConnection:
    """As root, with key and known host from the Secret."""
    login = Credentials(ssh_key=server.key, known_hosts=server.known_hosts)
    return KVMDriver(PATIENT).connect(Endpoint(f"qemu+ssh://root@{server.address}/system", login))
