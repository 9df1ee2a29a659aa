"""Calls of drivers are measured where they are made, and pass through unchanged."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from controller.telemetry.metrics import DriverMetrics
from drivers import base
from drivers.errors import AuthFailed, Busy, Conflict, DriverError, InvalidSpec, NotFound, Transient, Unsupported
from drivers.types import Capability, Endpoint

ENDPOINT = Endpoint("fake://h1")


class Group:
    """Any group of calls."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.calls: list[tuple[Any, ...]] = []
        self.named = "attribute"

    def observe(self, host: str, *, instance: str) -> str:
        """Look."""
        self.calls.append((host, instance))
        if self.error:
            raise self.error
        return f"{host}/{instance}"

    def apply_mode(self, change: str) -> str:
        return change

    def fetch(self) -> list[str]:
        return []


class Connection:
    def __init__(self) -> None:
        self.hosts = self.compute = self.power = self.tasks = self.storage = self.events = Group()
        self.volumes = self.snapshots = self.adoption = self.consoles = Group()
        self.capabilities = frozenset({Capability.EVENTS})
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Driver:
    def __init__(self, error: DriverError | None = None) -> None:
        self.error = error
        self.connection = Connection()

    def connect(self, endpoint: Endpoint) -> Connection:
        assert endpoint == ENDPOINT
        if self.error:
            raise self.error
        return self.connection


class Measured:
    """A driver behind its metrics; each look at the clock is a second later than the one before."""

    def __init__(self, error: DriverError | None = None) -> None:
        self.registry = CollectorRegistry()
        ticks = itertools.count()
        self.driver = Driver(error)
        metrics = DriverMetrics(self.registry, lambda: float(next(ticks)))
        self.load = metrics.over(lambda name: cast("base.Driver", {"Fake": self.driver}[name]))

    def connect(self) -> Any:
        return self.load("Fake").connect(ENDPOINT)

    def told(self) -> dict[tuple[str, str, str], float]:
        samples = [each for metric in self.registry.collect() for each in metric.samples]
        sums = [each for each in samples if each.name == "vireo_driver_call_seconds_sum"]
        return {(each.labels["driver"], each.labels["method"], each.labels["outcome"]): each.value for each in sums}


def test_a_call_passes_through_and_is_timed() -> None:
    measured = Measured()
    connection = measured.connect()
    assert connection.compute.observe("h1", instance="i1") == "h1/i1"
    assert connection.compute.observe("h2", instance="i2") == "h2/i2"
    assert measured.driver.connection.compute.calls == [("h1", "i1"), ("h2", "i2")]
    assert measured.told() == {("Fake", "connect", "success"): 1, ("Fake", "compute.observe", "success"): 2}


@pytest.mark.parametrize(
    "error",
    [Transient("x"), Busy("x"), Conflict("x"), NotFound("x"), InvalidSpec("x"), AuthFailed("x"), Unsupported("x")],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_told_by_its_reason(error: DriverError) -> None:
    measured = Measured()
    connection = measured.connect()
    measured.driver.connection.compute.error = error
    with pytest.raises(type(error)) as raised:
        connection.compute.observe("h1", instance="i1")
    assert raised.value is error
    assert measured.told()["Fake", "compute.observe", error.reason] == 1


def test_a_defect_of_a_driver_is_told_without_its_text() -> None:
    measured = Measured()
    connection = measured.connect()
    measured.driver.connection.compute.error = KeyError("password=hunter2")
    with pytest.raises(KeyError):
        connection.compute.observe("h1", instance="i1")
    assert set(measured.told()) == {("Fake", "connect", "success"), ("Fake", "compute.observe", "DriverError")}


def test_a_connection_that_fails_is_told() -> None:
    measured = Measured(AuthFailed("no"))
    with pytest.raises(AuthFailed):
        measured.connect()
    assert set(measured.told()) == {("Fake", "connect", AuthFailed.reason)}


def test_no_such_driver_is_still_no_such_driver() -> None:
    with pytest.raises(KeyError):
        Measured().load("Nowhere")


def test_what_is_no_call_is_not_measured() -> None:
    measured = Measured()
    connection = measured.connect()
    assert connection.capabilities == frozenset({Capability.EVENTS})
    assert connection.compute.apply_mode("x") == "x"
    assert connection.compute.named == "attribute"
    assert connection.events.fetch() == []
    connection.close()
    assert measured.driver.connection.closed
    with pytest.raises(AttributeError):
        connection.compute.nowhere()
    assert set(measured.told()) == {("Fake", "connect", "success")}


def test_a_call_keeps_its_name() -> None:
    observe = Measured().connect().compute.observe
    assert (observe.__name__, observe.__doc__) == ("observe", "Look.")


def test_every_group_of_the_contract_is_measured() -> None:
    measured = Measured()
    connection = measured.connect()
    groups = {name for name, value in vars(base.Connection).items() if isinstance(value, property)} - {"capabilities", "events"}
    for name in groups:
        getattr(connection, name).observe("h", instance="i")
    assert {method for _, method, _ in measured.told()} == {"connect", *(f"{name}.observe" for name in groups)}
