"""What a run remembers, and what goes together with it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from standalone import ports
from standalone.demo import up
from standalone.demo.layout import Layout
from standalone.demo.record import OWN_CLUSTER, Record, load, next_record
from standalone.errors import StandaloneError

URL = "https://cluster.example:6443"
EARLIER = Record(OWN_CLUSTER, boots=True, image_port=1001, simulator_port=1002, probe_port=1003, image_sha256="ab")


def picker() -> Callable[[], int]:
    numbers: Iterator[int] = count(2001)
    return lambda: next(numbers)


def busy(*ports: int) -> Callable[[int], bool]:
    return lambda port: port in ports


def test_nothing_saved(tmp_path: Path) -> None:
    assert load(tmp_path / "demo.json") is None


@pytest.mark.parametrize("record", [EARLIER, Record(URL, False, 1, 2, 3)])
def test_saved_and_loaded(tmp_path: Path, record: Record) -> None:
    record.save(tmp_path / "demo.json")
    assert load(tmp_path / "demo.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"], "no temporary file stays"


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"cluster": "standalone"}', '{"unknown": 1}'])
def test_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "demo.json"
    path.write_text(text)
    with pytest.raises(StandaloneError, match=r"demo\.json is damaged: clear the demo away with `make demo-down`"):
        load(path)


@pytest.mark.parametrize("libvirt", [True, False])
@pytest.mark.parametrize("cluster", [OWN_CLUSTER, URL])
def test_the_first_run_takes_free_ports(cluster: str, libvirt: bool) -> None:
    assert next_record(None, cluster, libvirt, busy(), picker()) == Record(cluster, libvirt, 2001, 2002, 2003)


@pytest.mark.parametrize("again", [False, True], ids=["first run", "next run"])
def test_ports_are_kept_for_the_services_that_will_listen_there(tmp_path: Path, again: bool) -> None:
    layout = Layout(tmp_path)
    with ExitStack() as holding:
        known = up.decide(layout, OWN_CLUSTER, False, holding)
    if again:
        known.save(layout.record)
    with ExitStack() as holding:
        found = up.decide(layout, OWN_CLUSTER, False, holding)
        assert found == known or not again
        for port in (found.image_port, found.simulator_port, found.probe_port):
            assert not ports.is_unclaimed(port)
            socket.create_server(("127.0.0.1", port)).close()


def test_the_next_run_keeps_everything() -> None:
    assert next_record(EARLIER, OWN_CLUSTER, True, busy(), picker()) == EARLIER


def test_without_libvirt_after_a_run_with_it() -> None:
    assert next_record(EARLIER, OWN_CLUSTER, False, busy(), picker()) == EARLIER, "the image still boots"


@pytest.mark.parametrize(
    ("taken", "simulator", "probe"), [([1002], 2001, 1003), ([1003], 1002, 2001), ([1002, 1003], 2001, 2002), ([99], 1002, 1003)]
)
def test_other_ports_where_they_may_change(taken: list[int], simulator: int, probe: int) -> None:
    found = next_record(EARLIER, OWN_CLUSTER, True, busy(*taken), picker())
    assert (found.simulator_port, found.probe_port) == (simulator, probe)
    assert (found.image_port, found.image_sha256) == (1001, "ab")


@pytest.mark.parametrize(
    ("earlier", "cluster", "taken", "sentence"),
    [
        (EARLIER, URL, [], f"the demo runs on its own control plane, not on the cluster {URL}: set KUBECONFIG"),
        (Record(URL, True, 1, 2, 3), OWN_CLUSTER, [], f"the demo runs on the cluster {URL}, not on its own control plane"),
        (Record(URL, True, 1, 2, 3), f"{URL}1", [], f"runs on the cluster {URL}, not on the cluster {URL}1"),
        (Record(OWN_CLUSTER, False, 1, 2, 3), OWN_CLUSTER, [], "started with the simulator only: end it with `make demo-down`"),
        (EARLIER, OWN_CLUSTER, [1001], "port 1001 on 127.0.0.1, where the demo offers its image, is in use"),
    ],
)
def test_what_does_not_go_together(earlier: Record, cluster: str, taken: list[int], sentence: str) -> None:
    with pytest.raises(StandaloneError) as caught:
        next_record(earlier, cluster, True, busy(*taken), picker())
    assert sentence in str(caught.value)
