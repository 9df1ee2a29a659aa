"""An API server that fails in every way it can, while users make, stop, resize and delete VMs, give them volumes and take them
away, take snapshots and bring them back, all at the same time.

Afterwards exactly what is declared exists, once, and is Ready; disks hold what they should; and the controller is still the process
that it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.simulator.engine.settings import TASK_METHODS
from tests.support.apiproxy import ApiProxy, Asked, Fault, api_proxy
from tests.support.live import LiveCloud, live_cloud
from tests.support.live.audit import findings
from tests.support.live.controller import ControllerProcess
from tests.support.live.users import Users, clear_away
from tests.support.tables import Report

HOSTS = 4
TASKS = [f"--duration={method}=0.1" for method in sorted(TASK_METHODS)]
OUTAGE = 15.0
"""Seconds: longer than a leader leads without renewing its lease."""
CONVERGE = 300.0


def watches(asked: Asked) -> bool:
    return asked.watches


def writes(asked: Asked) -> bool:
    return asked.writes


def continues(asked: Asked) -> bool:
    return "continue" in asked.query


def anything(_: Asked) -> bool:
    return True


Begin = Callable[[ApiProxy], None]


@dataclass(frozen=True)
class Row:
    """A way to fail. With `lasts` it ends after so many seconds, else the controller must get its work done all the same."""

    name: str
    begin: Begin
    lasts: float = 0.0
    then: Begin | None = None
    """What comes after it."""


def some(means: Callable[[Asked], bool], probability: float = 1.0, **how: Any) -> Begin:
    """A fault that happens to a share of the requests."""
    return lambda proxy: proxy.set(Fault(means, probability, **how))


def short_pages(proxy: ApiProxy) -> None:
    """Lists come in pages of two, and are asked for often, and the token for the next page has often expired."""
    proxy.page = 2
    proxy.set(Fault(continues, 0.2, status=410), Fault(watches, lasts=3.0, error=410))


ROWS = [
    Row("connections refused for 15 s", ApiProxy.refuse, OUTAGE),
    Row("black hole for 15 s, connections forgotten", ApiProxy.darken, OUTAGE),
    Row("429 to everything for 12 s", some(anything, status=429, retry_after="2"), 12.0),
    Row("429 to 30 %", some(anything, 0.3, status=429, retry_after="1")),
    Row("watches closed every second", some(watches, lasts=1.0)),
    Row("watches broken every second", some(watches, lasts=1.0, broken=True)),
    Row("watches end with 410 every second", some(watches, lasts=1.0, error=410)),
    Row("watches end with an ERROR 500 every 2 s", some(watches, lasts=2.0, error=500)),
    Row("watches refused (403) for 12 s", some(watches, status=403), 12.0),
    Row("watch gap of 8 s, then 410", some(watches, status=503), 8.0, some(watches, error=410, lasts=0.0, times=14)),
    Row("pages of 2, 20 % of the next pages 410", short_pages),
    Row("409 to 30 % of writes", some(writes, 0.3, status=409)),
    Row("409 after the write took effect, 30 %", some(writes, 0.3, status=409, late=True)),
    Row("connection cut after commit, 30 %", some(writes, 0.3, cut=True)),
    Row("500 to 30 %", some(anything, 0.3, status=500)),
    Row("503 to 30 %", some(anything, 0.3, status=503)),
    Row("1.5 s for each answer", some(anything, delay=1.5)),
]
LONG = [
    Row("connections refused for 60 s", ApiProxy.refuse, 60.0),
    Row("black hole for 60 s, connections forgotten", ApiProxy.darken, 60.0),
    Row("watches fall silent once", some(watches, hang=True, times=14)),
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), *TASKS, hosts=HOSTS) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(cloud: LiveCloud) -> Iterator[ApiProxy]:
    plane = cloud.plane
    with api_proxy(plane.controller_kubeconfig, plane.directory, cloud.directory / "proxy") as running:
        yield running


@pytest.fixture(scope="module")
def controller(cloud: LiveCloud, proxy: ApiProxy) -> Iterator[ControllerProcess]:
    """A controller that comes to an API server which does not answer yet, and waits for it."""
    process = cloud.replica("proxied", proxy.kubeconfig)
    proxy.refuse()
    process.start()
    try:
        cloud.basics(HOSTS)
        cloud.until(lambda: b'"kind not listed"' in process.log.read_bytes(), "the controller has tried")
        proxy.restore()
        for kind in ("Host", "StoragePool", "Template", "Network"):
            cloud.await_current(kind)
        yield process
    finally:
        process.kill()


@pytest.fixture(autouse=True)
def tidy(cloud: LiveCloud, proxy: ApiProxy) -> Iterator[None]:
    """Each test ends with all its objects deleted and nothing of ours left."""
    yield
    proxy.restore()
    clear_away(cloud)
    assert findings(cloud.api, cloud.control.census()) == []


def go_through(row: Row, users: Users, proxy: ApiProxy) -> tuple[float, int]:
    """Let it fail and users work; returns how long it took from the end of the work, or of the fault, and requests meanwhile."""
    before = len(proxy.asked)
    row.begin(proxy)
    users.act()
    time.sleep(row.lasts or 2.0)  # the fault's own duration
    users.act_again()
    if row.then is not None:
        row.then(proxy)
    elif row.lasts:
        proxy.restore()
    since = time.monotonic()
    users.end(CONVERGE)
    return time.monotonic() - since, len(proxy.asked) - before


def check(row: Row, cloud: LiveCloud, proxy: ApiProxy, controller: ControllerProcess, report: Report) -> None:
    process, users = controller.pid, Users(cloud)
    users.begin(CONVERGE)
    struck = proxy.struck
    seconds, requests = go_through(row, users, proxy)
    report("The API server fails", f"{row.name:45} all as declared after {seconds:5.1f} s, {requests:5} requests")
    assert users.wrong() == []
    assert (controller.alive, controller.pid) == (True, process)
    assert proxy.struck > struck or row.begin is ApiProxy.refuse, "nothing happened to any request"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_ends_as_declared(row: Row, cloud: LiveCloud, proxy: ApiProxy, controller: ControllerProcess, report: Report) -> None:
    check(row, cloud, proxy, controller, report)


@pytest.mark.slow
@pytest.mark.parametrize("row", LONG, ids=lambda row: row.name)
def test_long_faults(row: Row, cloud: LiveCloud, proxy: ApiProxy, controller: ControllerProcess, report: Report) -> None:
    check(row, cloud, proxy, controller, report)
