"""`python -m tests.bench`: measure the budgets of the architecture, print a table, write a dated JSON file.

Nothing is asserted about time. The default takes some minutes; `--vms 1000,10000 --minutes 10` is the whole of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import beside, measures
from tests.bench.client import BenchError
from tests.bench.cloud import bench_cloud
from tests.bench.figures import Figure, table
from tests.bench.measures import Bench
from tests.bench.record import add_output, circumstances, keep
from tests.support.ending import tidy_end

PARTS = ("latency", "load", "at-once", "kill50", "fill", "power", "rest", "restart", "hang", "delete")
EMPTY = {"latency", "load", "at-once", "kill50"}
"""Parts that need none of the VMs of the scale."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    about = circumstances(datetime.now(UTC))
    figures: list[Figure] = []
    try:
        for vms in options.vms:
            with tidy_end(), tempfile.TemporaryDirectory(prefix="vireo-bench-") as directory:
                figures += asyncio.run(_measure(Path(directory), vms, options))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table(figures))
    keep(figures, about, ["python -m tests.bench", *arguments], "", options.output)
    return 0


async def _measure(directory: Path, vms: int, options: argparse.Namespace) -> list[Figure]:
    hosts = options.hosts or max(10, vms // 50)
    print(f"{vms} VMs on {hosts} hosts: starting", flush=True)
    with bench_cloud(directory, hosts, durable=not options.fast_disk, shared_endpoint=options.shared_endpoint) as (
        cloud,
        controller,
    ):
        async with measures.opened(cloud, controller, patience=180 + vms / 2) as bench:
            figures: list[Figure] = []
            async for some in _parts_of(bench, [f"vm-{number}" for number in range(vms)], options):
                for each in some:
                    print(f"  {each.name}: {each.value:.4g} {each.unit}", flush=True)
                figures += some
            return figures


async def _parts_of(bench: Bench, names: Sequence[str], options: argparse.Namespace) -> AsyncIterator[list[Figure]]:
    """The figures of each part that was asked for; the VMs of the scale are made if any part needs them."""
    parts, count = options.only, len(names)
    if "latency" in parts:
        yield await measures.latency(bench, 20)
    if "load" in parts:
        yield await measures.latency_under_load(bench, 20.0, 30.0)
    if "at-once" in parts:
        yield await beside.at_once(bench)
    if "kill50" in parts:
        yield await beside.kill_in_flight(bench)
    if set(parts) <= EMPTY:
        return
    before, status = 0.0, dict[str, Any]()
    if "restart" in parts:
        status = await measures.sample(bench)
        await measures.stop(bench)
        before = await measures.bare(bench, status)
        await measures.start(bench)
    filled = await measures.fill(bench, names)
    yield filled
    if "power" in parts:
        yield await measures.power(bench, names[:100])
    if "rest" in parts:
        yield await measures.at_rest(bench, count, options.minutes)
    if "hang" in parts:
        yield await measures.hung_host(bench, 200)
    if "restart" in parts:
        await measures.stop(bench)
        yield measures.beside_bare(filled, before, await measures.bare(bench, status))
        yield await measures.cold_start(bench, count)
        await measures.stop(bench)
        yield await measures.cold_start_with_work(bench, count)
    if "delete" in parts:
        yield await measures.delete_all(bench, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what a cloud costs and how fast it is.")
    parser.add_argument("--vms", type=_numbers, default=[1000], metavar="N[,N…]", help="VMs of each scale (default 1000)")
    parser.add_argument("--hosts", type=int, default=0, help="default: one for 50 VMs, at least 10")
    parser.add_argument("--minutes", type=float, default=2.0, help="of rest (default 2)")
    parser.add_argument("--only", type=_parts, default=PARTS, metavar=",".join(PARTS), help="what to measure")
    parser.add_argument("--shared-endpoint", action="store_true", help="one endpoint for all hosts, as a vCenter is one")
    parser.add_argument("--fast-disk", action="store_true", help="let etcd skip fsync")
    add_output(parser)
    return parser


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if unknown := set(parts) - set(PARTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
