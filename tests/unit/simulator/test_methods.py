"""What goes over the wire comes out the same, and what is wrong is refused without being repeated."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import errors
from drivers.errors import Busy, DriverError, InvalidSpec, Transient, Unanswered
from drivers.simulator.methods import METHODS, News, Problem, SessionExpired, codec, problem_adapter
from drivers.types import (
    AttachNIC,
    AttachVolume,
    Capability,
    DesiredSnapshot,
    DesiredVM,
    DesiredVolume,
    DetachNIC,
    DetachVolume,
    Done,
    Failed,
    GrowDisk,
    HostChanged,
    HostID,
    InstanceID,
    ObservedVM,
    PoolContents,
    PoolSpec,
    Running,
    SetCPUs,
    SetDiskLimits,
    SetMemory,
    SetSeed,
    Started,
    Succeeded,
    VMChanged,
)

from .world import World

# Lone surrogates can't be written as UTF-8; nothing that YAML or JSON brings has them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
st.register_type_strategy(str, TEXT)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
CHANGES = st.lists(
    st.one_of(
        *(
            st.from_type(kind)
            for kind in (SetCPUs, SetMemory, GrowDisk, SetDiskLimits, AttachNIC, DetachNIC, SetSeed, AttachVolume, DetachVolume)
        )
    ),
    max_size=4,
)


def there_and_back(method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return codec(method).read_params(codec(method).write_params(args))


def result(method: str, value: Any) -> Any:
    return codec(method).read_result(codec(method).write_result(value))


@given(TEXT, st.from_type(DesiredVM))
def test_a_description_arrives_whole(host: str, vm: DesiredVM) -> None:
    arrived = there_and_back("compute.create", (host, vm))
    assert arrived == (host, vm)
    assert vm.seed is None or arrived[1].seed.user_data == vm.seed.user_data


@given(CHANGES)
def test_changes_arrive_as_what_they_are(changes: list[Any]) -> None:
    arrived = there_and_back("compute.apply", ("h", "i", tuple(changes)))[2]
    assert [(type(one), one) for one in arrived] == [(type(one), one) for one in changes]


@given(TEXT, st.from_type(DesiredVolume), st.from_type(PoolSpec), st.from_type(DesiredSnapshot))
def test_volumes_and_snapshots_arrive_whole(text: str, volume: DesiredVolume, pool: PoolSpec, snapshot: DesiredSnapshot) -> None:
    for method, args in (
        ("volumes.create_volume", (text, volume)),
        ("volumes.snapshot_volume", (text, pool, volume.volume, snapshot)),
        ("snapshots.create_snapshot", (text, text, snapshot)),
        ("snapshots.restore", (text, text, snapshot.snapshot, text)),
    ):
        assert there_and_back(method, args) == args


@given(st.from_type(PoolContents))
def test_the_contents_of_a_pool_arrive_whole(contents: PoolContents) -> None:
    assert result("volumes.contents", contents) == contents


@given(st.from_type(ObservedVM))
def test_an_observation_arrives_whole(vm: ObservedVM) -> None:
    assert result("compute.observe", vm) == vm


@pytest.mark.parametrize("outcome", [Done(), Started("op-1")])
def test_outcomes_arrive(outcome: Any) -> None:
    assert result("compute.create", outcome) == outcome


@pytest.mark.parametrize("progress", [Running(), Running(0), Running(50), Succeeded(), Failed("it broke", True, "CODE")])
def test_progress_arrives(progress: Any) -> None:
    assert result("tasks.poll", progress) == progress


def test_events_arrive_as_what_they_are() -> None:
    events = (VMChanged(InstanceID("i")), HostChanged(HostID("h")))
    assert result("events.wait", ("epoch", 5, events, False)).events == events


@given(
    epoch=st.text(),
    cursor=st.integers(0, 2**53),
    events=st.lists(st.one_of(st.builds(VMChanged, st.text()), st.builds(HostChanged, st.text()))),
    lost=st.booleans(),
)
def test_whatever_news_there_are_arrive_whole(epoch: str, cursor: int, events: list[VMChanged | HostChanged], lost: bool) -> None:
    news = News(epoch, cursor, tuple(events), lost)
    arrived = result("events.wait", news)
    assert arrived == news
    assert [type(each) for each in arrived.events] == [type(each) for each in events]
    assert codec("events.wait").read_params(codec("events.wait").write_params((epoch, cursor, 20.0))) == (epoch, cursor, 20.0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"[[]]",
        b'[["e", 5, []]]',
        b'[["e", 5, [], false, 1]]',
        b'[["e", 5, [], false], 1]',
        b'[{"epoch": "e", "cursor": 5, "events": [], "lost": false}]',
        b"[[5, 5, [], false]]",
        b'[["e", "5", [], false]]',
        b'[["e", 5.5, [], false]]',
        b'[["e", NaN, [], false]]',
        b'[["e", true, [], false]]',
        b'[["e", 5, [], 0]]',
        b'[["e", 5, null, false]]',
        b'[["e", 5, "events", false]]',
        b'[["e", 5, ["instance"], false]]',
        b'[["e", 5, [{"instance": 7}], false]]',
        b'[["e", 5, [{"instance": ["a"]}], false]]',
        b'[["e", 5, [{"hunter2": "a"}], false]]',
        b'[["e", 5, [{"instance": "hunter2"}], false]',
        b"[" * 100_000,
        b'[["\xff", 5, [], false]]',
    ],
)
def test_news_that_make_no_sense_are_refused_without_repeating_them(raw: bytes) -> None:
    with pytest.raises(InvalidSpec) as caught:
        codec("events.wait").read_result(raw)
    assert "hunter2" not in str(caught.value)
    assert caught.value.native_code == "SIM_PROTOCOL"
    assert caught.value.__cause__ is None


def test_a_welcome_arrives() -> None:
    welcome = result("login", ("s", "e", 7, frozenset(Capability)))
    assert (welcome.cursor, welcome.capabilities) == (7, frozenset(Capability))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in ("DriverError", "Unanswered")])
def test_errors_arrive_as_their_class(name: str) -> None:
    made: DriverError = getattr(errors, name)("it went wrong", native_code="CODE")
    written = problem_adapter().dump_json(Problem.of(made))
    arrived = problem_adapter().validate_json(written).error()
    assert type(arrived) is type(made)
    assert (arrived.message, arrived.native_code) == ("it went wrong", "CODE")


def test_errors_keep_what_they_carry() -> None:
    busy = Problem.of(Busy("wait", retry_after=7.5)).error()
    assert isinstance(busy, Busy)
    assert busy.retry_after == 7.5
    assert type(Problem.of(SessionExpired("gone")).error()) is SessionExpired
    assert type(Problem("Surprise", "unknown kind").error()) is Transient
    assert type(Problem("DriverError", "the base").error()) is Transient
    assert type(Problem.of(Unanswered("on the way further")).error()) is Transient, "whoever says so has answered"


@pytest.mark.parametrize("method", METHODS)
@given(raw=st.one_of(st.binary(max_size=50), st.sampled_from([b"", b"null", b"{}", b"[[]]", b"[1,2,3,4,5]", b'["a"]', b"[NaN]"])))
def test_garbage_is_refused_as_such(method: str, raw: bytes) -> None:
    with suppress(InvalidSpec):
        assert isinstance(codec(method).read_params(raw), tuple)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    raw = b'["h", {"instance": ["hunter2"], "seed": {"user_data": "hunter2!"}}]'
    with pytest.raises(InvalidSpec) as caught:
        codec("compute.create").read_params(raw)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("raw", [b'["e", 1, NaN]', b'["e", 1, Infinity]', b'["e", 1, "-inf"]'])
def test_times_are_finite(raw: bytes) -> None:
    with pytest.raises(InvalidSpec):
        codec("events.wait").read_params(raw)


def test_every_method_is_served() -> None:
    served = set(World().service._handlers) | {"login", "logout"}
    assert served == set(METHODS)
