"""`vireo console`: a VM's serial console, straight from its hypervisor.

It runs with the rights of the caller's kubeconfig: who may read the VM, its Host and Cluster, and the Secret of their endpoint, can
log in to the hypervisor anyway. So this is for operators; the controller takes no part.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry

from controller import terminal
from controller.app import API_KINDS
from controller.host.endpoint import find_endpoint
from controller.ipam import instance_id
from controller.kube import credentials
from controller.kube import run as kube
from controller.runtime.clock import SystemClock
from controller.runtime.keys import Key
from controller.runtime.ports import Gone
from crds.base import Resource
from crds.v1alpha1 import Cluster, Host, VirtualMachine
from drivers import loader
from drivers.base import Connection
from drivers.types import Endpoint, HostID, InstanceID

Object = TypeVar("Object", bound=Resource)


class ConsoleError(Exception):
    """There is no way to the console; the text says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a VM is: the hypervisor's kind and endpoint, the host's name there, and the VM's identity there.

    `sole`: the endpoint is that host's own, whatever its name is.
    """

    hypervisor: str
    endpoint: Endpoint
    native_name: str
    sole: bool
    instance: InstanceID


def console(name: str, namespace: str | None, kubeconfig: str | None, *, log: bool, force: bool) -> int:
    """Attach this process's terminal to a VM's console, or print its log; returns the exit code.

    Raises ConsoleError, DriverError, CredentialsError, ApiError, and ValueError for objects that this version can't read.
    """
    place = asyncio.run(_find(name, namespace, Path(kubeconfig) if kubeconfig else None))
    with _connected(place) as connection:
        host = _host(connection, place)
        if log:
            sys.stdout.buffer.write(connection.consoles.log(host, place.instance))
            sys.stdout.buffer.flush()
            return 0
        with closing(connection.consoles.open(host, place.instance, force=force)) as opened:
            print(f"Console of {name}. To leave it: {terminal.ESCAPE_NAME}", file=sys.stderr)
            return terminal.attach(opened, sys.stdin.fileno(), sys.stdout.fileno())


@contextmanager
def _connected(place: Place) -> Iterator[Connection]:
    with closing(loader.load(place.hypervisor).connect(place.endpoint)) as connection:
        yield connection


def _host(connection: Connection, place: Place) -> HostID:
    names = [host.host for host in connection.hosts.list_hosts()]
    if HostID(place.native_name) in names:
        return HostID(place.native_name)
    if place.sole and len(names) == 1:
        return names[0]
    raise ConsoleError(f"the endpoint has no host {place.native_name}")


async def _find(name: str, namespace: str | None, kubeconfig: Path | None) -> Place:
    settings = kube.Settings(kubeconfig, "console", "", "", "", 0)
    structured, registry = structlog.get_logger(), CollectorRegistry()
    opened = kube.connect(API_KINDS, settings, clock=SystemClock(), random=random.random, registry=registry, log=structured)
    async with opened as api:
        return await _place(api, Key(VirtualMachine.KIND, namespace or credentials.namespace(kubeconfig), name))


async def _place(api: kube.Connection, key: Key) -> Place:
    vm = await _read(api, VirtualMachine, key)
    if not vm.status.host:
        raise ConsoleError(f"VM {key.namespace}/{key.name} is on no host yet: vireo why vm {key.name} -n {key.namespace}")
    host = await _read(api, Host, Key(Host.KIND, "", vm.status.host))
    cluster = await _read(api, Cluster, Key(Cluster.KIND, "", host.spec.cluster))
    endpoint = await find_endpoint(host, cluster, api.secrets, cloud="")
    if not isinstance(endpoint, Endpoint):
        raise ConsoleError(f"host {vm.status.host} can't be asked: {endpoint.message}")
    native_name = host.spec.native_name or vm.status.host
    return Place(cluster.spec.hypervisor, endpoint, native_name, host.spec.endpoint is not None, instance_id(vm.metadata.uid))


async def _read(api: kube.Connection, kind: type[Object], key: Key) -> Object:
    try:
        return kind.parse(await api.api.get(key))
    except Gone:
        raise ConsoleError(f"{key} does not exist") from None
