"""Where the controller's time goes while VMs are created: `python -m tests.bench.bench_profile [--vms N] [--hosts N]`.

py-spy looks from outside at the stack of the thread that holds the interpreter's lock. So these are shares of the time in which
Python code runs, neither seconds nor the kernel's work; a busy machine changes them little. Prints, keeps a record, asserts
nothing. Needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.bench import measures
from tests.bench.client import BenchError
from tests.bench.cloud import bench_cloud
from tests.bench.figures import Figure, table
from tests.bench.record import add_output, circumstances, keep
from tests.support.ending import tidy_end

PER_SECOND = 100
"""Looks. None of them holds the controller up, so a few see a stack that never was."""
OURS = ("controller", "crds", "drivers")
MOST = 30
"""Rows of each of the two tables."""
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+)\)")


class Frame(NamedTuple):
    """A function, and the file that it is in, relative to where its package is."""

    function: str
    file: str

    def __str__(self) -> str:
        return f"{self.function} ({self.file})"

    @property
    def package(self) -> str:
        """The outermost folder, or the file if there is none."""
        return self.file.removesuffix(".py").partition("/")[0]

    @property
    def place(self) -> str:
        """What the time in it is counted under: a function of ours, or a library."""
        return str(self) if self.package in OURS else self.package


class Stack(NamedTuple):
    """Frames from the outermost to the innermost, and how often they were seen."""

    frames: tuple[Frame, ...]
    looks: int


def read(text: str) -> list[Stack]:
    """Stacks as py-spy writes them, one in a line: `outermost (file);…;innermost (file) looks`. Raises BenchError for others.

    Those without a frame, of a thread that was in no Python code, are left out.
    """
    return [_stack(line) for line in text.splitlines() if not line.startswith(" ")]


def _stack(line: str) -> Stack:
    names, _, looks = line.rpartition(" ")
    found = [_FRAME.fullmatch(each) for each in names.split(";")]
    frames = tuple(Frame(match["function"], match["file"]) for match in found if match)
    if len(frames) != len(found) or not looks.isdecimal():
        raise BenchError(f"this is no stack: {line[:200]}")
    return Stack(frames, int(looks))


def itself(stacks: Iterable[Stack]) -> list[Figure]:
    """Shares of the time in each function of ours and in each library itself, without what they called."""
    counted = Counter[str]()
    for stack in stacks:
        counted[stack.frames[-1].place] += stack.looks
    return _shares("in {} itself", counted, counted.total())


def within(stacks: Sequence[Stack]) -> list[Figure]:
    """Shares of the time in each function of ours and in all that it called."""
    counted = Counter[str]()
    for stack in stacks:
        for frame in {each for each in stack.frames if each.package in OURS}:
            counted[str(frame)] += stack.looks
    return _shares("within {}", counted, sum(stack.looks for stack in stacks))


def _shares(name: str, counted: Counter[str], looks: int) -> list[Figure]:
    return [Figure(name.format(what), 100 * count / looks, "%") for what, count in counted.most_common(MOST)]


@contextmanager
def sampled(pid: int, file: Path) -> Iterator[None]:
    """Look at a process as long as the block takes, and write its stacks to the file. Raises BenchError with what py-spy says.

    The block begins when py-spy says that it looks, or has ended.
    """
    options = ["--rate", str(PER_SECOND), "--format", "raw", "--nolineno", "--nonblocking", "--gil", "--output", str(file)]
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)  # the rest is not read ahead
    begun = b""
    try:
        assert process.stdout is not None
        begun = b"".join(_until_it_looks(process.stdout))
        yield
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    if not file.exists():
        raise BenchError(f"py-spy wrote nothing: {' '.join((begun + said).decode(errors='replace').split())}")


def _until_it_looks(said: Iterable[bytes]) -> Iterator[bytes]:
    """Lines up to that by which py-spy tells that it looks, or to its end."""
    for line in said:
        yield line
        if b"Sampling process" in line:
            return


async def measure(directory: Path, vms: int, hosts: int) -> list[Figure]:
    """Fill a cloud. Raises BenchError."""
    file = directory / "stacks"
    with bench_cloud(directory, hosts, durable=True, shared_endpoint=False) as (cloud, controller):
        async with measures.opened(cloud, controller, patience=180 + vms / 2) as bench:
            await bench.rest()
            with sampled(controller.pid, file):
                await measures.fill(bench, [f"vm-{number}" for number in range(vms)])
    stacks = read(file.read_text())
    return [Figure("looks", sum(stack.looks for stack in stacks), ""), *itself(stacks), *within(stacks)]


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table and keep a record; returns the exit code."""
    options = _parser().parse_args(arguments)
    about = circumstances(datetime.now(UTC))
    try:
        with tidy_end(), tempfile.TemporaryDirectory(prefix="vireo-bench-") as directory:
            figures = asyncio.run(measure(Path(directory), options.vms, options.hosts))
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table(figures))
    keep(figures, about, ["python -m tests.bench.bench_profile", *arguments], "profile-", options.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_profile", description="Profile the controller.")
    parser.add_argument("--vms", type=int, default=2000, help="that are created (default 2000)")
    parser.add_argument("--hosts", type=int, default=200, help="default 200, an endpoint each")
    add_output(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
