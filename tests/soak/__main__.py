"""`python -m tests.soak`: soak a cloud, say what happens minute by minute, and keep a record."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.record import RESULTS, circumstances
from tests.soak.run import Soak, Violation, dump, record
from tests.soak.site import site
from tests.support.ending import tidy_end

MOST_GROWTH = 20.0
"""MiB per hour that count as flat: what remains of the scatter of garbage collection in half an hour."""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    options = parser().parse_args(arguments)
    with tidy_end(), _directory() as directory:
        return _soak(options, directory)


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory that goes with a run that was interrupted; what is left of others is up to them."""
    made = Path(tempfile.mkdtemp(prefix="vireo-soak-"))
    try:
        yield made
    except SystemExit:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _soak(options: argparse.Namespace, directory: Path) -> int:
    started = datetime.now(UTC)
    about = circumstances(started)
    print(f"soak: seed {options.seed}, {options.minutes:g} minutes, in {directory}", flush=True)
    with site(directory) as built:
        soak, violation = Soak(built, options.seed, lambda line: print(line, flush=True)), ""
        try:
            soak.run(options.minutes)
            violation = grown(soak)
        except Violation as error:
            violation = str(error)
            dump(soak, directory)
        text = record(soak, options.seed, violation, about)
    path = options.output or RESULTS / f"soak-{started:%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(text)
    if violation:
        print(f"soak: FAILED with seed {options.seed}\n{violation}\nstate, logs and trace: {directory}\n{path}", file=sys.stderr)
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    print(f"soak: clean; memory grows by {soak.memory.growth()} MiB per hour; {path}")
    return 0


def grown(soak: Soak) -> str:
    """What is wrong with how memory grew, "" if nothing."""
    growth = soak.memory.growth()
    return f"memory grows by {growth:.1f} MiB per hour" if growth is not None and growth > MOST_GROWTH else ""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Soak a cloud in random operations and faults.")
    parser.add_argument("--minutes", type=float, default=120.0, help="default 120")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="default: a random one, which is printed")
    parser.add_argument("--output", type=Path, help="default: a dated file beside those of the bench")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
