"""What doesn't run is listed with its reason; `--slow` runs the slow tests. Tried in test runs of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LAB_TIMEOUT

ROOT = Path(__file__).parent.parent.parent

CASES = """
import pytest

@pytest.mark.slow
def test_slow():
    pass

def test_needs_hardware():
    pytest.skip("no such hardware")

@pytest.mark.skip(reason="no such hardware")
def test_needs_hardware_too():
    pass

def test_plain():
    pass
"""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest on the tests in `directory`, with this repository's conftest as a plugin."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={directory}"]
    options = ["-p", "no:cacheprovider", *arguments, str(directory)]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=400)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    (tmp_path / "test_cases.py").write_text(CASES)
    return tmp_path


def not_run(output: str) -> list[str]:
    lines = output.splitlines()
    return [line.strip() for line in lines if line.startswith(("NOT RUN", "    test_cases"))]


@pytest.mark.parametrize("processes", ["0", "2"])
def test_not_run_list(cases: Path, processes: str) -> None:
    done = run(cases, f"--numprocesses={processes}")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 3 skipped" in done.stdout
    listed = not_run(done.stdout)
    assert listed[0] == "NOT RUN (2): no such hardware"
    assert set(listed[1:3]) == {"test_cases.py::test_needs_hardware", "test_cases.py::test_needs_hardware_too"}
    assert listed[3:] == ["NOT RUN (1): slow; make test-slow runs it", "test_cases.py::test_slow"]


def test_slow(cases: Path) -> None:
    done = run(cases, "--slow", "-m", "slow")
    assert "1 passed, 3 deselected" in done.stdout
    assert not_run(done.stdout) == []


def test_nothing_to_list(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text("def test_plain(): pass\n")
    assert "NOT RUN" not in run(tmp_path).stdout


LAB = "import pytest\n\n@pytest.mark.lab\ndef test_lab(): pass\n"


@pytest.mark.parametrize(("missing", "reason"), [("'no root'", "NOT RUN (1): no root"), ("None", None)])
def test_lab(tmp_path: Path, missing: str, reason: str | None) -> None:
    """The lab says itself what it misses; its answer is replaced here, since this machine may have all."""
    (tmp_path / "test_cases.py").write_text(LAB)
    (tmp_path / "conftest.py").write_text(f"from tests.lab import requirements\nrequirements.missing = lambda: {missing}\n")
    done = run(tmp_path)
    assert (reason in done.stdout) if reason else ("1 passed" in done.stdout and "NOT RUN" not in done.stdout), done.stdout


LIMITS = """
import pytest

@pytest.mark.lab
def test_lab(request): assert request.node.get_closest_marker("timeout").args == (LAB,)

@pytest.mark.lab
@pytest.mark.timeout(7)
def test_own(request): assert request.node.get_closest_marker("timeout").args == (7,)

def test_plain(request): assert request.node.get_closest_marker("timeout") is None
"""


def test_tests_of_the_lab_have_a_limit_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "test_cases.py").write_text(LIMITS.replace("LAB", str(LAB_TIMEOUT)))
    (tmp_path / "conftest.py").write_text("from tests.lab import requirements\nrequirements.missing = lambda: None\n")
    assert "3 passed" in run(tmp_path).stdout


def test_a_wait_for_a_guest_ends_before_its_test_does() -> None:
    guests = pytest.importorskip("tests.lab.guests", reason="libvirt-python is not installed (scripts/bootstrap says why)")
    assert 2 * guests.PATIENCE < LAB_TIMEOUT


ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "libvirt":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.modules.pop("libvirt", None)
sys.meta_path.insert(0, Absent())
"""


def test_module_without_libvirt_is_not_run(tmp_path: Path) -> None:
    """Where libvirt-python could not be compiled the tests of the KVM driver can't even be imported."""
    (tmp_path / "conftest.py").write_text(ABSENT)
    (tmp_path / "test_cases.py").write_text("import libvirt\n\ndef test_it(): pass\n")
    done = run(tmp_path)
    assert done.returncode in (0, 5), done.stdout
    assert not_run(done.stdout) == ["NOT RUN (1): libvirt-python is not installed (scripts/bootstrap says why)", "test_cases.py"]


@pytest.mark.parametrize("text", ["import absent_module\n", "raise ValueError\n", "1 +\n"])
def test_other_broken_modules_fail(tmp_path: Path, text: str) -> None:
    (tmp_path / "test_cases.py").write_text(text)
    assert run(tmp_path).returncode == 2
