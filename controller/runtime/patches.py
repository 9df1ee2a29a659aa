"""JSON merge patches (RFC 7386) between what the API has and what a draft says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(raw: Mapping[str, Any], known: Mapping[str, Any], draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that turns `raw` into `draft`; empty when there is nothing to write.

    `raw` is what the API has, `known` the same after a trip through the model, and `draft` the wanted value, both without what
    is empty.  A field that the model
    doesn't know (written by a newer version) is left alone; one that differs only in how it is written (a time with another
    UTC suffix)
    isn't written again.
    """
    patch: dict[str, Any] = {name: None for name in known if name in raw and name not in draft}
    for name, wanted in draft.items():
        have = raw.get(name)
        if have == wanted or (name in raw and known.get(name) == wanted):
            continue
        if isinstance(wanted, Mapping) and isinstance(have, Mapping):
            inner = known.get(name)
            patch[name] = merge_patch(have, inner if isinstance(inner, Mapping) else {}, wanted)
        else:
            patch[name] = wanted
    return patch


def apply_patch(target: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return `target` with a merge patch applied; what is no object is taken for an empty one."""
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_patch(result.get(name), value) if isinstance(value, Mapping) else value
    return result
