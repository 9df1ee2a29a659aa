"""What every test may use: a real control plane, kubectl, the CRDs, names of its own; and the NOT RUN list."""

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from standalone import build
from standalone.plane import ControlPlane
from tests import planes
from tests.alerts import promtool
from tests.kubectl import Kubectl
from tests.support import tables
from tests.support.tables import cell as cell  # fixtures, for every test
from tests.support.tables import report as report

MANIFESTS = Path(__file__).parent.parent / "crds" / "manifests"

MARKERS = {
    "slow": "takes minutes; runs with --slow (make test-slow)",
    "lab": "needs root and the Debian packages of a libvirt host (tests/lab/requirements.py says what is missing)",
}
LAB_TIMEOUT = 900
"""Seconds for a test of the lab that names no limit: more than one wait for an emulated guest has (tests/lab/guests.py), so that it
is the wait that fails, and tells what the guest wrote last.
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_configure(config: pytest.Config) -> None:
    # Neither a deadline nor a complaint about slow inputs: both would be assertions on wall time.
    hypothesis.settings.register_profile("vireo", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.load_profile("vireo")
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what can't or shouldn't run here, each with its reason, which the NOT RUN list repeats."""
    lab = [item for item in items if item.get_closest_marker("lab")]
    if lab:
        from tests.lab import requirements

        if reason := requirements.missing():
            for item in lab:
                item.add_marker(pytest.mark.skip(reason=reason))
        for item in lab:
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(LAB_TIMEOUT))
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow; make test-slow runs it"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs that tests ask for before the first test's clock runs: the very first time that takes minutes."""
    slow = session.config.getoption("--slow")
    running = [item for item in session.items if slow or not item.get_closest_marker("slow")]
    asked = {name for item in running for name in getattr(item, "fixturenames", ())}
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    progress = terminal.write_line if terminal else lambda _: None
    if {"plane", "new_plane"} & asked:
        build.ensure(progress)
    if "promtool" in asked:
        promtool.ensure(progress)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that can't be imported for want of libvirt-python is not run, rather than failed."""
    report = yield
    if report.failed and "No module named 'libvirt'" in str(report.longrepr):
        report.outcome = "skipped"
        report.longrepr = (report.nodeid, 0, "libvirt-python is not installed (scripts/bootstrap says why)")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of the tests; list what did not run and why: a green run says what it doesn't prove."""
    tables.show(terminalreporter)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for skipped in terminalreporter.stats.get("skipped", []):
        reason = skipped.longrepr[2] if isinstance(skipped.longrepr, tuple) else str(skipped.longrepr)
        by_reason[reason.removeprefix("Skipped: ")].append(skipped.nodeid)
    if by_reason:
        terminalreporter.section("NOT RUN")
    for reason, tests in sorted(by_reason.items()):
        terminalreporter.write_line(f"NOT RUN ({len(tests)}): {reason}")
        for test in tests:
            terminalreporter.write_line(f"    {test}")


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a test set up for logs: it may write to a stream that is closed with the test, which ends whoever logs next."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[ControlPlane]:
    """The control plane of this test run, shared by all its processes: don't stop it, keep to names of your own."""
    base = tmp_path_factory.getbasetemp()
    with planes.shared((base if worker_id == "master" else base.parent) / "shared-plane") as running:
        yield running


@pytest.fixture
def new_plane(tmp_path: Path) -> Iterator[Callable[[str], ControlPlane]]:
    """Makes control planes of the test's own, not started yet, by directory name; stops them all in the end."""
    made: list[ControlPlane] = []

    def make(name: str) -> ControlPlane:
        made.append(ControlPlane(tmp_path / name, durable=False, die_with_parent=True))
        return made[-1]

    yield make
    for own in made:
        own.delete()


@pytest.fixture(scope="session")
def kubectl(plane: ControlPlane) -> Kubectl:
    """kubectl as administrator."""
    return Kubectl(plane.kubectl())


@pytest.fixture(scope="session")
def controller_kubectl(plane: ControlPlane) -> Kubectl:
    """kubectl with the controller's rights."""
    return Kubectl(plane.kubectl("controller"))


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> list[str]:
    """The names of Vireo's CRDs, all installed from crds/manifests and served."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(MANIFESTS))
    names = [name.partition("/")[2] for name in kubectl("get", "-f", str(MANIFESTS), "-o", "name").split()]
    kubectl.define(names)
    return names


@pytest.fixture
def unique() -> str:
    """A prefix for names of cluster-scoped objects that no other test has, e.g. `t1f3a9c2b7e`."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def namespace(kubectl: Kubectl, unique: str) -> Iterator[str]:
    """A namespace of the test's own; its deletion is requested afterwards and not waited for."""
    kubectl("create", "namespace", unique)
    yield unique
    kubectl("delete", "namespace", unique, "--wait=false")
