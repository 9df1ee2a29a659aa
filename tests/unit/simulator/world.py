"""A simulated datacentre in virtual time, for tests of the engine."""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from drivers.errors import Transient
from drivers.simulator.connection import SimulatorConnection
from drivers.simulator.control import Control
from drivers.simulator.engine.clock import VirtualClock
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.simulator.local import LocalTransport
from drivers.simulator.service import Service
from drivers.types import (
    Attachment,
    Credentials,
    DesiredDisk,
    DesiredNIC,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    Done,
    Failed,
    HostID,
    ImageFile,
    InstanceID,
    NetworkBackend,
    ObservedVM,
    Owner,
    PoolSpec,
    Seed,
    Segment,
    SnapshotID,
    Started,
    VolumeAttachment,
    VolumeID,
)

MIB = 1024**2
HOST = HostID("host-00001")
OTHER = HostID("host-00002")
POOL = PoolSpec("local", "/var/lib/vireo/local")
SHARED = PoolSpec("shared", "/srv/shared", shared=True)
IMAGE = "image-sha256-0.qcow2"
BRIDGE = Attachment(NetworkBackend.OVS, "br")

_numbers = itertools.count(1)


def nic(name: str = "front", ip: str = "") -> DesiredNIC:
    number = next(_numbers)
    return DesiredNIC(name, f"02:00:00:00:{number // 256 % 256:02x}:{number % 256:02x}", "shop/front", Segment(10), BRIDGE, ip)


def vm(number: int | None = None, **values: Any) -> DesiredVM:
    """A VM on the image; the same number gives the same identity."""
    number = next(_numbers) if number is None else number
    instance = InstanceID(str(uuid.UUID(int=number)))
    wanted = DesiredVM(
        instance,
        f"vm-{number}",
        Owner(f"uid-{number}", "shop", f"web-{number}"),
        2,
        512 * MIB,
        (disk(),),
        (nic(),),
        seed=seed("web"),
    )
    return replace(wanted, **values)


def disk(name: str = "root", *, pool: PoolSpec = POOL, image: str = IMAGE, size: int = 8 * MIB) -> DesiredDisk:
    return DesiredDisk(name, pool, size, image)


def volume(number: int | None = None, **values: Any) -> DesiredVolume:
    """An empty volume; the same number gives the same identity."""
    number = next(_numbers) if number is None else number
    identity = VolumeID(str(uuid.UUID(int=1_000_000 + number)))
    wanted = DesiredVolume(identity, f"volume-{number}", Owner(f"uid-v{number}", "shop", f"data-{number}"), POOL, 8 * MIB)
    return replace(wanted, **values)


def snapshot(number: int | None = None, **values: Any) -> DesiredSnapshot:
    """A snapshot without memory; the same number gives the same identity."""
    number = next(_numbers) if number is None else number
    identity = SnapshotID(str(uuid.UUID(int=2_000_000 + number)))
    return replace(DesiredSnapshot(identity, f"snap-{number}", Owner(f"uid-s{number}", "shop", f"before-{number}")), **values)


def attachment(wanted: DesiredVolume, name: str = "data") -> VolumeAttachment:
    return VolumeAttachment(name, wanted.volume, wanted.pool)


def seed(hostname: str, addresses: dict[str, str] | None = None) -> Seed:
    ethernets = {
        f"n{n}": {"match": {"macaddress": mac}, "addresses": [ip]} for n, (mac, ip) in enumerate((addresses or {}).items())
    }
    return Seed(
        f"local-hostname: {hostname}\n", f"network: {{version: 2, ethernets: {ethernets}}}\n" if addresses else "", b"secret"
    )


@dataclass
class World:
    """A service in virtual time with pools and the image on two hosts, a connection to all hosts, and control."""

    settings: Settings = field(default_factory=lambda: Settings(hosts=3, boot=10, shutdown=5))
    directory: Path = Path()

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.service = Service(self.settings, self.clock, random=Random(1))
        self.connection = self.connect()
        self.control = Control(LocalTransport(self.service))
        self.dc = self.service.dc
        for pool in (POOL, SHARED):
            for host in (HOST, OTHER):
                self.connection.storage.ensure_pool(host, pool)
                self.put(host, pool)

    def connect(self, host: str = "", timeout: float = 15.0) -> SimulatorConnection:
        return SimulatorConnection(LocalTransport(self.service, timeout=timeout), Credentials(), host)

    def put(self, host: HostID, pool: PoolSpec, name: str = IMAGE, size: int = 0) -> None:
        """An image without content."""
        self.service.execute(self.token, "storage.put_image", (host, pool, ImageFile(name, "/dev/null", MIB, size)), [])
        self.let(self.settings.durations.get("storage.put_image", 0))

    @property
    def token(self) -> str:
        return self.connection._session.welcome.session

    def let(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep(seconds)
        self.service.advance()

    def goes_wrong(self, kind: FaultKind, call: Callable[[], Done | Started]) -> None:
        """The call fails as a fault of this kind makes it fail: in its native task, or at once."""
        if kind is FaultKind.TASK_ERROR:
            outcome = call()
            assert isinstance(outcome, Started)
            self.let(0)
            assert isinstance(self.connection.tasks.poll(outcome.op), Failed)
        else:
            with pytest.raises(Transient):
                call()

    def created(self, **values: Any) -> DesiredVM:
        wanted = vm(**values)
        self.connection.compute.create(HOST, wanted)
        return wanted

    def running(self, **values: Any) -> DesiredVM:
        """Booted as well."""
        wanted = self.created(**values)
        self.connection.power.start(HOST, wanted.instance)
        self.let(self.settings.boot)
        return wanted

    def stored(self, **values: Any) -> DesiredVolume:
        """A volume that exists."""
        wanted = volume(**values)
        self.connection.volumes.create_volume(HOST, wanted)
        return wanted

    def taken(self, wanted: DesiredVM, **values: Any) -> DesiredSnapshot:
        """A snapshot of a VM."""
        made = snapshot(**values)
        self.connection.snapshots.create_snapshot(HOST, wanted.instance, made)
        return made

    def see(self, wanted: DesiredVM, host: HostID = HOST) -> ObservedVM:
        return self.connection.compute.observe(host, wanted.instance)
