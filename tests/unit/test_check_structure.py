"""The structural check refuses what it says it refuses, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_structure
from scripts.check_structure import FILE_LINES, FUNCTION_LINES, Violation, check

RECONCILER = {"controller/vm/reconciler.py": ""}


def function(lines: int, docstring: int = 0, indent: str = "", keyword: str = "def") -> str:
    """A function of `lines` lines in all, its docstring of `docstring` lines not among them."""
    said = [f'{indent}    """Text.', *[f"{indent}    more"] * (docstring - 2), f'{indent}    """'] if docstring else []
    return "\n".join([f"{indent}{keyword} f():", *said, *[f"{indent}    x = 1"] * (lines - 1)]) + "\n"


@pytest.mark.parametrize(
    ("path", "lines", "refused"),
    [
        ("crds/base.py", FILE_LINES, False),
        ("crds/base.py", FILE_LINES + 1, True),
        ("scripts/bootstrap", FILE_LINES + 1, True),
        ("tests/unit/test_x.py", FILE_LINES + 1, True),
        ("README.md", FILE_LINES + 1, False),
        ("LICENSE", FILE_LINES + 1, False),
        ("crds/manifests/vm.yaml", FILE_LINES + 1, False),
        ("locks/requirements.txt", 9 * FILE_LINES, False),
        ("standalone/plane/go.sum", FILE_LINES + 1, False),
        ("tests/alerts/prometheus/go.sum", FILE_LINES + 1, False),
        ("tests/alerts/users.yaml", FILE_LINES + 1, True),
        ("standalone/plane/main.go", FILE_LINES + 1, True),
    ],
)
def test_file_size(path: str, lines: int, refused: bool) -> None:
    found = check({path: "\n" * lines})
    expected = [Violation(path, FILE_LINES, f"{lines} lines; the limit is {FILE_LINES}")]
    assert found == (expected if refused else [])


@pytest.mark.parametrize("keyword", ["def", "async def"])
@pytest.mark.parametrize("docstring", [0, 2, 30])
def test_function_size(keyword: str, docstring: int) -> None:
    allowed = function(FUNCTION_LINES, docstring, keyword=keyword)
    too_long = function(FUNCTION_LINES + 1, docstring, keyword=keyword)
    assert check({"crds/a.py": allowed}) == []
    assert [(v.line, v.text) for v in check({"crds/a.py": too_long})] == [
        (1, f"f has {FUNCTION_LINES + 1} lines; the limit is {FUNCTION_LINES}")
    ]


def test_functions_inside_classes_and_functions_count_too() -> None:
    method = "class A:\n" + function(FUNCTION_LINES + 1, indent="    ")
    assert [violation.line for violation in check({"crds/a.py": method})] == [2]
    nested = "def outer():\n" + function(FUNCTION_LINES + 1, indent="    ")
    assert [violation.line for violation in check({"crds/a.py": nested})] == [1, 2]


# Put together here so that this file doesn't contain what it tests for.
WORK, HOME = "/wo" + "rk/x", "/ho" + "me/kim/x"
REGISTRY, PROXY = "py" + "pi.org", "proxy.gol" + "ang.org"
LATER = "TO" + "DO"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"path = '{WORK}'", "a path of one machine"),
        (f"cd {HOME}", "a path of one machine"),
        (f"see https://{REGISTRY}/simple", "a package registry's host"),
        (f"GOPROXY=https://{PROXY}", "a package registry's host"),
        (f"x = 1  # {LATER}: later", "unfinished work"),
    ],
)
def test_forbidden_words(line: str, what: str) -> None:
    (found,) = check({"docs/page.md": f"first\n{line}\n"})
    assert (found.path, found.line) == ("docs/page.md", 2)
    assert found.text.startswith(f"{what}: ")


@pytest.mark.parametrize(
    "line", ["apis/work/v1", "a framework/x", "~/home/x", "TODOS", "mastodon", "https://example.org/work/x", "./work/x"]
)
def test_harmless_words(line: str) -> None:
    assert check({"docs/page.md": line}) == []


def test_every_kind_has_a_reconciler() -> None:
    files = {
        "controller/vm/plan.py": "",
        "controller/host/reconciler.py": "",
        "controller/runtime/queue.py": "",
        "controller/app.py": "",
    }
    assert [str(violation) for violation in check(files)] == ["controller/vm/reconciler.py:1: every kind's folder has this file"]


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        ("import controller.host.plan", True),
        ("from controller.host.plan import place", True),
        ("from controller.host import plan", True),
        ("from controller import host", True),
        ("def f():\n    from controller.host import plan", True),
        ("from controller.vm import plan", False),
        ("from controller.runtime.results import done", False),
        ("from controller.shared.lookups import hosts", False),
        ("from crds.v1alpha1.host import Host", False),
        ("from drivers.base import Compute", False),
        ("from drivers import types", False),
        ("from drivers.errors import Busy", False),
        ("import drivers.kvm.link.session", True),
        ("from drivers.loader import load", True),
        ("from drivers import simulator", True),
        ("import host", False),
    ],
)
def test_what_a_kind_may_import(statement: str, refused: bool) -> None:
    files = {
        **RECONCILER,
        "controller/vm/plan.py": f"{statement}\n",
        "controller/host/reconciler.py": "",
        "controller/shared/lookups.py": "",
    }
    found = check(files)
    assert [violation.path for violation in found] == (["controller/vm/plan.py"] if refused else [])


def test_shared_folders_may_import_more_but_no_kind() -> None:
    files = {"controller/vm/reconciler.py": "", "controller/inventory/a.py": "import drivers.loader, controller.vm.plan\n"}
    assert [str(violation) for violation in check(files)] == [
        "controller/inventory/a.py:1: imports controller.vm.plan, which belongs to a kind"
    ]


def test_report_counts_python_lines_only() -> None:
    files = {"crds/a.py": "\n" * 10, "crds/a.yaml": "\n" * 50, "drivers/b.py": "\n" * 30, "tests/t.py": "\n" * 60}
    lines = [line.split() for line in check_structure.report(files).splitlines()]
    assert ["crds", "10"] in lines
    assert ["source", "40"] in lines
    assert ["tests", ":", "source", "=", "1.50"] in lines
    assert "0.00" in check_structure.report({})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "ignored.py").write_text(LATER)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "new.py").write_text("x = 1\n")
    return tmp_path


def run(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, check_structure.__file__, str(root)], capture_output=True, text=True)


def test_program(repository: Path) -> None:
    """Untracked files count, ignored and binary ones don't."""
    assert run(repository).returncode == 0
    (repository / "new.py").write_text(f"x = 1  # {LATER}\n")
    done = run(repository)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"new.py:1: unfinished work: {LATER}"


def test_deleted_files_are_passed_over(repository: Path) -> None:
    subprocess.run(["git", "-C", repository, "add", "."], check=True)
    (repository / "new.py").unlink()
    assert set(check_structure.read(repository)) == {".gitignore"}
