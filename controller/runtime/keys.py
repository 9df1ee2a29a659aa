"""The identity under which an object is stored, queued and reconciled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from controller.runtime.objects import Resource


class Key(NamedTuple):
    """Kind, namespace and name of one object; the namespace is "" for a cluster-scoped kind.

    A tuple, since thousands of them are sorted and looked up all the time.
    """

    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, resource: Resource) -> Key:
        """Return the key of a parsed object."""
        return cls(resource.KIND, resource.metadata.namespace or "", resource.metadata.name)

    @classmethod
    def named(cls, kind: str, qualified: str) -> Key:
        """Return the key of a namespaced object that is called `namespace/name`."""
        namespace, _, name = qualified.partition("/")
        return cls(kind, namespace, name)

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}" if self.namespace else f"{self.kind}/{self.name}"
