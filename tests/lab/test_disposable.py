"""The lab of a test run goes with it, or with the next run when it was killed."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import cgroups, disposable, processes
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

RUN = """
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tests.lab import disposable
with disposable(Path(sys.argv[1])) as lab:
    lab.up()
    print(lab.layout.prefix, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory for labs that is not there yet, with a short name: paths of unix sockets are."""
    with tempfile.TemporaryDirectory() as short:
        yield Path(short) / "labs"


def start_run(base: Path) -> tuple[subprocess.Popen[str], str]:
    """Another test run with a lab that is up; ends when its standard input does. Also returns the lab's prefix."""
    other = subprocess.Popen([sys.executable, "-c", RUN, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    return other, other.stdout.readline().strip()


def namespaces_of(prefix: str) -> list[str]:
    return [name for name in processes.namespaces() if name.startswith(f"{prefix}-")]


def test_the_end_leaves_nothing(base: Path) -> None:
    with disposable(base) as lab:
        lab.up()
        prefix = lab.layout.prefix
        assert namespaces_of(prefix)
    assert namespaces_of(prefix) == []
    assert not base.exists()


def test_an_error_in_the_run_leaves_nothing(base: Path) -> None:
    def run() -> None:
        with disposable(base) as lab:
            lab.up()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert not base.exists()


def test_a_killed_run_is_cleaned_up_by_the_next_and_a_living_one_is_not(base: Path) -> None:
    killed, killed_prefix = start_run(base)
    living, living_prefix = start_run(base)
    killed.kill()
    killed.communicate()
    assert namespaces_of(killed_prefix)
    with disposable(base):
        assert namespaces_of(killed_prefix) == []
        assert cgroups.find(f"vireo-lab-{killed_prefix}") == []
        assert not (base / killed_prefix).exists()
        assert Lab(base / living_prefix, living_prefix).host("h1").state == "on"
    living.communicate("")
    assert living.returncode == 0
    assert namespaces_of(living_prefix) == []
    assert not base.exists()
