"""Building the binary: the cache key, one build for many, progress, and one clear sentence when it fails."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standalone import build, gobuild, golang
from standalone.errors import StandaloneError
from standalone.gobuild import Program, cache_key, failure, narrate
from standalone.golang import Go
from tests.alerts import promtool
from tests.unit.standalone.test_golang import script

GO = "go1.26.6"
PROGRAMS = pytest.mark.parametrize("program", [build.PLANE, promtool.PROGRAM], ids=lambda program: program.name)


@pytest.fixture
def plane(tmp_path: Path) -> Program:
    """The control plane, from sources that a test may change."""
    return replace(build.PLANE, source=Path(shutil.copytree(build.PLANE.source, tmp_path / "source")))


@PROGRAMS
def test_key_depends_on_every_file(program: Program, tmp_path: Path) -> None:
    copied = replace(program, source=Path(shutil.copytree(program.source, tmp_path / "source")))
    for name in program.inputs:
        before = cache_key(copied, GO)
        (copied.source / name).write_text((copied.source / name).read_text() + "\n")
        assert cache_key(copied, GO) != before


@PROGRAMS
def test_every_file_is_an_input(program: Program) -> None:
    assert sorted(program.inputs) == sorted(each.name for each in program.source.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda program: replace(program, linker_flags="-s"),
        lambda program: replace(program, options=("-tags=x",)),
        lambda program: replace(program, options=("-tags=x", "-race")),
        lambda program: replace(program, package="./cmd"),
    ],
)
def test_key_depends_on_how_it_is_built(change: Callable[[Program], Program]) -> None:
    key = cache_key(build.PLANE, GO)
    assert cache_key(build.PLANE, "go1.26.7") != key
    assert cache_key(change(build.PLANE), GO) != key


def test_key_ignores_everything_else(plane: Program) -> None:
    key = cache_key(plane, GO)
    (plane.source / "README").write_text("x")
    assert cache_key(build.PLANE, GO) == key == cache_key(plane, GO)
    assert len(key) == 20
    assert int(key, 16) >= 0


@given(st.lists(st.binary(max_size=20), min_size=3, max_size=3), st.lists(st.binary(max_size=20), min_size=3, max_size=3))
def test_key_never_confuses_two_sources(tmp_path_factory: pytest.TempPathFactory, one: list[bytes], two: list[bytes]) -> None:
    """Also where only the border between two files moves."""
    keys = []
    for contents in (one, two):
        directory = tmp_path_factory.mktemp("source")
        for name, content in zip(build.PLANE.inputs, contents, strict=True):
            (directory / name).write_bytes(content)
        keys.append(cache_key(replace(build.PLANE, source=directory), GO))
    assert (keys[0] == keys[1]) == (one == two)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ('go: x@v1: Get "https://h/x": dial tcp: lookup h on 1.1.1.1:53: no such host', "no network or no name server"),
        ("go: dial tcp 1.2.3.4:443: connect: network is unreachable", "no network"),
        ("go: dial tcp 1.2.3.4:443: connect: connection refused", "the module proxy refuses connections"),
        ("go: dial tcp 1.2.3.4:443: i/o timeout", "the module proxy doesn't answer"),
        ("go: tls: failed to verify certificate: x509: unknown authority", "certificate isn't trusted"),
        ("write /x/pkg.a: no space left on device", "the disk is full"),
        ("k8s.io/api/core/v1: compile: signal: killed", "lack of memory"),
        ("verifying k8s.io/api@v0.36.3: checksum mismatch", "differs from the one that was locked"),
        ("./main.go:9: undefined: x", "./main.go:9: undefined: x"),
    ],
)
def test_failure(output: str, reason: str) -> None:
    assert reason in failure(["go: downloading a v1\n", f"{output}\n", "\n"])


def test_failure_of_a_silent_build() -> None:
    assert failure([]) == "go build said nothing"


def test_narrate_counts_and_is_not_talkative() -> None:
    now = iter(range(100))  # each look at the clock is one second later
    said: list[str] = []
    lines = ["go: downloading a v1\n"] * 3 + ["k8s.io/api\n"] * 9
    assert list(narrate("the plane", lines, said.append, lambda: float(next(now)), every=5)) == lines
    assert said == [
        "building the plane: 3 modules downloaded, 2 packages compiled, 5 s",
        "building the plane: 3 modules downloaded, 7 packages compiled, 10 s",
    ]


BUILDS = """
echo x >> "$VIREO_CACHE/builds"
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
echo k8s.io/api >&2
printf '#!/bin/sh\\n' > "$out"
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIREO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(golang, "ensure", lambda _: Go(tmp_path / "bin" / "go", GO))
    script(tmp_path / "bin" / "go", BUILDS)
    return tmp_path / "cache"


def test_ensure_builds_once_for_all(cache: Path) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(build.ensure())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "plane" / cache_key(build.PLANE, GO) / "plane"] * 8
    assert (cache / "builds").read_text() == "x\n"
    assert found[0].read_text() == "#!/bin/sh\n"
    assert sorted(path.name for path in found[0].parent.iterdir()) == ["kubectl", "plane"]
    assert (found[0].parent / "kubectl").resolve() == found[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo 'go: dial tcp: lookup h: no such host' >&2; exit 1", "no network"),
        (
            "while [ $# -gt 0 ]; do [ $1 = -o ] && echo half > $2; shift; done; echo 'no space left on device' >&2; exit 1",
            "disk is full",
        ),
        ("exit 124", f"not finished after {gobuild.BUILD_SECONDS} s"),
        ("echo oops >&2; exit 3", "oops"),
    ],
)
def test_a_failed_build_leaves_nothing(cache: Path, tmp_path: Path, text: str, reason: str) -> None:
    script(tmp_path / "bin" / "go", text)
    with pytest.raises(StandaloneError, match=f"^the control plane could not be built: .*{reason}"):
        build.ensure()
    assert [path.name for path in (cache / "plane").iterdir() if path.is_dir()] == []
    script(tmp_path / "bin" / "go", BUILDS)
    assert build.ensure().exists(), "the next try is not hindered"


def test_an_interrupted_build_is_not_taken_for_a_finished_one(cache: Path) -> None:
    directory = cache / "plane" / cache_key(build.PLANE, GO)
    directory.mkdir(parents=True)
    (directory / "plane.unfinished").write_text("half")
    assert build.ensure().read_text() == "#!/bin/sh\n"


TELLS = BUILDS.replace("echo x >>", 'echo "$@" >>')


def test_what_a_program_asks_for_reaches_go(cache: Path, tmp_path: Path) -> None:
    script(tmp_path / "bin" / "go", TELLS)
    program = replace(promtool.PROGRAM, links=())
    assert gobuild.ensure(program).parent.parent.name == "promtool"
    [asked] = (cache / "builds").read_text().splitlines()
    words = asked.split()
    assert words[0] == "build"
    assert {"-mod=readonly", "-trimpath", *program.options} <= set(words)
    assert words[-1] == program.package


def test_programs_do_not_share_a_place(cache: Path) -> None:
    assert gobuild.ensure(promtool.PROGRAM) != build.ensure()
    assert (cache / "builds").read_text() == "x\nx\n"
