"""Pages of docs/ as somebody follows them: their code blocks, and a shell with `kubectl` and `vireo` to type them into."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template

from tests.support.live import LiveCloud

ROOT = Path(__file__).parents[2]
FIRST_CLOUD = ROOT / "examples" / "first-cloud"

PATIENCE = 200
"""Seconds that `kubectl wait` has, whatever the page says: a machine that runs tests may be busy."""

KUBECTL = f"""#!/bin/sh
case " $* " in *" wait "*) set -- "$@" --timeout={PATIENCE}s ;; esac
exec {{command}} "$@"
"""
VIREO = """#!/bin/sh
exec env PYTHONPATH={root} {python} -m controller "$@"
"""


def text(page: str) -> str:
    """A page, named by its path below docs/."""
    return (ROOT / "docs" / page).read_text()


def blocks(page: str, language: str = "") -> list[str]:
    """The fenced code blocks of a page in one language, in their order; "" for those that name none."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    between = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
    return [found[1] for each in between.findall(text(page)) if (found := fence.match(each))]


def typed(block: str) -> tuple[list[str], list[str]]:
    """What a session shows: the commands after `$`, and the lines that they print."""
    lines = block.splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")], [line for line in lines if not line.startswith("$ ")]


def inline(page: str, beginning: str) -> str:
    """The one code span of a page that begins so. Raises AssertionError."""
    [found] = {each for each in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text(page)) if each.startswith(beginning)}
    return found


class Reader:
    """Somebody with a page and a cloud, in the checkout, whose kubeconfig is that of an administrator, or another."""

    def __init__(self, cloud: LiveCloud, directory: Path, kubeconfig: Path | None = None) -> None:
        self._cloud = cloud
        self._directory = directory / "reader"
        self._directory.mkdir(parents=True)
        kubectl = [*cloud.plane.kubectl()[:2], f"--cache-dir={self._directory}"]
        self._tool("kubectl", KUBECTL.format(command=" ".join(kubectl)))
        self._tool("vireo", VIREO.format(root=ROOT, python=sys.executable))
        path = f"{self._directory}:{os.environ['PATH']}"
        self.environment = os.environ | {"KUBECONFIG": str(kubeconfig or cloud.plane.kubeconfig), "PATH": path}

    def _tool(self, name: str, script: str) -> None:
        (self._directory / name).write_text(script)
        (self._directory / name).chmod(0o755)

    def run(self, command: str) -> str:
        """Type it, up to the first failure; what it printed. Raises AssertionError if it failed."""
        done = self.tried(command)
        assert done.returncode == 0, f"{command}\n{done.stderr}\n{self._cloud.troubles()}"
        return done.stdout

    def tried(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type it, and see."""
        argv = ["bash", "-eo", "pipefail", "-c", command]
        return subprocess.run(argv, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=3 * PATIENCE)

    def begun(self, command: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
        """Type it and go on; what it prints is in `log`. The shell is the program itself then, to be ended like it."""
        with log.open("ab") as output:
            argv = ["bash", "-ec", f"exec {command}"]
            return subprocess.Popen(argv, cwd=ROOT, env=self.environment | environment, stdout=output, stderr=output)

    def apply_first_cloud(self, names: Sequence[str]) -> None:
        """These manifests of "getting started", for the cloud's simulator and image."""
        values = {
            "SIMULATOR_URL": self._cloud.simulator.url,
            "IMAGE_URL": self._cloud.image_url,
            "IMAGE_CHECKSUM": self._cloud.checksum,
            "SSH_KEY": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5c3BhrG7N0vSwcCkKRSb4oi8kkdPmSFPPI7NhT+dDr me@desk",
        }
        for name in names:
            filled = self._directory / name
            filled.write_text(Template((FIRST_CLOUD / name).read_text()).safe_substitute(values))
            self.run(f"kubectl apply -f {filled}")
