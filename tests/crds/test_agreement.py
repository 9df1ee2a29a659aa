"""What the API server accepts, the model reads: else one object could stop the controller from seeing it at all.

Samples are damaged at random places with values that people and programs get wrong; server and model judge each.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from crds.base import Resource
from crds.v1alpha1 import KINDS
from tests.crds.api import Api
from tests.crds.conftest import Make
from tests.crds.samples import FULL, STATUS

PROPERTY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

Path = tuple[str | int, ...]

WRONG = st.one_of(
    st.sampled_from([True, False, 0, 1, -1, 4095, 2**31, 2**63 - 1, 0.5, [], {}, [""], [{}], {"a": "b"}, None]),
    st.sampled_from(["", " ", "On", "Enabled", "a.b", "A", "..", "/x", "sha256:", "é", "\u0000", "2026-11-20T10:00:00.5Z"]),
    st.sampled_from(["0", "1e3", "1E", "1Gi", "1.5Gi", "999999999999E", "1ms", "1h1h", "10.0.0.1", "10.0.0.0/8"]),
    st.integers(-(2**40), 2**40),
    st.text(max_size=20),
    st.from_regex(r"[a-z0-9.:/-]{1,30}", fullmatch=True),
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of everything in a sample."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def damaged(sample: Any, path: Path, value: Any) -> Any:
    """A copy of `sample` with `value` at `path`; None removes what is there."""
    result = copy.deepcopy(sample)
    target = result
    for step in path[:-1]:
        target = target[step]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return result


def readable(kind: type[Resource], raw: Any) -> bool:
    """Whether the model reads it."""
    try:
        kind.parse(raw)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_spec_that_the_server_stores_can_be_read(api: Api, make: Make, kind: type[Resource]) -> None:
    sample = FULL[kind][0]

    @PROPERTY
    @given(st.sampled_from(sorted(places(sample), key=str)), WRONG)
    def check(path: Path, value: Any) -> None:
        manifest = make(kind, damaged(sample, path, value))
        reply = api.create(kind, manifest, keep=False)
        assert reply.code in (201, 400, 422), reply.object
        if reply.accepted:
            assert readable(kind, reply.object), (path, value)
            assert kind.parse(reply.object).to_json()["spec"] == kind.parse(manifest).to_json()["spec"]

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.KIND)
def test_a_status_that_the_server_stores_can_be_read(api: Api, make: Make, kind: type[Resource]) -> None:
    """Status too: another program, or an older Vireo, may have written it."""
    sample = STATUS[kind]
    created = api.create(kind, make(kind, FULL[kind][0])).object

    @PROPERTY
    @given(st.sampled_from(sorted(places(sample), key=str)), WRONG)
    def check(path: Path, value: Any) -> None:
        reply = api.update_status(kind, created | {"status": damaged(sample, path, value)}, keep=False)
        assert reply.code in (200, 400, 422), reply.object
        assert not reply.accepted or readable(kind, reply.object), (path, value)

    try:
        check()
    finally:
        assert api.delete(kind, created).accepted
