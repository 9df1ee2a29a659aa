"""A demo of a test's own: beside any other on the machine, with the machine's caches, and looked at from outside."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from standalone.cache import cache_directory
from standalone.demo.layout import Layout

ROOT = Path(__file__).parent.parent.parent

CACHES = ("plane", "guest", "kvm", "go", "tools")
"""What is built or downloaded once; everything else below the cache directory is a demo's."""


LIMIT = 800.0
"""Seconds for a command on a busy machine: a bit less than a test has, so that it is known which one it was."""

ENDED = 120.0
"""Seconds until what a killed run had begun has ended by itself."""

GO_OWN = (Path(".config"), Path(".config/go"))
"""Where Go counts its own runs, whoever starts it."""


@dataclass(frozen=True)
class Machine:
    """A home directory and a cache directory of the test's own; the caches in it are those of the machine.

    `user`: the uid that everything runs as, None for that of the test.
    """

    directory: Path
    user: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.home, self.cache, self.temporary):
            path.mkdir()
        for path in (self.directory, self.home, self.cache, self.temporary):
            os.chown(path, *(-1 if self.user is None else self.user,) * 2)
        for name in CACHES:
            (cache_directory() / name).mkdir(parents=True, exist_ok=True)
            (self.cache / name).symlink_to(cache_directory() / name)
        kept = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "KUBECACHEDIR")}
        own = {"HOME": self.home, "VIREO_CACHE": self.cache, "TMPDIR": self.temporary}
        self.environment.update(kept, **{name: str(path) for name, path in own.items()})

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    @property
    def temporary(self) -> Path:
        return self.directory / "tmp"

    @property
    def layout(self) -> Layout:
        return Layout(self.cache / "demo")

    def run(self, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the checkout."""
        merged = {**self.environment, **environment}
        return subprocess.run([*self._become(), *argv], cwd=ROOT, env=merged, capture_output=True, text=True, timeout=LIMIT)

    def _become(self) -> list[str]:
        """A command line to put before others. It may read everything, since checkout and caches may lie below root's home."""
        if self.user is None:
            return []
        reading = "-all,+dac_read_search"
        return [
            "setpriv",
            *(f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"),
            *(f"--inh-caps={reading}", f"--ambient-caps={reading}", f"--bounding-set={reading}"),
        ]

    def demo(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "standalone.demo", *arguments, **environment)

    def make(self, target: str) -> subprocess.CompletedProcess[str]:
        """`make TARGET`, but for the bootstrap, which could change the environment that the tests run in."""
        return self.run("make", "--no-print-directory", "--assume-old=bootstrap", target)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script in the shell that a person would type it into, up to the first failure."""
        return self.run("bash", "-euxo", "pipefail", "-c", script, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def remains(self) -> dict[str, list[str]]:
        """Everything of the demo that is on the machine."""
        state, prefix = str(self.layout.directory), self.layout.prefix
        return {
            "processes": sorted(command for pid in _pids() if state in (command := _of_process(pid, "cmdline"))),
            "children": sorted(_of_process(pid, "cmdline") for pid in _pids() if f"={state}/" in _of_process(pid, "environ")),
            "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if state in line or prefix in line],
            "namespaces": [path.name for path in _listed("/run/netns") if path.name.startswith(prefix)],
            "links": [path.name for path in _listed("/sys/class/net") if prefix in path.name],
            "cgroups": [top for top, _, _ in os.walk("/sys/fs/cgroup") if prefix in top],
            "cache": sorted(path.name for path in _listed(self.cache) if path.name not in CACHES),
            "home": sorted(str(path) for path in self._in_home() if not path.is_relative_to(GO_OWN[1]) and path not in GO_OWN),
            "temporary": sorted(str(path) for path in self.temporary.rglob("*")),
        }

    def _in_home(self) -> list[Path]:
        return [path.relative_to(self.home) for path in self.home.rglob("*")]


NOTHING: dict[str, list[str]] = {
    "processes": [],
    "children": [],
    "mounts": [],
    "namespaces": [],
    "links": [],
    "cgroups": [],
    "cache": ["demo.lock", "demo.log"],
    "home": [],
    "temporary": [],
}


@contextmanager
def machine(user: int | None = None) -> Iterator[Machine]:
    """A machine; its demo is ended afterwards, whatever became of the test, and no process may be left of it."""
    # a short path: the lab's sockets lie below it
    with TemporaryDirectory(prefix="vireo-demo-", ignore_cleanup_errors=True) as directory:
        made = Machine(Path(directory), user)
        try:
            yield made
        finally:
            down = made.demo("down")
        assert down.returncode == 0, down.stderr
        _await_end(made)


def _await_end(made: Machine) -> None:
    left = remains_of_killed(made)["processes"]
    assert left == []


def remains_of_killed(made: Machine) -> dict[str, list[str]]:
    """What is there of a demo some of whose processes were killed: they need a moment, and so has what a killed run had begun,
    such as a kubectl, which ends by itself.
    """
    deadline = time.monotonic() + ENDED
    while ((remains := made.remains())["processes"] or remains["children"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return remains


def pids(made: Machine) -> dict[str, str]:
    """Part of the demo to pid, as `status` tells."""
    lines = made.demo("status").stdout.splitlines()
    return {found[1].strip(): found[2] for line in lines if (found := re.fullmatch(r"(.{24}) running, pid (\d+)", line))}


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error of a run that failed as it should, without the name of the log, which exists."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    found = re.fullmatch(r"error: (.*?)(?: \(log: ([^()]*)\))?", line)
    assert found, line
    assert found[2] is None or Path(found[2]).exists()
    return found[1]


def commands(markdown: str) -> str:
    """The shell code blocks of a page, one after the other; kubectl waits longer than the page says, on a busy machine."""
    text = "\n".join(re.findall(r"^```sh\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL))
    return re.sub(r"--timeout=\d+[ms]", "--timeout=10m", text)


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def _of_process(pid: int, name: str) -> str:
    try:
        return (Path("/proc") / str(pid) / name).read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _listed(directory: str | Path) -> list[Path]:
    return list(Path(directory).iterdir()) if Path(directory).is_dir() else []
