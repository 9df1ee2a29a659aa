"""scripts/bootstrap: sets a machine up, does nothing the second time, and says in one sentence why it can't.

Debian's tools are played by small scripts where the real ones would change this machine; pip, uv and venv are the real ones.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

ALL_INSTALLED = 'for word; do case $word in -*|*\\$*) ;; *) echo "installed $word" ;; esac; done'
NONE_INSTALLED = "exit 1"
AS_ROOT = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount --bind "$0" /usr/sbin && exec "$@"']


@dataclass
class Machine:
    """A checkout, a cache and a PATH of its own; `sbin` lies over /usr/sbin where the bootstrap runs as root."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("checkout", "bin", "sbin"):
            (self.directory / name).mkdir()
        for name in ("scripts", "locks", "certificates", "standalone"):
            shutil.copytree(ROOT / name, self.checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in ("crds", "drivers", "controller"):
            (self.checkout / name).mkdir()
            (self.checkout / name / "__init__.py").touch()
        self.command("dpkg-query", ALL_INSTALLED)
        self.environment = {
            **os.environ,
            "PATH": f"{self.directory / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "PYTHON": sys.executable,
            "VIREO_CACHE": str(self.directory / "cache"),
        }

    @property
    def checkout(self) -> Path:
        return self.directory / "checkout"

    def command(self, name: str, text: str) -> Path:
        """Put a shell script first on PATH."""
        path = self.directory / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def bootstrap(self, *prefix: str, more: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        command = [*prefix, str(self.checkout / "scripts" / "bootstrap"), *more.split()]
        merged: Mapping[str, str] = {**self.environment, **environment}
        return subprocess.run(command, env=merged, capture_output=True, text=True, timeout=800)

    def bootstrap_as_root(self, more: str = "") -> subprocess.CompletedProcess[str]:
        return self.bootstrap(*AS_ROOT, str(self.directory / "sbin"), more=more)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The last line on standard error of a run that failed as it should."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bootstrap: ")
    return last.removeprefix("bootstrap: ")


def test_sets_up_once(machine: Machine) -> None:
    machine.command("pkg-config", "exit 1")
    first = machine.bootstrap()
    assert first.returncode == 0, first.stderr
    assert "SKIPPED libvirt-python: the libvirt headers" in first.stderr, "loud about what it left out"
    python = machine.checkout / ".venv" / "bin" / "python"
    imported = "import kopf, pytest, standalone; print(standalone.__file__)"
    done = subprocess.run([python, "-c", imported], cwd=machine.directory, capture_output=True, text=True)
    assert done.stdout == f"{machine.checkout}/standalone/__init__.py\n", done.stderr

    before = {path: path.stat().st_mtime_ns for path in (machine.checkout / ".venv").iterdir()}
    second = machine.bootstrap()
    assert second.returncode == 0
    assert len(second.stderr.splitlines()) == 1, "still says what is missing, and nothing else"
    assert "SKIPPED libvirt-python" in second.stderr
    assert {path: path.stat().st_mtime_ns for path in (machine.checkout / ".venv").iterdir()} == before

    with (machine.checkout / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    third = machine.bootstrap()
    assert third.returncode == 0, third.stderr
    assert "installing Python packages" in third.stderr
    assert "installing uv" not in third.stderr

    shutil.rmtree(machine.checkout / ".venv" / "bin")
    assert machine.bootstrap().returncode == 0
    assert python.exists(), "a broken environment is made again"


def test_no_python(machine: Machine) -> None:
    said = sentence(machine.bootstrap(PYTHON="/absent/python"))
    assert said == "/absent/python not found: Python 3.11 or newer is needed"


def test_old_python(machine: Machine) -> None:
    old = machine.command("old", '[ "$1" = -V ] && echo Python 3.9.2 && exit; exit 1')
    assert sentence(machine.bootstrap(PYTHON=str(old))) == "Python 3.9.2 is too old: Python 3.11 or newer is needed"


def test_python_without_venv(machine: Machine) -> None:
    """As Debian splits it."""
    bare = machine.command("bare", f'case "$*" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"')
    said = sentence(machine.bootstrap(PYTHON=str(bare)))
    assert said == f"{bare} cannot make virtual environments: install the Debian package python3-venv (bootstrap does that as root)"


def test_unusable_cache(machine: Machine) -> None:
    said = sentence(machine.bootstrap(VIREO_CACHE="/proc/absent"))
    assert said == "cannot create /proc/absent: set VIREO_CACHE to a directory that can be written"


def test_no_network_for_python_packages(machine: Machine) -> None:
    """A port of this machine on which nobody listens is the index; pip is the real one."""
    nobody = "http://127.0.0.1:9/simple"
    said = sentence(machine.bootstrap(PIP_INDEX_URL=nobody, PIP_RETRIES="1", PIP_NO_CACHE_DIR="1", PIP_FIND_LINKS=""))
    assert said.startswith("cannot install uv: no network, or the package server does not answer (log: ")
    assert not list((machine.directory / "cache" / "tools").glob("uv-*/bin/uv"))


def test_broken_project(machine: Machine) -> None:
    """uv's own words, its first ones: what follows are the insides of a build."""
    (machine.checkout / "README.md").unlink()
    said = sentence(machine.bootstrap())
    assert said.startswith("cannot install Vireo itself: error: Failed to build `vireo @")
    again = sentence(machine.bootstrap())
    assert again == said, "not taken for done"


def test_without_root_packages_are_named(machine: Machine) -> None:
    machine.command("dpkg-query", NONE_INSTALLED)
    machine.command("id", "echo 1000")
    machine.command("apt-get", "echo must not run >&2; exit 9")
    done = machine.bootstrap(PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="1", PIP_NO_CACHE_DIR="1", PIP_FIND_LINKS="")
    (skipped,) = [line for line in done.stderr.splitlines() if "SKIPPED Debian" in line]
    assert "not root" in skipped
    assert "libvirt-dev" in skipped
    assert not (machine.directory / "cache" / "bootstrap.log").read_text().startswith("must not run")


@pytest.mark.parametrize(
    ("apt", "reason"),
    [
        (
            "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 77 (apt)' >&2; exit 100",
            "another program is using apt: wait for it to finish and try again",
        ),
        ('echo "E: Failed to fetch. Temporary failure in name resolution" >&2; exit 100', "no network"),
        ("echo 'E: Write error - write (28: No space left on device)' >&2; exit 100", "the disk is full"),
        ("echo 'E: Unable to locate package libvirt-dev' >&2; exit 100", "E: Unable to locate package libvirt-dev"),
    ],
)
@pytest.mark.parametrize("step", ["update", "install"])
def test_apt_fails(machine: Machine, apt: str, reason: str, step: str) -> None:
    machine.command("dpkg-query", NONE_INSTALLED)
    machine.command("apt-get", f'case "$*" in *{step}*) {apt} ;; esac')
    said = sentence(machine.bootstrap_as_root())
    what = "refresh the package lists" if step == "update" else "install Debian packages"
    assert said.startswith(f"cannot {what}: {reason}")
    assert list((machine.directory / "sbin").iterdir()) == [], "no policy left behind"


def policy_during_installation(machine: Machine) -> str:
    """Install packages that are missing; what /usr/sbin/policy-rc.d held meanwhile. apt-get plays along, then fails."""
    machine.command("dpkg-query", NONE_INSTALLED)
    seen = machine.directory / "seen"
    machine.command("apt-get", f'case "$*" in *install*) cat /usr/sbin/policy-rc.d > {seen}; echo stop; exit 1 ;; esac')
    sentence(machine.bootstrap_as_root())
    return seen.read_text()


def test_no_service_starts_while_packages_are_installed(machine: Machine) -> None:
    """Debian's invoke-rc.d asks policy-rc.d; 101 forbids."""
    policy = policy_during_installation(machine)
    assert policy.splitlines()[-1] == "exit 101"
    assert list((machine.directory / "sbin").iterdir()) == []


def test_a_policy_that_is_not_ours_stays(machine: Machine) -> None:
    theirs = machine.directory / "sbin" / "policy-rc.d"
    theirs.write_text("#!/bin/sh\nexit 0\n")
    assert policy_during_installation(machine) == theirs.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_policy_of_ours_left_by_a_kill_goes(machine: Machine) -> None:
    ours = policy_during_installation(machine)
    (machine.directory / "sbin" / "policy-rc.d").write_text(ours)
    assert policy_during_installation(machine) == ours
    assert list((machine.directory / "sbin").iterdir()) == []


@pytest.mark.parametrize(("more", "slow"), [("", False), ("slow", True)])
def test_what_only_slow_tests_need_is_installed_for_them_alone(machine: Machine, more: str, slow: bool) -> None:
    machine.command("dpkg-query", NONE_INSTALLED)
    seen = machine.directory / "seen"
    machine.command("apt-get", f'case "$*" in *install*) echo "$*" > {seen}; echo stop; exit 1 ;; esac')
    sentence(machine.bootstrap_as_root(more))
    installed = set(seen.read_text().split())
    assert "libvirt-dev" in installed
    assert ({"user-mode-linux", "nfs-ganesha-vfs"} <= installed) is slow
    assert ("user-mode-linux" in installed) is slow


def test_an_unknown_argument(machine: Machine) -> None:
    assert sentence(machine.bootstrap(more="fast")) == "unknown: fast; usage: scripts/bootstrap [slow]"


@pytest.mark.parametrize("name", ["debian-packages.txt", "debian-packages-slow.txt"])
def test_packages_have_reasons_and_the_right_form(name: str) -> None:
    lines = (ROOT / "scripts" / name).read_text().splitlines()
    names = [line.split()[0] for line in lines if line and not line.startswith("#")]
    assert len(names) == len(set(names))
    for line in lines:
        package, _, reason = line.partition("  # ")
        assert (
            line.startswith("#") or not line or (package.replace("-", "").replace("+", "").replace(".", "").isalnum() and reason)
        ), line
