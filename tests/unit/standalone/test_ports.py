"""Choosing ports: free, distinct, the same as last time where possible."""

import random
import socket
from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standalone import ports
from standalone.errors import StandaloneError
from standalone.ports import Ports, choose

port_numbers = st.integers(ports.RANGE.start, ports.RANGE.start + 20)
some_ports = st.builds(Ports, port_numbers, port_numbers, port_numbers)


@given(st.none() | some_ports, st.none() | port_numbers, st.sets(port_numbers, max_size=15), st.integers())
def test_choose(remembered: Ports | None, api: int | None, busy: set[int], seed: int) -> None:
    def free(port: int) -> bool:
        return port not in busy

    if api in busy:
        with pytest.raises(StandaloneError, match=f"port {api} on 127.0.0.1 is in use"):
            choose(remembered, api, free, free, random.Random(seed).choice)
        return
    chosen = choose(remembered, api, free, free, random.Random(seed).choice)
    assert len({chosen.api, chosen.etcd, chosen.peer}) == 3
    assert busy.isdisjoint({chosen.api, chosen.etcd, chosen.peer})
    if api is not None:
        assert chosen.api == api
    elif remembered is not None and free(remembered.api):
        assert chosen.api == remembered.api


def test_all_are_kept_if_free() -> None:
    last = Ports(20001, 20002, 20003)
    assert choose(last, None, lambda _: True) == last
    assert choose(last, 20009, lambda _: True) == Ports(20009, 20002, 20003)


def test_nothing_free() -> None:
    with pytest.raises(StandaloneError, match=r"no free port found on 127\.0\.0\.1 between 20000 and 32767"):
        choose(None, None, unclaimed=lambda _: False)


def test_what_is_claimed_is_only_kept() -> None:
    """A port that a server has just left is good for that server again, and not for a new one."""
    last, claimed = Ports(20001, 20002, 20003), {20001, 20002, 20003, 20004}
    picks = iter([20004, 20002, 20005, 20006, 20007])
    assert choose(last, None, lambda _: True, lambda port: port not in claimed, lambda _: next(picks)) == last
    assert choose(None, None, lambda _: True, lambda port: port not in claimed, lambda _: next(picks)) == Ports(20005, 20006, 20007)


def test_chosen_outside_the_ephemeral_range() -> None:
    """Else an outgoing connection of any program could take the port between two starts (ip_local_port_range)."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(ports.RANGE) < max(lowest, 32768)


def test_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_a_port_that_is_held_is_for_its_server_alone() -> None:
    port = choose(None, None).api
    with ports.held([port]):
        assert not ports.is_unclaimed(port), "nobody else chooses it"
        assert ports.is_free(port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)), ports.held([port]):
            socket.create_connection(("127.0.0.1", port)).close()
    assert ports.is_free(port)


def test_two_that_start_at_once_choose_apart() -> None:
    """Though the second meets the ports of the first before all others."""
    first = astuple(choose(None, None))
    offers = iter(first)
    with ports.held(first):
        second = astuple(choose(None, None, pick=lambda among: next(offers, None) or random.choice(among)))
    assert set(first).isdisjoint(second)


def test_everywhere_counts_as_here() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_closed_connection_does_not_block() -> None:
    """Right after a stop the port still has connections in TIME_WAIT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the listening side closes first: that is the side which waits
            assert client.recv(1) == b""
    assert ports.is_free(port)


@given(some_ports)
def test_load_returns_what_was_saved(tmp_path_factory: pytest.TempPathFactory, saved: Ports) -> None:
    path = tmp_path_factory.mktemp("ports") / "ports.json"
    ports.save(path, saved)
    assert ports.load(path) == saved


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"api": 1}', '{"api": "x", "etcd": 1, "peer": 2}', '{"api": null}', "7"])
def test_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    assert ports.load(tmp_path / "ports.json") is None
    assert ports.load(tmp_path / "absent.json") is None
