"""Kubernetes Namespaces: their labels, by which grants choose, and the one by which clouds are told apart."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from controller.runtime.store import Store
from crds.base import Model, ObjectMeta
from crds.status import Status

SYSTEM = "kube-system"


class Namespace(Model):
    """A core/v1 Namespace: its name and labels."""

    KIND: ClassVar[str] = "Namespace"

    metadata: ObjectMeta
    status: Status = Field(default_factory=Status)


def cloud(store: Store) -> str | None:
    """What tells this cloud from all others: the uid of `kube-system`, which an API server makes before all else and never again.

    None until it has.
    """
    found = store.get(Namespace, SYSTEM)
    return found.metadata.uid if found else None
