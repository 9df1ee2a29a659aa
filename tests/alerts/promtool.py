"""promtool, by which Prometheus itself checks and tests rules: built from Prometheus' Go module, once per machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from standalone import gobuild
from standalone.cache import Progress
from standalone.gobuild import Program

VERSION = "v0.313.5"
"""Prometheus 3.13.5; its modules have numbers of their own."""

PROGRAM = Program(
    name="promtool",
    title="promtool",
    version=f"Prometheus {VERSION}",
    source=Path(__file__).parent / "prometheus",
    inputs=("go.mod", "go.sum"),
    package="github.com/prometheus/prometheus/cmd/promtool",
    options=("-tags=remove_all_sd",),  # no service discovery, and thereby no client of any cloud
)


def ensure(progress: Progress = lambda _: None) -> Path:
    """The path of `promtool`, built first if need be. Raises StandaloneError with the reason when it can't be built."""
    return gobuild.ensure(PROGRAM, progress)


class Promtool:
    """Runs promtool."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary

    def check(self, rules: Path) -> str:
        """What is wrong with a file of rules, "" if nothing."""
        return self._run("check", "rules", "--lint=all", "--lint-fatal", str(rules))

    def test(self, *tests: Path) -> str:
        """What does not come out as files of tests say, "" if all does."""
        return self._run("test", "rules", *map(str, tests))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([self._binary, *arguments], capture_output=True, text=True, timeout=300)
        return done.stdout + done.stderr if done.returncode else ""
