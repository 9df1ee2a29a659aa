"""Kubernetes Namespaces, as far as grants by label need them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from crds.base import Model, ObjectMeta
from crds.status import Status


class Namespace(Model):
    """A core/v1 Namespace: its name and labels."""

    KIND: ClassVar[str] = "Namespace"

    metadata: ObjectMeta
    status: Status = Field(default_factory=Status)
