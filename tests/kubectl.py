"""kubectl for tests: real command lines, JSON answers."""

import json
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import Any

Manifest = Mapping[str, Any]
OWN_LIMIT = re.compile(r"--timeout=(\d+)s")
FOUND_LIMIT = 240.0
"""Seconds until a busy server lists what it serves."""


class KubectlError(AssertionError):
    """kubectl exited non-zero; the text is its command line and what it said."""


class Kubectl:
    """`kubectl` with fixed leading arguments, e.g. those of `ControlPlane.kubectl()`.

    It is killed after `timeout` seconds, beyond those that a command line gives itself: what it says of its own limit tells more.
    """

    def __init__(self, command: list[str], timeout: float = 120.0) -> None:
        self.command = command
        self.timeout = timeout

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it and return whatever came of it."""
        own = [float(found[1]) for argument in arguments if (found := OWN_LIMIT.fullmatch(argument))]
        limit = self.timeout + sum(own)
        return subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True, timeout=limit)

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Its standard output. Raises KubectlError if it fails."""
        done = self.run(*arguments, stdin=stdin)
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}{done.stdout}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The answer of `kubectl ARGUMENTS -o json`, parsed. Raises KubectlError if it fails."""
        return json.loads(self(*arguments, "-o", "json"))

    def define(self, names: Iterable[str]) -> None:
        """Wait until the kinds of these CRDs, by name, are served and found by clients: a server says too early that they are."""
        wanted, end = set(names), time.monotonic() + FOUND_LIMIT
        self("wait", "--for=condition=Established", "--timeout=200s", *(f"crd/{name}" for name in sorted(wanted)))
        while missing := wanted - set(self.run("api-resources", "-o", "name").stdout.split()):
            assert time.monotonic() < end, f"not served: {missing}"
            time.sleep(0.1)

    def apply(self, *manifests: Manifest, field_manager: str = "tests") -> None:
        """Server-side apply, unknown fields refused. Raises KubectlError with the server's reasons."""
        self("apply", "--server-side", "--validate=strict", f"--field-manager={field_manager}", "-f", "-", stdin=bundle(manifests))

    def refused(self, *manifests: Manifest) -> str:
        """What the server says when it refuses `manifests`. Raises AssertionError if it accepts them."""
        done = self.run("apply", "--server-side", "--validate=strict", "-f", "-", stdin=bundle(manifests))
        assert done.returncode != 0, f"accepted: {done.stdout}"
        return done.stderr


def bundle(manifests: Iterable[Manifest]) -> str:
    """Several manifests as one List, which kubectl reads like a multi-document file."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
