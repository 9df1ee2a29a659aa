"""Structural rules that no other linter knows: sizes, what a kind's folder holds and may import, words that don't belong.

`python scripts/check_structure.py [ROOT]` prints one line per violation and exits 1 if there is any; then the sizes per package.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FILE_LINES = 500
FUNCTION_LINES = 50

SOURCES = ("certificates", "crds", "drivers", "controller", "standalone")

SHARED_FOLDERS = frozenset(
    {"kube", "runtime", "inventory", "scheduler", "ipam", "images", "why", "hostprepare", "shared", "placing", "telemetry"}
)
"""Folders of controller/ that serve every kind; each other folder is a kind's."""

KIND_DRIVER_MODULES = frozenset({"drivers.adoption", "drivers.base", "drivers.types", "drivers.errors"})
"""All of drivers/ that a kind may know."""

GENERATED = ("crds/manifests/", "docs/reference/", "locks/", "standalone/plane/go.", "tests/alerts/prometheus/go.")
"""Written by programs: no size limit."""

FORBIDDEN = {
    "a path of one machine": re.compile(r"(?<![\w./~-])/(?:work|home/\w+)/"),
    "a package registry's host": re.compile(r"\bpypi\.org|pythonhosted\.org|(?:proxy|sum)\.golang\.org|registry\.npmjs\.org"),
    "unfinished work": re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HA[C]K)\b"),
}


@dataclass(frozen=True, order=True)
class Violation:
    """One broken rule at one place; `line` counts from 1."""

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        """`path:line: text`, which editors and CI turn into a link."""
        return f"{self.path}:{self.line}: {self.text}"


def check(files: Mapping[str, str]) -> list[Violation]:
    """Every violation in `files` (path from the root, with slashes → text), in order of path and line."""
    found: list[Violation] = list(kind_folders(files))
    kinds = {kind for path in files if (kind := kind_of(path))}
    for path, text in files.items():
        if not path.startswith(GENERATED):
            found += file_size(path, text)
            found += forbidden_words(path, text)
        if path.endswith(".py"):
            tree = ast.parse(text, path)
            found += function_sizes(path, tree)
            found += kind_imports(path, tree, kinds)
    return sorted(found)


def file_size(path: str, text: str) -> Iterator[Violation]:
    """Code, manifests and scripts have at most FILE_LINES lines; prose and data may be longer."""
    lines = text.count("\n")
    if lines > FILE_LINES and not path.endswith((".md", ".json", ".txt", "LICENSE")):
        yield Violation(path, FILE_LINES, f"{lines} lines; the limit is {FILE_LINES}")


def function_sizes(path: str, tree: ast.Module) -> Iterator[Violation]:
    """A function has at most FUNCTION_LINES lines, its docstring and decorators not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if ast.get_docstring(node, clean=False) is not None:
                docstring = node.body[0]
                lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
            if lines > FUNCTION_LINES:
                yield Violation(path, node.lineno, f"{node.name} has {lines} lines; the limit is {FUNCTION_LINES}")


def forbidden_words(path: str, text: str) -> Iterator[Violation]:
    """Nothing names a particular machine or registry, or leaves work for later."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield Violation(path, number, f"{what}: {found[0]}")


def kind_folders(paths: Iterable[str]) -> Iterator[Violation]:
    """Each kind's folder in controller/ has a reconciler.py: who knows one kind finds the way in all."""
    present = set(paths)
    for kind in sorted({kind for path in present if (kind := kind_of(path))}):
        if f"controller/{kind}/reconciler.py" not in present:
            yield Violation(f"controller/{kind}/reconciler.py", 1, "every kind's folder has this file")


def kind_of(path: str) -> str | None:
    """The kind whose folder holds `path`; None elsewhere."""
    parts = PurePosixPath(path).parts
    if len(parts) < 3 or parts[0] != "controller" or parts[1] in SHARED_FOLDERS or not path.endswith(".py"):
        return None
    return parts[1]


def kind_imports(path: str, tree: ast.Module, kinds: Set[str]) -> Iterator[Violation]:
    """A kind's modules import no other kind's, and of the drivers only the contract; what serves every kind imports none."""
    kind = kind_of(path)
    if kind is None:
        yield from (
            Violation(path, line, f"imports {module}, which belongs to a kind")
            for line, module in imports(tree)
            if path.startswith(tuple(f"controller/{folder}/" for folder in SHARED_FOLDERS))
            and module.startswith("controller.")
            and not kinds.isdisjoint(module.split(".")[1:2])
        )
        return
    for line, module in imports(tree):
        parts = module.split(".")
        if parts[0] == "drivers" and ".".join(parts[:2]) not in KIND_DRIVER_MODULES:
            yield Violation(path, line, f"imports {module}; a kind knows only {', '.join(sorted(KIND_DRIVER_MODULES))}")
        if parts[0] == "controller" and parts[1:2] != [kind] and not kinds.isdisjoint(parts[1:2]):
            yield Violation(path, line, f"imports {module}, which belongs to another kind")


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything imported; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def report(files: Mapping[str, str]) -> str:
    """Lines of source per package, and of tests in all, with their ratio."""
    sizes = {package: _lines(files, lambda path, package=package: path.startswith(f"{package}/")) for package in SOURCES}  # type: ignore[misc]
    source, tests = sum(sizes.values()), _lines(files, lambda path: path.startswith("tests/"))
    rows = [f"{package:12}{lines:8}" for package, lines in sizes.items()]
    return "\n".join(
        [*rows, f"{'source':12}{source:8}", f"{'tests':12}{tests:8}", f"tests : source = {tests / max(source, 1):.2f}"]
    )


def read(root: Path) -> dict[str, str]:
    """The text files that git tracks or would track below `root`. Raises CalledProcessError outside a repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    files = {}
    for name in filter(None, names):
        try:
            files[name] = (root / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):  # binary, or deleted and not yet committed
            continue
    return files


def _lines(files: Mapping[str, str], wanted: Callable[[str], bool]) -> int:
    return sum(text.count("\n") for path, text in files.items() if path.endswith(".py") and wanted(path))


def main(arguments: list[str]) -> int:
    """Check the repository at ROOT (default: the current directory)."""
    files = read(Path(arguments[0]) if arguments else Path.cwd())
    violations = check(files)
    for violation in violations:
        print(violation)
    print(report(files))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
