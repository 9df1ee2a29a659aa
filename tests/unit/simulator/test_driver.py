"""The entry point and its URLs."""

import pytest

from drivers import loader
from drivers.errors import InvalidSpec
from drivers.simulator.connect import TIMEOUT, SimulatorDriver, parse_url


def test_it_is_found_by_name_again_and_again() -> None:
    assert isinstance(loader.load("Simulator"), SimulatorDriver)
    assert isinstance(loader.load("Simulator"), SimulatorDriver)
    assert "Simulator" in loader.available()


@pytest.mark.parametrize(
    ("url", "address", "host", "timeout"),
    [
        ("simulator://127.0.0.1:8470", ("127.0.0.1", 8470), "", TIMEOUT),
        ("simulator://127.0.0.1:8470/", ("127.0.0.1", 8470), "", TIMEOUT),
        ("simulator://sim.example:1/host-00001", ("sim.example", 1), "host-00001", TIMEOUT),
        ("simulator://[::1]:8470/host-00001?timeout=2.5", ("::1", 8470), "host-00001", 2.5),
        ("simulator://a:1/rack%201", ("a", 1), "rack 1", TIMEOUT),
    ],
)
def test_a_url_names_server_host_and_timeout(url: str, address: tuple[str, int], host: str, timeout: float) -> None:
    assert parse_url(url) == (address, host, timeout)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "simulator",
        "simulator:",
        "simulator://",
        "simulator://a",
        "simulator://a:0",
        "simulator://a:x",
        "simulator://a:99999",
        "simulator://:1",
        "simulator://[::1:1",
        "simulator://a:1/b/c",
        "simulator://a:1/b%2Fc",
        "simulator://a:1?x=1",
        "simulator://a:1?timeout=0",
        "simulator://a:1?timeout=-1",
        "simulator://a:1?timeout=nan",
        "simulator://a:1?timeout=inf",
        "simulator://a:1?timeout=soon",
        "simulator://a:1?timeout",
        "simulator://a:1#b",
        "simulator://u@a:1",
        "simulator://u:p@a:1",
        "http://a:1",
        "qemu:///system",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_url(url)
