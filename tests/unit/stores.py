"""A store with all of the controller's indexes, as tests of shared look-ups want it."""

from __future__ import annotations

from typing import Any

from controller.runtime.store import Store
from controller.shared.lookups import register_all


def store(*objects: dict[str, Any]) -> Store:
    """Filled with these objects; each gets a uid, `uid-1` and on."""
    made = Store()
    register_all(made)
    for number, raw in enumerate(objects, start=1):
        raw["metadata"] |= {"uid": f"uid-{number}", "resourceVersion": str(number), "generation": 1}
        made.upsert(raw)
    return made
