"""Programs that the demo runs to their end, each with a time limit, everything they say kept in a log."""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standalone.errors import StandaloneError

SECONDS = 120.0

_REASONS = (
    (r"no space left on device|disk full", "the disk is full"),
    (r"could not get lock|unable to lock|unable to acquire the dpkg", "another program is using apt: wait for it to finish"),
    (
        r"name resolution|could not resolve|no such host|network is unreachable|failed to fetch|unable to connect",
        "no network, or the package server does not answer",
    ),
    (r"address already in use", "a port is in use"),
)


def reason(text: str) -> str:
    """Why a program that said `text` failed, in a few words: a known cause, else its last line."""
    for pattern, words in _REASONS:
        if re.search(pattern, text, re.IGNORECASE):
            return words
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ")[:300] if lines else "it gave no reason"


@dataclass(frozen=True)
class Runner:
    """Runs programs; `log` is the file that takes their command lines and complaints."""

    log: Path

    def run(self, argv: Sequence[str], stdin: str | None = None, timeout: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run to the end and return what came of it. Raises StandaloneError if it can't be run or takes too long."""
        try:
            done = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise StandaloneError(f"{shown(argv)} did not end within {timeout:.0f} s") from error
        except OSError as error:
            raise StandaloneError(f"cannot run {argv[0]}: {error.strerror}") from error
        self.note(f"$ {shlex.join(argv)}\n{done.stderr}exit {done.returncode}\n")
        return done

    def need(self, what: str, argv: Sequence[str], stdin: str | None = None, timeout: float = SECONDS) -> str:
        """Its standard output. Raises StandaloneError, `cannot WHAT: REASON`, if it fails."""
        done = self.run(argv, stdin, timeout)
        if done.returncode:
            raise StandaloneError(f"cannot {what}: {reason(done.stderr or done.stdout)}")
        return done.stdout

    def note(self, text: str) -> None:
        """Add text to the log."""
        with self.log.open("a") as log:
            log.write(text)


@dataclass(frozen=True)
class Kubectl:
    """kubectl with fixed leading arguments."""

    runner: Runner
    command: Sequence[str]

    def __call__(self, what: str, *arguments: str, stdin: str | None = None) -> str:
        """The output of `kubectl ARGUMENTS`. Raises StandaloneError, `cannot WHAT: REASON`, if it fails."""
        return self.runner.need(what, [*self.command, *arguments], stdin)

    def objects(self, what: str, *arguments: str) -> list[Mapping[str, Any]]:
        """The objects that `kubectl get ARGUMENTS` finds; those that don't exist are left out. Raises StandaloneError."""
        found = json.loads(self(what, "get", *arguments, "--ignore-not-found", "-o", "json") or '{"items": []}')
        return list(found["items"]) if found.get("kind", "List").endswith("List") else [found]


def shown(argv: Sequence[str]) -> str:
    """A command line short enough for a sentence."""
    words = shlex.join([Path(argv[0]).name, *argv[1:]])
    return words if len(words) <= 80 else f"{words[:79]}…"
