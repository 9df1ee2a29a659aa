"""The control plane binary: built from the pinned Go modules in `plane/`, once per machine."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from standalone import golang
from standalone.cache import Progress, cache_directory, locked, make_directory
from standalone.errors import StandaloneError
from standalone.golang import Go

SOURCE = Path(__file__).parent / "plane"
INPUTS = ("main.go", "go.mod", "go.sum")
KUBERNETES_VERSION = "v1.36.3"

BUILD_SECONDS = 3600
"""Ten times what two cores need; past it a download hangs."""

REPORT_SECONDS = 5.0

_VERSION_PACKAGE = "k8s.io/component-base/version"
_LINKER_FLAGS = (
    f"-s -w -X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}"
    f" -X {_VERSION_PACKAGE}.gitMajor=1 -X {_VERSION_PACKAGE}.gitMinor=36"
)

_REASONS = (
    ("no space left on device", "the disk is full"),
    ("signal: killed", "the compiler was killed, most likely for lack of memory (it needs about 2 GiB)"),
    ("no such host", "Go modules can't be downloaded: no network or no name server"),
    ("network is unreachable", "Go modules can't be downloaded: no network"),
    ("connection refused", "Go modules can't be downloaded: the module proxy refuses connections"),
    ("i/o timeout", "Go modules can't be downloaded: the module proxy doesn't answer"),
    ("x509:", "Go modules can't be downloaded: the module proxy's certificate isn't trusted"),
    ("checksum mismatch", "a Go module differs from the one that was locked"),
)


def ensure(progress: Progress = lambda _: None) -> Path:
    """The path of the `plane` binary, building it first if this machine has none for these sources and this Go.

    A link named `kubectl` lies beside it.  Several builders at once: one builds, the others wait.
    Raises StandaloneError with the reason when it can't be built.
    """
    go = golang.ensure(progress)
    directory = cache_directory() / "plane" / cache_key(SOURCE, go.version)
    binary = directory / "plane"
    if binary.exists():
        return binary
    with locked(directory.with_suffix(".lock"), lambda: progress("waiting for another build of the control plane")):
        if not binary.exists():
            _build(go, directory, progress)
    return binary


def cache_key(source: Path, go_version: str) -> str:
    """20 hex digits that change with every input of the build: sources, module sums, Go's version, linker flags."""
    digest = hashlib.sha256(f"{go_version}\n{_LINKER_FLAGS}\n".encode())
    for name in INPUTS:
        content = (source / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:20]


def failure(lines: Iterable[str]) -> str:
    """Why a `go build` that printed `lines` failed, in a few words."""
    said = [line.strip() for line in lines if line.strip()]
    for pattern, reason in _REASONS:
        if any(pattern in line for line in said):
            return reason
    return said[-1] if said else "go build said nothing"


def narrate(lines: Iterable[str], progress: Progress, clock: Callable[[], float], every: float = REPORT_SECONDS) -> Iterator[str]:
    """Pass on the lines of `go build -v`, telling at most every `every` seconds how far it is."""
    started = told = clock()
    downloaded = compiled = 0
    for line in lines:
        if line.startswith("go: downloading"):
            downloaded += 1
        else:
            compiled += 1
        now = clock()
        if now - told >= every:
            told = now
            progress(
                f"building the control plane: {downloaded} modules downloaded, {compiled} packages compiled, {now - started:.0f} s"
            )
        yield line


def _build(go: Go, directory: Path, progress: Progress) -> None:
    """Build into a temporary name and rename, so that an interrupted build leaves nothing that looks finished."""
    progress(f"building the control plane (Kubernetes {KUBERNETES_VERSION}, {go.version}); several minutes, once")
    make_directory(directory)
    unfinished = directory / "plane.unfinished"
    log = list(narrate(_compile(go, unfinished), progress, time.monotonic))
    if not unfinished.exists():
        shutil.rmtree(directory, ignore_errors=True)
        raise StandaloneError(f"the control plane could not be built: {failure(log)}")
    (directory / "kubectl").unlink(missing_ok=True)
    (directory / "kubectl").symlink_to("plane")
    unfinished.rename(directory / "plane")
    progress("the control plane is built")


def _compile(go: Go, output: Path) -> Iterator[str]:
    """Run `go build`, yielding each line it prints.  `output` exists afterwards if it succeeded."""
    build = [go.command, "build", "-v", "-trimpath", "-mod=readonly", f"-ldflags={_LINKER_FLAGS}", "-o", output, "."]
    command = ["timeout", str(BUILD_SECONDS), *map(str, build)]
    with subprocess.Popen(
        command, cwd=SOURCE, env=golang.environment(go), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        yield from process.stderr
    if process.returncode == os.EX_OK:
        return
    output.unlink(missing_ok=True)
    if process.returncode == 124:  # timeout(1)'s own exit code
        yield f"not finished after {BUILD_SECONDS} s"
