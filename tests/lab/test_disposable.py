"""The lab of a test run goes with it, or with the next run when it was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import cgroups, disposable, processes
from tests.lab.lab import Lab

pytestmark = pytest.mark.lab

RUN = """
import sys
from pathlib import Path
from tests.lab import disposable
with disposable(Path(sys.argv[1])) as lab:
    lab.up()
    print(lab.layout.prefix, flush=True)
    sys.stdin.read()
"""


def start_run(base: Path) -> tuple[subprocess.Popen[str], str]:
    """Another test run with a lab that is up; ends when its standard input does. Also returns the lab's prefix."""
    other = subprocess.Popen([sys.executable, "-c", RUN, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    return other, other.stdout.readline().strip()


def namespaces_of(prefix: str) -> list[str]:
    return [name for name in processes.namespaces() if name.startswith(f"{prefix}-")]


def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    with disposable(tmp_path / "labs") as lab:
        lab.up()
        prefix = lab.layout.prefix
        assert namespaces_of(prefix)
    assert namespaces_of(prefix) == []
    assert not (tmp_path / "labs").exists()


def test_an_error_in_the_run_leaves_nothing(tmp_path: Path) -> None:
    def run() -> None:
        with disposable(tmp_path / "labs") as lab:
            lab.up()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert not (tmp_path / "labs").exists()


def test_a_killed_run_is_cleaned_up_by_the_next_and_a_living_one_is_not(tmp_path: Path) -> None:
    killed, killed_prefix = start_run(tmp_path / "labs")
    living, living_prefix = start_run(tmp_path / "labs")
    killed.kill()
    killed.communicate()
    assert namespaces_of(killed_prefix)
    with disposable(tmp_path / "labs"):
        assert namespaces_of(killed_prefix) == []
        assert cgroups.find(f"vireo-lab-{killed_prefix}") == []
        assert not (tmp_path / "labs" / killed_prefix).exists()
        assert Lab(tmp_path / "labs" / living_prefix, living_prefix).host("h1").state == "on"
    living.communicate("")
    assert living.returncode == 0
    assert namespaces_of(living_prefix) == []
    assert not (tmp_path / "labs").exists()
