"""What goes wrong: each fault begins, and ends some seconds later."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from crds.v1alpha1.host import AdminState
from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import Fault as Scripted
from drivers.simulator.engine.faults import FaultKind
from tests.soak.site import HOSTS, Site
from tests.support.apiproxy import ApiProxy, Asked, Fault
from tests.support.live.cloud import host_names
from tests.support.live.replica import Replica

RESTORES = ("snapshots.restore", "volumes.restore_volume")
"""Methods whose definite refusal is for good."""

_METHODS = ["compute.*", "power.*", "volumes.*", "snapshots.*", "*"]
_LIE = "2:1073741824"
"""2 CPUs, 1 GiB."""


@dataclass(frozen=True)
class Trouble:
    """A fault under way, in words; `end` puts things right again."""

    what: str
    end: Callable[[], None]


Begin = Callable[[Site, Random], Trouble | None]
"""Begins a fault, or returns None if it can't happen now."""


def _watches(asked: Asked) -> bool:
    return asked.watches


def _writes(asked: Asked) -> bool:
    return asked.writes


def _anything(_: Asked) -> bool:
    return True


# Hypervisor ----------------------------------------------------------------------------------------------------------


def _scripted(kind: FaultKind, probability: float, **values: Any) -> Begin:
    """Calls go wrong."""

    def begin(site: Site, random: Random) -> Trouble:
        method = random.choice(_METHODS)
        site.cloud.control.add_fault(Scripted(kind, method, probability=probability, **values))
        return Trouble(f"{kind} of {method}", lambda: site.cloud.control.clear_faults())

    return begin


def _to_host(act: Act, value: str, undo: Act) -> Begin:
    """Something happens to a host."""

    def begin(site: Site, random: Random) -> Trouble:
        name = random.choice(host_names(HOSTS))
        site.cloud.control.act(act, name, value)
        return Trouble(f"{act} {name}", lambda: site.cloud.control.act(undo, name))

    return begin


def _crash_host(site: Site, random: Random) -> Trouble:
    """A host loses its power for a while; who has other VMs there switches them on again."""
    name = random.choice(host_names(HOSTS))
    site.crashes[name] += 1
    site.cloud.control.act(Act.CRASH_HOST, name)

    def boot() -> None:
        control = site.cloud.control  # another one if the server was restarted meanwhile
        control.act(Act.BOOT_HOST, name)
        for vm in control.census().vms:
            if vm.host == name and not vm.owner:
                control.act(Act.POWER_ON, f"{vm.host}/{vm.instance}")

    return Trouble(f"{Act.CRASH_HOST} {name}", boot)


def _restart_simulator(site: Site, _: Random) -> Trouble:
    site.restart_simulator()
    return Trouble("the hypervisors' servers are killed and start again", lambda: None)


def _rotate(site: Site, random: Random) -> Trouble:
    """The hypervisors have another password; somebody tells Vireo later: the newest, if there are two by then."""
    password = f"password-{random.randrange(10**6)}"
    site.restart_simulator(password)
    return Trouble("another password", lambda: site.trust(site.cloud.simulator.credentials.password))


def _administer(state: AdminState) -> Begin:
    """A host takes no new VMs for a while, or none is started there."""

    def begin(site: Site, random: Random) -> Trouble:
        name = random.choice(host_names(HOSTS))
        site.cloud.api.patch("Host", name, {"spec": {"adminState": state}})
        return Trouble(f"{name} {state}", lambda: site.cloud.api.patch("Host", name, {"spec": {"adminState": AdminState.ENABLED}}))

    return begin


# Controller ----------------------------------------------------------------------------------------------------------


def _running(site: Site, random: Random) -> Replica | None:
    found = [each for each in site.replicas if each.process.alive]
    return random.choice(found) if found else None


def _kill(site: Site, random: Random) -> Trouble | None:
    if not (replica := _running(site, random)):
        return None
    replica.process.kill()
    return Trouble(f"kill -9 {replica.process.identity}", site.started)


def _terminate(site: Site, random: Random) -> Trouble | None:
    """One that sleeps is woken up for it."""
    if not (replica := _running(site, random)):
        return None
    replica.process.thaw()
    began = replica.process.began
    code = replica.process.stop()
    if code != 0 and (began or code != -signal.SIGTERM):  # the interpreter itself, just started, knows no better
        raise AssertionError(f"{replica.process.identity} ended with code {code} on SIGTERM")
    return Trouble(f"SIGTERM {replica.process.identity}", site.started)


def _freeze(site: Site, random: Random) -> Trouble | None:
    if not (replica := _running(site, random)):
        return None
    process, pid = replica.process, replica.process.pid
    process.freeze()

    def thaw() -> None:
        if process.alive and process.pid == pid:
            process.thaw()

    return Trouble(f"SIGSTOP {process.identity}", thaw)


# API server ----------------------------------------------------------------------------------------------------------


def _api(what: str, begin: Callable[[ApiProxy], None]) -> Begin:
    """The API server is unreliable for one replica, or for both."""

    def strike(site: Site, random: Random) -> Trouble:
        chosen = random.choice([[each] for each in site.replicas] + [site.replicas])
        for replica in chosen:
            begin(replica.proxy)

        def end() -> None:
            for replica in chosen:
                replica.proxy.restore()

        return Trouble(f"{what} for {' and '.join(each.process.identity for each in chosen)}", end)

    return strike


def _some(means: Callable[[Asked], bool], probability: float = 1.0, **how: Any) -> Callable[[ApiProxy], None]:
    return lambda proxy: proxy.set(Fault(means, probability, **how))


GENTLE: Sequence[Begin] = [
    _scripted(FaultKind.LOSE_REPLY, 0.3),
    _scripted(FaultKind.ERROR, 0.4),
    _scripted(FaultKind.ERROR, 0.4, error="Busy"),
    _scripted(FaultKind.TASK_ERROR, 0.3),
    _scripted(FaultKind.FORGET_TASK, 0.3),
    _scripted(FaultKind.HANG, 0.1),
    _scripted(FaultKind.DELAY, 0.5, seconds=1.0),
    _scripted(FaultKind.EXPIRE_SESSION, 0.1),
    _crash_host,
    _to_host(Act.CUT_HOST, "", Act.HEAL_HOST),
    _to_host(Act.LIE, _LIE, Act.LIE),
    _restart_simulator,
    _rotate,
    _administer(AdminState.DISABLED),
    _administer(AdminState.MAINTENANCE),
    _freeze,
    _api("watches closed every second", _some(_watches, lasts=1.0)),
    _api("watches end with 410", _some(_watches, lasts=1.0, error=410)),
    _api("429 to 30 %", _some(_anything, 0.3, status=429, retry_after="1")),
    _api("409 after the write took effect", _some(_writes, 0.3, status=409, late=True)),
    _api("connection cut after commit", _some(_writes, 0.3, cut=True)),
    _api("500 to 30 %", _some(_anything, 0.3, status=500)),
    _api("0.5 s for each answer", _some(_anything, delay=0.5)),
    _api("connections refused", ApiProxy.refuse),
    _api("black hole", ApiProxy.darken),
]
"""Faults that leave each process alive."""
DEADLY: Sequence[Begin] = [_kill, _kill, _terminate]
"""Those that end a controller."""
