"""The simulator keeps the driver contract, however it is reached and whatever it can do."""

from collections.abc import Iterator

import pytest

from drivers.simulator.engine.clock import RealClock
from drivers.simulator.engine.settings import OFFERED, TASK_METHODS, Settings
from drivers.simulator.service import Service
from drivers.types import Capability, Credentials
from tests.support.simulator import SimulatorProcess

from .simulated import LocalBinding, NFSBinding, ServedBinding, SimulatorBinding
from .suite import (
    Adopting,
    Altering,
    Attaching,
    Capabilities,
    CephVolumes,
    Credentialed,
    DriverContract,
    Guests,
    Limiting,
    Listing,
    LostReplies,
    LostStorageReplies,
    LUNs,
    Moving,
    SnapshotMemory,
    SnapshotQuiesce,
    Snapshots,
    Unplugging,
    Volumes,
    VolumeSnapshots,
)
from .suite.undeclared import Undeclared

AT_ONCE = ["--hosts", "3", "--boot", "0", "--shutdown", "0"]
TASKS = ["--hosts", "3", "--boot", "0.02", "--shutdown", "0.02"] + [f"--duration={method}=0.03" for method in sorted(TASK_METHODS)]


class Storage(
    Volumes,
    Attaching,
    Limiting,
    Listing,
    LUNs,
    CephVolumes,
    VolumeSnapshots,
    Snapshots,
    SnapshotMemory,
    SnapshotQuiesce,
    LostStorageReplies,
):
    """Everything about volumes and snapshots."""


class TestAllHostsOverTCP(DriverContract, Moving, Altering, Unplugging, Adopting, Credentialed, Guests, LostReplies, Storage):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorBinding]:
        with SimulatorProcess(AT_ONCE, Credentials("vireo", "open sesame")) as process:
            yield ServedBinding(process, tmp_path_factory.mktemp("image"))


class TestOneHostWithTasksAndState(DriverContract, Moving, Altering, Unplugging, Adopting, Guests, LostReplies, Storage):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorBinding]:
        directory = tmp_path_factory.mktemp("simulator")
        with SimulatorProcess([*TASKS, "--state", str(directory / "state")]) as process:
            yield ServedBinding(process, directory, "host-00002")


class TestInProcess(DriverContract, Moving, Altering, Unplugging, Adopting, Guests, LostReplies, Storage):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        return LocalBinding(Service(Settings(hosts=3, boot=0, shutdown=0), RealClock()), tmp_path_factory.mktemp("image"))


class TestOnNFS(DriverContract, LostReplies, Storage):
    """Everything that works in a directory."""

    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        return NFSBinding(Service(Settings(hosts=3, boot=0, shutdown=0), RealClock()), tmp_path_factory.mktemp("image"))


class TestPowerAndStorageOnly(DriverContract, Moving, Altering):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        settings = Settings(hosts=3, boot=0, shutdown=0, capabilities=frozenset({Capability.POWER, Capability.STORAGE}))
        return LocalBinding(Service(settings, RealClock()), tmp_path_factory.mktemp("image"))


class TestDefinitionsUntold(Moving, Altering):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        settings = Settings(hosts=3, boot=0, shutdown=0, capabilities=OFFERED - {Capability.DEFINITION_EVENTS})
        return LocalBinding(Service(settings, RealClock()), tmp_path_factory.mktemp("image"))


class TestNoCapability(Capabilities, Undeclared):
    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        settings = Settings(hosts=3, boot=0, shutdown=0, capabilities=frozenset())
        return LocalBinding(Service(settings, RealClock()), tmp_path_factory.mktemp("image"))


class TestNothingLive(Volumes, Attaching, VolumeSnapshots, Snapshots, Undeclared):
    """Volumes and snapshots only of VMs that are off."""

    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, tmp_path_factory: pytest.TempPathFactory) -> SimulatorBinding:
        capabilities = {Capability.POWER, Capability.STORAGE, Capability.VOLUMES, Capability.VOLUME_SNAPSHOTS, Capability.SNAPSHOTS}
        settings = Settings(hosts=3, boot=0, shutdown=0, capabilities=frozenset(capabilities))
        return LocalBinding(Service(settings, RealClock()), tmp_path_factory.mktemp("image"))
