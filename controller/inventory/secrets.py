"""Where secret material comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Secrets(Protocol):
    """Reads Kubernetes Secrets when they are needed; nothing is kept longer than a short time to live."""

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """The decoded data of a Secret, None if there is no such Secret. Raises `controller.runtime.ports.ApiError`."""
