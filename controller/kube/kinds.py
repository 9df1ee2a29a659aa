"""Where in the Kubernetes API a kind lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from controller.runtime.keys import Key


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One kind of object as discovery names it; `group` is "" for the core API."""

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone for the core API."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """URL path of all objects of the kind, in all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/{self.plural}"

    def path_of(self, key: Key) -> tuple[str, dict[str, str]]:
        """Return the URL path of one object as a template, and what to fill in (quoted by the client)."""
        root, _, plural = self.path.rpartition("/")
        if self.namespaced:
            return f"{root}/namespaces/{{namespace}}/{plural}/{{name}}", {"namespace": key.namespace, "name": key.name}
        return f"{root}/{plural}/{{name}}", {"name": key.name}


class Kinds:
    """The kinds that this process serves, by name."""

    def __init__(self, kinds: Iterable[ApiKind]) -> None:
        self._kinds = {kind.kind: kind for kind in kinds}

    def __iter__(self) -> Iterator[ApiKind]:
        return iter(self._kinds.values())

    def __getitem__(self, kind: str) -> ApiKind:
        return self._kinds[kind]
