"""`python -m tests.bench.growth`: how a cloud's costs grow with its VMs; writes the figures as JSON and draws them as SVG.

One cloud is filled step by step. At each step VMs are timed that come one by one and at a steady rate, and their deletion; writes
are counted in a minute of rest; then the controller is stopped, a bare client writes what it would, and it is started with a VM
waiting for it. Nothing is asserted. Data of before a figure was measured can be drawn again, without its panel.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import measures
from tests.bench.client import BenchError
from tests.bench.cloud import bench_cloud
from tests.bench.figures import Figure, percentile, rate
from tests.bench.measures import Bench
from tests.bench.plot import Panel, draw
from tests.bench.record import circumstances
from tests.support.ending import tidy_end

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PER_SECOND, SECONDS = 20.0, 15.0
"""VMs that come at a steady rate, and for how long."""
UNLOADED, REST = 20, 1.0
"""VMs that come one after the other, and minutes in which nothing is asked."""
PANELS = [
    Panel("create", "create → Running, VM/s", "≥ 30", 30.0),
    Panel("ratio", "create → Running / bare client", "≥ 0.6", 0.6),
    Panel("writes", "API writes per create", "≤ 5", 5.0),
    Panel("writes_at_rest", "API writes in a minute of rest", "0", None),
    Panel("p95_unloaded", "apply → Running, unloaded: P95, s", "≤ 0.5", 0.5),
    Panel("p50", "apply → Running at 20 VM/s: P50, s", "", None),
    Panel("p95", "apply → Running at 20 VM/s: P95, s", "≤ 2", 2.0),
    Panel("delete", "delete, VM/s", "", None),
    Panel("memory", "controller memory, MiB", "≤ 250", 250.0),
    Panel("memory_cold", "controller memory after a cold start, MiB", "≤ 250", 250.0),
    Panel("cold_start", "cold start: a new VM Running, s", "≤ 30", 30.0),
    Panel("controller_cpu", "CPU of the controller per VM created, ms", "", None),
]


async def measure(directory: Path, scales: Sequence[int], hosts: int, durable: bool) -> list[dict[str, float]]:
    """One point for each scale, in ascending order."""
    with bench_cloud(directory, hosts, durable=durable, shared_endpoint=False) as (cloud, controller):
        async with measures.opened(cloud, controller, patience=300 + max(scales) / 5) as bench:
            points: list[dict[str, float]] = []
            there = 0
            for scale in sorted(scales):
                points.append(await _point(bench, [f"vm-{number}" for number in range(there, scale)], scale))
                there = scale
                print(f"  {scale} VMs: " + ", ".join(f"{name} {value:.3g}" for name, value in points[-1].items()), flush=True)
            return points


async def _point(bench: Bench, names: Sequence[str], scale: int) -> dict[str, float]:
    """Fill up to the scale, and measure there. The VMs of the fill stay."""
    status = await measures.sample(bench)
    filled = await measures.fill(bench, names)
    point: dict[str, float] = {"vms": scale, **of_fill(filled)}
    [_, unloaded] = await measures.latency(bench, UNLOADED)
    point["p95_unloaded"] = unloaded.value
    point |= await _steady(bench, scale)
    [writes, _] = await measures.at_rest(bench, scale, REST)
    point["writes_at_rest"] = writes.value
    await measures.stop(bench)
    rate_of_client = await measures.bare(bench, status)
    point["ratio"] = measures.beside_bare(filled, rate_of_client, rate_of_client)[-1].value
    for each in await measures.cold_start_with_work(bench, scale):
        point["cold_start"] = each.value
    await bench.rest()
    point["memory_cold"] = bench.controller.memory()
    return point


def of_fill(filled: Sequence[Figure]) -> dict[str, float]:
    """The figures of `measures.fill` that are drawn, by the names of their panels."""
    found = {each.name: each.value for each in filled}
    memory = next(value for name, value in found.items() if name.startswith("controller memory"))
    cpu = found["CPU of controller per VM created"]
    return {"create": filled[0].value, "controller_cpu": cpu, "writes": found[measures.WRITES_PER_CREATE], "memory": memory}


async def _steady(bench: Bench, scale: int) -> dict[str, float]:
    """VMs at a steady rate, then their deletion all at once."""
    names = [f"steady-{scale}-{number}" for number in range(int(PER_SECOND * SECONDS))]
    sent = await bench.create(names, PER_SECOND)
    reached = await bench.watch.all(names, "Running", bench.patience)
    took = [at - sent[name] for name, at in zip(names, reached, strict=True)]
    await bench.rest()
    began = time.monotonic()
    gone = await bench.delete(names)
    return {"p50": percentile(took, 50), "p95": percentile(took, 95), "delete": rate(gone, began)}


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    data, picture = options.output.with_suffix(".json"), options.output.with_suffix(".svg")
    if not options.draw:
        try:
            with tidy_end(), tempfile.TemporaryDirectory(prefix="vireo-growth-") as directory:
                kept = _document(options, ["python -m tests.bench.growth", *arguments], Path(directory))
        except BenchError as error:
            print(f"growth: {error}", file=sys.stderr)
            return 1
        data.write_text(json.dumps(kept, indent=1) + "\n")
    kept = json.loads(data.read_text())
    machine = kept["machine"]
    made = " ".join([kept["date"][:10], kept.get("commit", "")]).strip()
    caption = f"{kept['hosts']} hosts; {made}, {machine['cpus']} cores, load {machine['load_at_start']:g} at the start"
    drawn = [panel for panel in PANELS if all(panel.name in point for point in kept["points"])]
    picture.write_text(draw(kept["points"], drawn, caption))
    print(f"{data}\n{picture}")
    return 0


def _document(options: argparse.Namespace, command: Sequence[str], directory: Path) -> dict[str, Any]:
    about = circumstances(datetime.now(UTC))
    points = asyncio.run(measure(directory, options.vms, options.hosts, not options.fast_disk))
    return {**about, "command": " ".join(command), "hosts": options.hosts, "points": points}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description="Measure how costs grow, and draw it.")
    default = [1000, 2500, 5000, 10000]
    parser.add_argument("--vms", type=lambda text: [int(each) for each in text.split(",")], default=default, metavar="N[,N…]")
    parser.add_argument("--hosts", type=int, default=1000, help="default 1000")
    parser.add_argument("--fast-disk", action="store_true", help="let etcd skip fsync")
    parser.add_argument("--draw", action="store_true", help="draw what was measured before, measure nothing")
    parser.add_argument("--output", type=Path, default=REFERENCE / "growth", help="without suffix (default docs/reference/growth)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
