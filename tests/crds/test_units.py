"""Sizes, durations and times mean to us what they mean to Kubernetes: its CEL library is asked about random ones."""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crds.fields import Duration, Quantity, Timestamp
from tests.crds.api import Api
from tests.kubectl import Kubectl

PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

EQUAL = {
    # bytes are the quantity rounded up, as resource.Quantity.Value() does
    "quantities": "self.all(p, quantity(p.text).compareTo(quantity(p.number)) <= 0 && "
    "quantity(p.text).compareTo(quantity(p.below)) > 0)",
    "durations": "self.all(p, duration(p.text) == duration(p.number + 'ms'))",
    "times": "self.all(p, int(timestamp(p.text)) == int(p.number))",
}
TEXT = {"type": "string", "maxLength": 32}
TRIPLE = {
    "type": "object",
    "required": ["text", "number", "below"],
    "properties": {"text": TEXT, "number": TEXT, "below": TEXT},
}


def probe_crd() -> dict[str, Any]:
    """A kind of this test's own: text and number that must be one value by the server's reckoning."""
    lists = {
        name: {
            "type": "array",
            "maxItems": 20,
            "items": TRIPLE,
            "x-kubernetes-validations": [{"rule": rule, "message": f"{name} differ"}],
        }
        for name, rule in EQUAL.items()
    }
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": lists}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "unitprobes.test.vireo.dev"},
        "spec": {
            "group": "test.vireo.dev",
            "scope": "Cluster",
            "names": {"kind": "UnitProbe", "plural": "unitprobes", "singular": "unitprobe", "listKind": "UnitProbeList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture(scope="module")
def probe(kubectl: Kubectl, api: Api) -> Iterator[Api]:
    """The API with the probe kind being served."""
    kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(probe_crd()))
    kubectl.define(["unitprobes.test.vireo.dev"])
    yield api
    kubectl("delete", "crd", "unitprobes.test.vireo.dev", "--wait=false")


def agrees(probe: Api, name: str, pairs: list[tuple[str, int]]) -> None:
    """The server finds text and number of each pair equal."""
    spec = {name: [{"text": text, "number": str(number), "below": str(number - 1)} for text, number in pairs]}
    manifest = {"apiVersion": "test.vireo.dev/v1", "kind": "UnitProbe", "metadata": {"name": "x"}, "spec": spec}
    reply = probe.try_at("/apis/test.vireo.dev/v1/unitprobes", manifest)
    assert reply.accepted, (pairs, reply.object["message"])


digits = st.integers(0, 10**6).map(str) | st.decimals(0, 10**4, places=3, allow_nan=False).map(str)
suffixes = st.sampled_from(["", "Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T", "e0", "E2", "e12"])
sizes = st.tuples(digits, suffixes).map("".join)


@PROPERTY
@given(st.lists(sizes, min_size=1, max_size=20))
@example(["0", "1", "1.5Gi", "0.001", "1E", "1E3", "7Ei", "8Pi", "0.1Ki", "9223372036854775807", "000012", "1e18", "7.999Ei"])
def test_sizes(probe: Api, texts: list[str]) -> None:
    agrees(probe, "quantities", [(text, Quantity(text).bytes) for text in texts])


@PROPERTY
@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20))
def test_sizes_that_we_write(probe: Api, numbers: list[int]) -> None:
    agrees(probe, "quantities", [(Quantity.of(number), number) for number in numbers])


part = st.tuples(st.integers(0, 99999), st.sampled_from(["h", "m", "s", "ms"]))


@PROPERTY
@given(st.lists(st.lists(part, min_size=1, max_size=4), max_size=20))
@example([[(0, "s")], [(90, "s")], [(1, "h"), (30, "m")], [(99999, "h")] * 4, [(5, "ms"), (5, "m")]])
def test_durations(probe: Api, durations: list[list[tuple[int, str]]]) -> None:
    texts = ["".join(f"{number}{unit}" for number, unit in parts) for parts in durations]
    agrees(probe, "durations", [(text, Duration(text).timedelta // dt.timedelta(milliseconds=1)) for text in texts])


@PROPERTY
@given(st.lists(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9999, 12, 31), timezones=st.timezones()), max_size=20))
def test_times(probe: Api, times: list[dt.datetime]) -> None:
    stamps = [Timestamp.at(when) for when in times]
    agrees(probe, "times", [(stamp, int(stamp.datetime.timestamp())) for stamp in stamps])


@pytest.mark.parametrize(
    ("name", "text", "number"),
    [("quantities", "1Ki", 1000), ("quantities", "1.5", 1), ("durations", "1m", 1), ("times", "2026-11-20T10:00:00Z", 1)],
)
def test_the_probe_can_tell(probe: Api, name: str, text: str, number: int) -> None:
    """Wrong pairs are refused: agreement above means something."""
    with pytest.raises(AssertionError, match=f"{name} differ"):
        agrees(probe, name, [(text, number)])
