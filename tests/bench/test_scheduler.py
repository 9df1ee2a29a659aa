"""The bench of the scheduler keeps every figure that it prints, with what it was measured on."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench import bench_scheduler, record
from tests.bench.bench_scheduler import Meter
from tests.bench.record import commit

ROOT = Path(__file__).parents[2]
FIGURES = [
    "build an index of 12 hosts",
    "place 5 VMs",
    "place 5 VMs on local storage",
    "place 5 VMs of one group that must keep apart",
    "place 5 VMs of one group that would rather keep apart",
    "place 5 VMs named to a host each",
    "reject 5 equal VMs that fit nowhere",
    "reject 20 different VMs, a report on every host each",
    "reject 20 different VMs, for want of room in every local pool",
    "have 12 hosts carry something different each",
    "reject 20 different VMs, no two hosts being alike",
    "release 5 VMs",
]


def test_what_is_printed_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "record.json"
    assert bench_scheduler.main(["12", "5", "--output", str(path)]) == 0
    printed = capsys.readouterr().out
    kept = json.loads(path.read_text())
    assert [each["name"] for each in kept["figures"]] == FIGURES
    shown = dict(re.findall(r"^(\S.*?) +[\d.]+ ms +([\d.]+) µs each$", printed, re.MULTILINE))
    assert shown == {each["name"]: f"{each['value']:.1f}" for each in kept["figures"]}
    assert {each["unit"] for each in kept["figures"]} == {"µs each"}
    assert "  placed 5\n" in printed
    assert printed.endswith(f"\n{path}\n")


def test_a_record_tells_what_it_was_made_on(tmp_path: Path) -> None:
    path, before = tmp_path / "record.json", datetime.now(UTC).replace(microsecond=0)
    bench_scheduler.main(["1", "1", "--output", str(path)])
    kept = json.loads(path.read_text())
    assert kept["command"] == f"python -m tests.bench.bench_scheduler 1 1 --output {path}"
    assert kept["commit"] == commit()
    assert before <= datetime.fromisoformat(kept["date"]) <= datetime.now(UTC)
    assert set(kept["machine"]) == {"cpus", "load_at_start", "python"}


def test_without_a_place_it_lies_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    bench_scheduler.main(["1", "1"])
    [made] = tmp_path.iterdir()
    assert re.fullmatch(r"scheduler-\d{4}-\d\d-\d\dT\d{6}Z\.json", made.name)


def test_time_is_counted_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1.0, 3.0])
    monkeypatch.setattr("time.process_time", lambda: next(times))
    meter = Meter()
    with meter.timed("work", 4):
        pass
    [figure] = meter.figures
    assert (figure.name, figure.value) == ("work", 500_000.0)


def test_a_vm_that_fits_is_no_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_scheduler, "REFUSED", (("that fits", {}),))
    with pytest.raises(AssertionError, match="Placement"):
        bench_scheduler.measure(1, 1)


def test_the_page_names_the_record() -> None:
    page = " ".join((ROOT / "docs/reference/performance.md").read_text().split())
    assert "`tests/bench/results/scheduler-" in page
