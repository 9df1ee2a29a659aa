"""A controller that is killed with deployments in flight, and started again: what came of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controller.ipam import instance_id
from drivers.types import Power
from tests.support import kstatus
from tests.support.live import manifests as make
from tests.support.live.audit import findings
from tests.support.live.cloud import LiveCloud
from tests.support.live.history import History

Manifest = dict[str, Any]
CREATE, START = 8.0, 1.0
"""Seconds that each step of a deployment takes on the hypervisor."""
QUIET = 3.0
"""Seconds for which all must stay as it is in the end."""


class Killable(Protocol):
    """A controller process."""

    def start(self) -> None:
        """Start it."""

    def kill(self) -> None:
        """Kill it at once."""


@dataclass(frozen=True)
class Outcome:
    """What came of it. `under_way` deployments had a job when the controller died; times are seconds from its new start."""

    under_way: int
    running: int
    failed: list[str]
    behind: list[str]
    more_than_once: list[str]
    at_work: float
    all_running: float


def deploy_and_kill(
    cloud: LiveCloud, controller: Killable, names: Sequence[str], under_way: int, patience: float, create: float = CREATE
) -> Outcome:
    """Users apply all these VMs; as soon as so many have a job that runs, the controller is killed, then started again.

    Users go on applying meanwhile: the API server knows nothing of the kill. The VMs stay. The hypervisor makes a VM in `create`
    seconds: within so long as many deployments as are to be under way must have begun.
    """
    cloud.control.set_durations({"compute.create": create, "power.start": START})
    history = History(cloud.api, "VirtualMachine")
    users = threading.Thread(target=lambda: cloud.api.apply(*(make.vm(name) for name in names)))
    users.start()
    cloud.until(lambda: len(_at_work(cloud, names)) >= under_way, f"{under_way} deployments under way", patience)
    controller.kill()
    users.join(patience)
    interrupted = _at_work(cloud, names)
    version, started = int(cloud.api.version("VirtualMachine")), time.monotonic()
    controller.start()
    cloud.await_current(names=names, deadline=patience)
    all_running = time.monotonic() - started
    time.sleep(QUIET)
    cloud.control.set_durations({})
    return _outcome(cloud, history, names, (len(interrupted), version, started, all_running))


def _outcome(cloud: LiveCloud, history: History, names: Sequence[str], when: tuple[int, int, float, float]) -> Outcome:
    interrupted, version, started, all_running = when
    versions = [each for name in names for each in history.of(name)]
    uids = {each["metadata"]["uid"]: each["metadata"]["name"] for each in cloud.api.list("VirtualMachine")}
    census = cloud.control.census()
    ours = {instance_id(uid) for uid, name in uids.items() if name in names}
    vms = [vm for vm in census.vms if vm.instance in ours]
    return Outcome(
        under_way=interrupted,
        running=sum(vm.power is Power.ON for vm in vms),
        failed=sorted({each["metadata"]["name"] for each in versions if _failed(each)}),
        behind=findings(cloud.api, census),
        more_than_once=[vm.name for vm in vms if (vm.made, vm.starts) != (1, 1)],
        at_work=min(at for each, at in zip(history.versions, history.seen_at, strict=False) if _version(each) > version) - started,
        all_running=all_running,
    )


def _version(found: Manifest) -> int:
    return int(found["metadata"]["resourceVersion"])


def _at_work(cloud: LiveCloud, names: Sequence[str]) -> list[str]:
    found = {each["metadata"]["name"]: each.get("status", {}).get("job") or {} for each in cloud.api.list("VirtualMachine")}
    return [name for name in names if found.get(name, {}).get("status") == "InProgress"]


def _failed(version: Manifest) -> bool:
    """Whether a VM said, ever, that its job failed or that nothing will be done."""
    job = version.get("status", {}).get("job") or {}
    return job.get("status") in ("Failed", "Cancelled") or kstatus.compute(version) == kstatus.FAILED
