"""The bench's own arithmetic."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import measures
from tests.bench.__main__ import main
from tests.bench.client import GONE, BenchError, Watch, state_of
from tests.bench.figures import Figure, Sample, parse, percentile, rate, table, total
from tests.bench.measures import BARE_WRITES, WRITES_PER_CREATE, Bench, bare, beside_bare, pieces
from tests.bench.record import document

PAGE = """\
# HELP requests Requests.
# TYPE requests counter
requests{code="200",path="/a,b=\\"c\\"}"} 3
requests{code="404",path="/x"} 2.5 1700000000000
up 1
broken line here
big 1.5e+03
"""


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3], 50, 3), ([3, 1, 2], 50, 2), ([1, 2, 3, 4], 50, 2), (range(1, 101), 95, 95), (range(1, 21), 95, 19), ([1, 2], 0, 1)],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_so_many_do_not_exceed_a_percentile(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values) * (1 - 1e-12)


def test_no_percentile_and_no_rate_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
    for times in ([], [5.0]):
        with pytest.raises(ValueError, match="nothing happened"):
            rate(times, 5.0)


def test_rate_counts_to_the_last() -> None:
    assert rate([11.0, 14.0, 12.0], 10.0) == 0.75


def test_parse() -> None:
    assert parse(PAGE) == [
        Sample("requests", {"code": "200", "path": '/a,b=\\"c\\"}'}, 3.0),
        Sample("requests", {"code": "404", "path": "/x"}, 2.5),
        Sample("up", {}, 1.0),
        Sample("big", {}, 1500.0),
    ]


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("requests", {}, 5.5),
        ("requests", {"code": "200"}, 3.0),
        ("requests", {"code": "200|404"}, 5.5),
        ("requests", {"code": "20"}, 0.0),
        ("requests", {"other": ""}, 5.5),
        ("up", {"code": "200"}, 0.0),
        ("missing", {}, 0.0),
    ],
)
def test_total(name: str, labels: dict[str, str], expected: float) -> None:
    assert total(parse(PAGE), name, **labels) == expected


def test_table_is_markdown_of_equal_columns() -> None:
    lines = table([Figure("a", 123.456, "VM/s", "≥ 30"), Figure("long name", 0.12345, "s"), Figure("c", 0, "")]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["figure", "value", "budget"]
    assert cells[2:] == [["a", "123 VM/s", "≥ 30"], ["long name", "0.123 s", ""], ["c", "0", ""]]
    assert len({len(line) for line in lines}) == 1


def test_document_says_when_how_and_what() -> None:
    kept = json.loads(
        document([Figure("a", 1.5, "s", "≤ 2", (1.0, 1.5))], {"date": "2026-11-21", "commit": "0123456789ab"}, "bench --x")
    )
    assert (kept["date"], kept["commit"], kept["command"]) == ("2026-11-21", "0123456789ab", "bench --x")
    assert kept["figures"] == [{"name": "a", "value": 1.5, "unit": "s", "budget": "≤ 2", "samples": [1.0, 1.5]}]


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "fill,nonsense"])
    assert "unknown: nonsense" in capsys.readouterr().err


def vm(ready: str = "True", *, generation: int = 1, observed: int = 1, state: str = "Running", host: str = "") -> dict[str, Any]:
    status = {"observedGeneration": observed, "state": state, "host": host, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": "a", "generation": generation, "resourceVersion": "7"}, "status": status}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (vm(), "Running"),
        (vm(state="Stopped"), "Stopped"),
        (vm("False"), ""),
        (vm(generation=2), ""),
        ({"metadata": {"name": "a", "generation": 1}}, ""),
    ],
)
def test_only_what_is_ready_has_a_state(found: dict[str, Any], state: str) -> None:
    assert state_of(found) == state


async def test_watch_notes_when_a_state_was_reached_first() -> None:
    watch = Watch()
    watch._take({"type": "ADDED", "object": vm(host="h1")})
    first = watch.states["a"]
    watch._take({"type": "MODIFIED", "object": vm(host="h2")})
    assert watch.states["a"] == first
    assert watch.hosts["a"] == "h2"
    assert await watch.all(["a"], "Running", 1.0) == [first[1]]
    watch._take({"type": "DELETED", "object": vm()})
    assert watch.count(["a", "b"], GONE) == 1
    with pytest.raises(BenchError, match="2 VMs Gone"):
        await watch.all(["a", "b"], GONE, 0.01)


def test_an_error_event_is_not_overlooked() -> None:
    with pytest.raises(BenchError, match="410"):
        Watch()._take({"type": "ERROR", "object": {"code": 410}})


@given(st.dictionaries(st.text(), st.integers(), min_size=4), st.integers(1, 4))
def test_pieces_are_the_whole_and_none_is_empty(status: dict[str, int], count: int) -> None:
    found = pieces(status, count)
    assert len(found) == count
    assert all(found)
    assert sum(map(len, found)) == len(status)
    assert {name: value for piece in found for name, value in piece.items()} == status


class BareClient:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self.patches: dict[str, list[str]] = {}
        self.deleted: list[str] = []

    async def create(self, manifest: dict[str, Any], namespace: str) -> None:
        assert manifest["metadata"]["namespace"] == namespace == "bare"
        await asyncio.sleep(0.001)
        self.created.append(manifest["metadata"]["name"])

    async def patch(self, name: str, change: dict[str, Any], namespace: str, part: str = "") -> None:
        assert namespace == "bare"
        assert change
        self.patches.setdefault(name, []).append(part)

    async def delete_all(self, namespace: str) -> None:
        self.deleted.append(namespace)


async def test_a_bare_client_writes_as_much_for_each_vm_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "BARE_SECONDS", 0.1)
    client = BareClient()
    bench = cast("Bench", SimpleNamespace(client=client))
    assert await bare(bench, {"state": "Running", "host": "h", "conditions": [1], "nics": [2]}) > 0
    assert len(set(client.created)) == len(client.created) > 0
    assert client.patches == {name: ["", "/status", "/status", "/status"] for name in client.created}
    assert 1 + len(client.patches[client.created[0]]) == 1 + BARE_WRITES
    assert client.deleted == ["bare"]


def test_creates_are_compared_with_a_bare_client_by_the_writes_of_both() -> None:
    filled = [Figure("create", 40.0, "VM/s"), Figure(WRITES_PER_CREATE, 3.0, "")]
    before, after, ratio = beside_bare(filled, 150.0, 250.0)
    assert (before.value, after.value) == (150.0, 250.0)
    assert ratio.value == 40 * 4 / 200
    assert list(ratio.samples) == [150.0, 250.0]
