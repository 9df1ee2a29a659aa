"""The cloud that is soaked: two replicas, each with its own unreliable way to the API server; hypervisors with a password."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from drivers.simulator.engine.settings import TASK_METHODS
from drivers.types import Credentials
from standalone.plane import ControlPlane
from tests.support.files import file_server
from tests.support.live import LiveCloud
from tests.support.live import manifests as make
from tests.support.live.cloud import host_names
from tests.support.live.replica import Replica, add_replica
from tests.support.simulator import SimulatorProcess

HOSTS = 6
FIRST_PASSWORD = "first"
THEIRS = 200
"""From 10.1.0.200 on addresses are those of VMs that somebody else makes; Vireo gives nobody these."""
_SIZE = ["--hosts", str(HOSTS), "--cpus", "256", "--memory", "1024", "--pool", "100000", "--boot", "0.2", "--shutdown", "0.2"]
_TASKS = [f"--duration={method}=0.3" for method in sorted(TASK_METHODS)]
_ACCESS: dict[str, Any] = {"credentials": {"secretRef": {"name": "access", "namespace": "shop"}}}


class Site:
    """Everything that can go wrong is here.

    `restarts` counts how often the simulator's server was started, `crashes` how often each host lost its power.
    """

    def __init__(self, cloud: LiveCloud, replicas: list[Replica]) -> None:
        self.cloud = cloud
        self.replicas = replicas
        self.restarts = 0
        self.crashes: Counter[str] = Counter()

    def restart_simulator(self, password: str = "") -> None:
        """Kill its server, and start it anew on the state it kept; with another password if one is given."""
        simulator = self.cloud.simulator
        self.cloud.control.close()
        simulator.kill()
        if password:
            simulator.credentials = Credentials("vireo", password)
        simulator.start()
        self.cloud.control = simulator.control()
        self.restarts += 1

    def trust(self, password: str) -> None:
        """Tell Vireo the password."""
        self.cloud.api.apply(make.secret("access", username="vireo", password=password))

    def started(self) -> None:
        """See to it that both replicas run."""
        for replica in self.replicas:
            if not replica.process.alive:
                replica.process.kill()
                replica.process.start()


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """A site with hosts, a pool, offerings, networks and a template, all Ready, and no VMs. Everything is stopped in the end."""
    directory.mkdir(parents=True, exist_ok=True)
    plane = ControlPlane(directory / "plane", durable=False, die_with_parent=True)
    arguments = [*_SIZE, *_TASKS, "--state", str(directory / "simulator.db")]
    with ExitStack() as stack:
        stack.callback(plane.delete)
        plane.start()
        simulator = stack.enter_context(SimulatorProcess(arguments, Credentials("vireo", FIRST_PASSWORD)))
        cloud = LiveCloud(directory, plane, simulator, stack.enter_context(file_server()))
        stack.callback(cloud.api.close)
        stack.callback(lambda: cloud.control.close())
        cloud.install()
        built = Site(cloud, [add_replica(stack, cloud, f"controller-{number}") for number in range(2)])
        _apply(built)
        built.started()
        for kind in ("Host", "StoragePool", "Template", "Network"):
            cloud.await_current(kind)
        yield built


def _apply(built: Site) -> None:
    api, url = built.cloud.api, built.cloud.simulator.url
    built.trust(FIRST_PASSWORD)
    cluster = make.cluster()
    cluster["spec"]["adopters"] = {"from": "All"}
    api.apply(make.zone(), make.manifest("Pod", "p", zone="z"), cluster)
    api.apply(*(make.host(name, f"{url}/{name}?timeout=3", **_ACCESS) for name in host_names(HOSTS)))
    api.apply(make.manifest("StoragePool", "shared", zone="z", scope="Zone", type="Directory", path="/pools/shared"))
    front = make.network()
    front["spec"]["subnet"]["ranges"] = [{"start": "10.1.0.10", "end": f"10.1.0.{THEIRS - 1}"}]
    api.apply(make.template(built.cloud.image_url, built.cloud.checksum), front, make.network("back", "10.2.0.0/24"))
    api.apply(make.offering("small", 1, "1Gi"), make.offering("large", 4, "4Gi"), make.offering("narrow", 2, "512Mi"))
