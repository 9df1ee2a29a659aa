"""What a controller keeps in memory: all strings that can be reached from it, each with the way there."""

from __future__ import annotations

import asyncio
import gc
import types
from collections import deque
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from structlog.testing import CapturingLogger

from drivers.simulator.service import Service
from tests.support.cloud import Cloud
from tests.support.datacentre import Datacentre
from tests.support.hypervisors import Hypervisors
from tests.support.images import FakeImages
from tests.unit.runtime.fakes import FakeApi

_OUTSIDE = (
    type,
    types.ModuleType,
    types.CodeType,
    types.FrameType,
    types.CoroutineType,
    asyncio.AbstractEventLoop,
    CapturingLogger,
    Cloud,
    Datacentre,
    FakeApi,
    FakeImages,
    Hypervisors,
    Service,
)
"""What is no part of the process that is looked at: code, what is under way, and the world around it."""


def strings(root: object) -> Iterator[tuple[str, str]]:
    """All strings that can be reached from an object, each once, as (string, way): the names and types that lead to it."""
    seen, queue = {id(root)}, deque([(root, type(root).__name__)])
    while queue:
        each, way = queue.popleft()
        if isinstance(each, str):
            yield each, way
            continue
        for name, child in _children(each):
            if id(child) not in seen and not isinstance(child, _OUTSIDE):
                seen.add(id(child))
                queue.append((child, f"{way}{name}"))


def _children(each: Any) -> Iterator[tuple[str, object]]:
    if isinstance(each, types.FunctionType):
        for cell in each.__closure__ or ():
            yield " closure", cell
        return
    if isinstance(each, dict):
        for key, value in list(each.items()):
            yield "{}", key
            yield f"[{key if isinstance(key, str) else type(key).__name__}]", value
        return
    if isinstance(each, WeakSet):
        yield from ((" WeakSet", child) for child in each)
        return
    if hasattr(each, "__dict__"):
        yield "", each.__dict__
    for child in gc.get_referents(each):
        yield f" {type(child).__name__}", child
