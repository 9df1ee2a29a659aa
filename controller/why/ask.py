"""Reads an object and what it names from the API server, and prints what keeps it."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from controller.app import API_KINDS
from controller.kube import credentials
from controller.kube import run as kube
from controller.kube.api import KubeApi
from controller.kube.events import Told
from controller.runtime.clock import SystemClock
from controller.runtime.keys import Key
from controller.runtime.ports import Gone, Rejected
from controller.why.explain import explain
from controller.why.references import references
from crds.v1alpha1 import KINDS

READY, NOT_READY, NOT_FOUND = 0, 1, 2

_TYPES: dict[str, Any] = {kind.KIND: kind for kind in KINDS}

KINDS_BY_NAME = {
    name.lower(): kind for kind in _TYPES.values() for name in (kind.KIND, kind.DEFINITION.plural, *kind.DEFINITION.short_names)
}
"""Kinds by all names that kubectl knows them by, in lower case."""


async def why(kubeconfig: str | None, kind: str, name: str, namespace: str | None) -> int:
    """Print why the object is as it is; return 0 if it is as declared, 1 if not, 2 if there is no such object.

    `namespace` None means that of the kubeconfig's context. Raises CredentialsError, ApiError, and ValueError for an object that
    this version can't read.
    """
    path, found = Path(kubeconfig) if kubeconfig else None, KINDS_BY_NAME[kind.lower()]
    settings = kube.Settings(path, "why", "", "", "", 0)
    log, registry = structlog.get_logger(), CollectorRegistry()
    opened = kube.connect(API_KINDS, settings, clock=SystemClock(), random=random.random, registry=registry, log=log)
    async with opened as connection:
        place = ""
        if found.DEFINITION.scope == "Namespaced":
            place = namespace or credentials.namespace(path)
        return await _tell(connection.api, Key(found.KIND, place, name))


async def _tell(api: KubeApi, key: Key) -> int:
    obj = await _read(api, key)
    if obj is None:
        print(f"{key} does not exist", file=sys.stderr)
        return NOT_FOUND
    named = [reference.key for reference in references(obj)]
    read = await asyncio.gather(*(_readable(api, each) for each in named))
    related = {each: what for each, (allowed, what) in zip(named, read, strict=True) if allowed}
    told = explain(obj, related, SystemClock().now(), await _warning(api, key, obj.metadata.uid))
    print(*told.lines, sep="\n")
    return READY if told.ready else NOT_READY


async def _warning(api: KubeApi, key: Key, uid: str) -> Told | None:
    """The last warning about an object, None also if this user may not read Events."""
    try:
        return await api.last_warning(key, uid)
    except Rejected:
        return None


async def _readable(api: KubeApi, key: Key) -> tuple[bool, Any | None]:
    """Whether this user may read an object, and the object, None if there is none."""
    try:
        return True, await _read(api, key)
    except Rejected:
        return False, None


async def _read(api: KubeApi, key: Key) -> Any | None:
    try:
        raw = await api.get(key)
    except Gone:
        return None
    return _TYPES[key.kind].parse(raw)
