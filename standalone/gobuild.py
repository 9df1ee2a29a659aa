"""Programs built from pinned Go modules, once per machine and for each change of what they are built from."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from standalone import golang
from standalone.cache import Progress, cache_directory, locked, make_directory
from standalone.errors import StandaloneError
from standalone.golang import Go

BUILD_SECONDS = 3600
"""Ten times what the largest needs on two cores; past it a download hangs."""

REPORT_SECONDS = 5.0

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


@dataclass(frozen=True)
class Program:
    """A Go program: `source` is the folder of its go.mod, `inputs` the files in it that decide what is built.

    `name` is that of the binary and of its place in the cache, `title` what people call it. `options` go to `go build` beside
    `linker_flags`; `links` are other names of the binary, beside it.
    """

    name: str
    title: str
    version: str
    source: Path
    inputs: tuple[str, ...]
    package: str = "."
    linker_flags: str = "-s -w"
    options: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


def ensure(program: Program, progress: Progress = lambda _: None) -> Path:
    """The path of the program's binary, building it first if this machine has none for these inputs and this Go.

    Several builders at once: one builds, the others wait. Raises StandaloneError with the reason when it can't be built.
    """
    go = golang.ensure(progress)
    directory = cache_directory() / program.name / cache_key(program, go.version)
    binary = directory / program.name
    if binary.exists():
        return binary
    with locked(directory.with_suffix(".lock"), lambda: progress(f"waiting for another build of {program.title}")):
        if not binary.exists():
            _build(program, go, directory, progress)
    return binary


def cache_key(program: Program, go_version: str) -> str:
    """20 hex digits that change with every input of the build: files, Go's version, flags."""
    package = () if program.package == "." else (program.package,)
    flags = "".join(f"{each}\n" for each in (program.linker_flags, *program.options, *package))
    digest = hashlib.sha256(f"{go_version}\n{flags}".encode())
    for name in program.inputs:
        content = (program.source / name).read_bytes()
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


def narrate(
    title: str, lines: Iterable[str], progress: Progress, clock: Callable[[], float], every: float = REPORT_SECONDS
) -> Iterator[str]:
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
            progress(f"building {title}: {downloaded} modules downloaded, {compiled} packages compiled, {now - started:.0f} s")
        yield line


def _build(program: Program, go: Go, directory: Path, progress: Progress) -> None:
    """Build into a temporary name and rename, so that an interrupted build leaves nothing that looks finished."""
    progress(f"building {program.title} ({program.version}, {go.version}); minutes, once")
    make_directory(directory)
    unfinished = directory / f"{program.name}.unfinished"
    log = list(narrate(program.title, _compile(program, go, unfinished), progress, time.monotonic))
    if not unfinished.exists():
        shutil.rmtree(directory, ignore_errors=True)
        raise StandaloneError(f"{program.title} could not be built: {failure(log)}")
    for link in program.links:
        (directory / link).unlink(missing_ok=True)
        (directory / link).symlink_to(program.name)
    unfinished.rename(directory / program.name)
    progress(f"{program.title} is built")


def _compile(program: Program, go: Go, output: Path) -> Iterator[str]:
    """Run `go build`, yielding each line it prints.  `output` exists afterwards if it succeeded."""
    flags = ["-v", "-trimpath", "-mod=readonly", f"-ldflags={program.linker_flags}", *program.options]
    command = ["timeout", str(BUILD_SECONDS), str(go.command), "build", *flags, "-o", str(output), program.package]
    with subprocess.Popen(
        command, cwd=program.source, env=golang.environment(go), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        yield from process.stderr
    if process.returncode == os.EX_OK:
        return
    output.unlink(missing_ok=True)
    if process.returncode == 124:  # timeout(1)'s own exit code
        yield f"not finished after {BUILD_SECONDS} s"
