"""README and guide: every command in them is run, and every link leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.demos import ROOT, commands

PAGES = [ROOT / "README.md", ROOT / "docs" / "getting-started.md"]

RUN_BY = {
    "make demo": 'tests/e2e/test_demo.py: made.make("demo")',
    "make demo-down": 'tests/e2e/test_demo.py: running.make("demo-down")',
    "make test": ".ci/run: exec make test",
}
"""Each command of the README, and the file and the words in it that run it."""


def test_the_readmes_commands_are_run() -> None:
    lines = commands((ROOT / "README.md").read_text()).split("\n")
    assert {line for line in lines if line} == set(RUN_BY)
    for where in RUN_BY.values():
        file, _, words = where.partition(": ")
        assert words in (ROOT / file).read_text()


def test_the_guides_commands_are_run() -> None:
    """test_the_guide_works runs what `commands` finds; a block of another kind would escape it."""
    text = (ROOT / "docs" / "getting-started.md").read_text()
    assert set(re.findall(r"^```(\w*)$", text, re.MULTILINE)) == {"sh", ""}
    assert len(re.findall("^```sh$", text, re.MULTILINE)) * 2 == len(re.findall("^```", text, re.MULTILINE))
    assert 'commands((ROOT / "docs" / "getting-started.md").read_text())' in (ROOT / "tests" / "e2e" / "test_demo.py").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", page.read_text())
    assert targets
    assert [target for target in targets if not (page.parent / target.partition("#")[0]).exists()] == []


def test_make_calls_the_demo() -> None:
    for target, last in (("demo", "up"), ("demo-down", "down")):
        argv = ["make", "--dry-run", "--no-print-directory", "--assume-old=bootstrap", target]
        said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert said == f".venv/bin/python -m standalone.demo {last}\n"


def test_the_guide_names_every_example() -> None:
    text = (ROOT / "docs" / "getting-started.md").read_text()
    assert [path.name for path in (ROOT / "examples" / "first-cloud").iterdir() if path.name not in text] == []
