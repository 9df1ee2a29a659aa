"""The examples: which of them apply here, and their variables."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import yaml

from standalone.errors import StandaloneError

LIBVIRT_MARK = "kvm"
"""In the name of an example that needs the libvirt host."""


class Key(NamedTuple):
    """What one object is called; `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str


def render(directory: Path, variables: Mapping[str, str], libvirt: bool) -> dict[str, str]:
    """The examples in `directory` by file name, with each ${NAME} replaced; without `libvirt` only those that don't need it.

    Raises StandaloneError for a variable that nobody set.
    """
    quoted = {name: _quoted(value) for name, value in variables.items()}
    texts = {path.name: path.read_text() for path in sorted(directory.glob("*.yaml")) if libvirt or LIBVIRT_MARK not in path.stem}
    try:
        return {name: Template(text).substitute(quoted) for name, text in texts.items()}
    except (KeyError, ValueError) as error:
        raise StandaloneError(f"an example in {directory} has a variable that the demo does not know: {error}") from error


def _quoted(value: str) -> str:
    """What stands for a value between double quotes in YAML."""
    return yaml.safe_dump(value, default_style='"', width=float("inf")).strip()[1:-1]


def write(directory: Path, texts: Mapping[str, str]) -> None:
    """Make `directory` hold exactly these files."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in set(directory.glob("*.yaml")) - {directory / name for name in texts}:
        stale.unlink()
    for name, text in texts.items():
        (directory / name).write_text(text)


def objects(texts: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """The objects in YAML texts, those of a List one by one."""
    for text in texts:
        for document in yaml.safe_load_all(text):
            yield from document["items"] if document["kind"] == "List" else [document]


def key(manifest: Mapping[str, Any]) -> Key:
    """What an object is called."""
    metadata = manifest["metadata"]
    return Key(manifest["kind"], metadata.get("namespace", ""), metadata["name"])
