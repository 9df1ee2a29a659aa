"""The files made from the models: what they must contain, and how those on disk differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crds.base import Resource
from crds.definition import custom_resource_definition, to_yaml
from crds.lint import problems
from crds.reference import index, page

__all__ = ["differences", "manifests", "reference", "schema_problems", "write"]

Kinds = tuple[type[Resource], ...]
Files = Mapping[str, str]


def manifests(kinds: Kinds) -> dict[str, str]:
    """The CustomResourceDefinitions, by file name."""
    return {f"{kind.DEFINITION.plural}.yaml": to_yaml(kind) for kind in kinds}


def reference(kinds: Kinds) -> dict[str, str]:
    """The reference pages, by file name."""
    return {"README.md": index(kinds)} | {f"{kind.KIND.lower()}.md": page(kind) for kind in kinds}


def schema_problems(kinds: Kinds) -> list[str]:
    """Where the schemas break our own rules (crds.lint), one line each."""
    found = []
    for kind in kinds:
        schema = custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            found += problems(schema["properties"][part], f"{kind.KIND}.{part}")
    return found


def write(directory: Path, files: Files) -> list[Path]:
    """Make `directory` hold just `files` of their types; returns the paths that changed or went. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    changed = [directory / name for name in differences(directory, files)]
    for path in changed:
        if path.name in files:
            path.write_text(files[path.name], encoding="utf-8")
        else:
            path.unlink()
    return changed


def differences(directory: Path, files: Files) -> list[str]:
    """Names of files in `directory` that are missing, out of date, or left over from a kind that is gone; sorted."""
    suffixes = {Path(name).suffix for name in files}
    present = {path.name: path for path in directory.glob("*") if path.suffix in suffixes}
    stale = {name for name, text in files.items() if name not in present or present[name].read_text(encoding="utf-8") != text}
    return sorted(stale | (set(present) - set(files)))
