"""The controller as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass
class ControllerProcess:
    """`vireo run` against the API server of `kubeconfig`; what it logs and caches is in `directory`.

    Its lease identity stays the same over restarts, so that a new process goes on at once.
    """

    kubeconfig: Path
    directory: Path
    identity: str = "controller-0"
    shards: int = 1
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _logged: int = 0

    def start(self) -> None:
        """Start it; it need not have done anything when this returns."""
        assert self._process is None
        temporary = self.directory / "tmp"  # of one that is killed files are left there
        temporary.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        with self.log.open("ab") as log:
            self._logged = log.tell()
            self._process = subprocess.Popen(self.command(), cwd=ROOT, env=environment, stdout=log, stderr=log)

    def command(self) -> list[str]:
        """Its command line."""
        command = [sys.executable, "-m", "controller", "run", "--kubeconfig", str(self.kubeconfig), "--identity", self.identity]
        command += ["--shards", str(self.shards)] if self.shards > 1 else []
        return [*command, "--probe-port", "0", "--image-directory", str(self.directory / "images")]

    @property
    def log(self) -> Path:
        """Everything that it printed."""
        return self.directory / f"{self.identity}.log"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def began(self) -> bool:
        """Whether it has said anything since its start."""
        return len(self.log.read_bytes()) > self._logged

    @property
    def leads(self) -> bool:
        """Whether it has acquired the lease since its start."""
        return b'"lease acquired"' in self.log.read_bytes()[self._logged :]

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill it at once, as the kernel would; nothing to do if it doesn't run."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code. One that does not is still there to be killed."""
        process = self._process
        assert process is not None
        process.terminate()
        code = process.wait(120)
        self._process = None
        return code

    def freeze(self) -> None:
        """Stop its clock, as a machine that swaps or a paused VM does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it run on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
