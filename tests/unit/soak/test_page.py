"""docs/how-to/soak.md says what is done: its commands are understood, its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.soak import __main__ as command
from tests.soak import memory, run

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/how-to/soak.md").read_text()
[BLOCK] = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def understood(line: str) -> tuple[float, int]:
    """Minutes and seed that a line of the page asks for, by what make would run for it."""
    words = shlex.split(line, comments=True)
    done = subprocess.run([*words, "--dry-run", "--assume-old=bootstrap"], cwd=ROOT, capture_output=True, text=True, check=True)
    [last] = [each for each in done.stdout.splitlines() if "tests.soak" in each]
    options = command.parser().parse_args(shlex.split(last.partition("tests.soak")[2]))
    return options.minutes, options.seed


def test_two_hours_unless_one_says_otherwise() -> None:
    first, second = BLOCK.splitlines()
    assert "# two hours" in first
    assert understood(first)[0] == 120
    minutes, seed = re.findall(r"\d+", second)
    assert understood(second) == (float(minutes), int(seed))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("For {} s, at an operation per second", run.WORK),
        ("only in ten minutes of each {}", {40.0: "forty"}.get(run.DEADLY_PERIOD)),
        ("grows by no more than {} MiB in an hour", command.MOST_GROWTH),
        ("their first {} left out", {5.0: "five"}.get(memory.WARM_UP)),
        ("within {} minutes this must hold", {300.0: "five"}.get(run.PATIENCE)),
        ("after every {} round", {10: "tenth"}.get(run.LONG_REST_EVERY)),
    ],
)
def test_the_numbers_are_those_of_the_code(text: str, value: float | str | None) -> None:
    shown = f"{value:g}" if isinstance(value, float) else value
    assert text.format(shown) in " ".join(PAGE.split())


def test_the_rest_of_its_rate_and_periods() -> None:
    assert (run.RATE, run.DEADLY_MINUTES) == (1.0, 10.0)


def test_files_that_it_names_are_there() -> None:
    for name in ("tests/scenario/test_soak.py", "tests/bench/results/"):
        assert f"`{name}`" in PAGE
        assert (ROOT / name).exists()
