"""The access rules of rbac.yaml, applied at every start."""

from pathlib import Path
from typing import Any

import yaml

from standalone.client import Client

MANIFEST = Path(__file__).parent / "rbac.yaml"

_API = "/apis/rbac.authorization.k8s.io/v1"


def manifests() -> list[dict[str, Any]]:
    """The objects in rbac.yaml, all of them cluster-scoped."""
    return list(yaml.safe_load_all(MANIFEST.read_text()))


def apply(client: Client) -> None:
    """Server-side apply every rule. Raises StandaloneError if one is refused."""
    for manifest in manifests():
        client.apply(f"{_API}/{manifest['kind'].lower()}s/{manifest['metadata']['name']}", manifest)
