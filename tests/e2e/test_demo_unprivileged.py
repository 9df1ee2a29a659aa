"""`make demo` by somebody who is not root: what can't be had is said, the rest is there."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.demos import NOTHING, Machine, machine, pids

NOBODY = 65534


@pytest.fixture
def somebody() -> Iterator[Machine]:
    """A machine of a user without rights: nobody's where the tests run as root, else that of whoever runs them."""
    with machine(NOBODY if os.geteuid() == 0 else None) as made:
        yield made


def owners(made: Machine) -> set[int]:
    return {(Path("/proc") / pid).stat().st_uid for pid in pids(made).values()}


def test_the_simulated_part(somebody: Machine) -> None:
    done = somebody.make("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    first = done.stdout.splitlines()[0]
    assert first == "SIMULATOR ONLY: no libvirt host, no VM that really boots: lab hosts need root: run as root"
    assert "vm demo/web-2 Running 10.20.0." in done.stdout
    assert "web-1" not in done.stdout
    assert 0 not in owners(somebody)
    before = pids(somebody)
    again = somebody.make("demo")
    assert again.returncode == 0, again.stderr
    assert pids(somebody) == before
    down = somebody.make("demo-down")
    assert down.returncode == 0, down.stderr
    assert somebody.remains() == NOTHING
