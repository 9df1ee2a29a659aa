"""Driver errors → what a reconcile answers, and Secrets kept for a while."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from controller.inventory.outcomes import REFUSED_LOGIN, is_refusal, result_of
from controller.inventory.secrets import KEPT, SecretCache
from controller.runtime.results import Failed, Requeue, Waiting
from drivers.errors import AuthFailed, Busy, Conflict, DriverError, InvalidSpec, NotFound, Transient, Unsupported


@pytest.mark.parametrize(
    ("error", "terminal"),
    [
        (Transient("x"), False),
        (Transient("x", outcome_unknown=True), False),
        (NotFound("x"), False),
        (Conflict("x"), False),
        (DriverError("x"), False),
        (InvalidSpec("x"), True),
        (Unsupported("x"), True),
    ],
)
def test_what_will_be_refused_again_waits_for_a_change(error: DriverError, terminal: bool) -> None:
    result = result_of(error)
    assert isinstance(result, Failed)
    assert (result.terminal, result.reason, is_refusal(error)) == (terminal, error.reason, terminal)


def test_a_refused_login_is_the_host_s_trouble_and_what_was_begun_goes_on_after_it() -> None:
    assert is_refusal(AuthFailed("wrong password"))
    assert result_of(AuthFailed("wrong password")) == Waiting("CredentialsRefused", "wrong password", REFUSED_LOGIN)


def test_busy_comes_back_after_its_delay() -> None:
    assert result_of(Busy("at work", retry_after=7)) == Requeue(7, "HypervisorBusy", "at work")


def test_native_code_is_told() -> None:
    assert "VIR_ERR_NO_DOMAIN" in result_of(NotFound("no VM", native_code="VIR_ERR_NO_DOMAIN")).message


class Source:
    def __init__(self) -> None:
        self.data: dict[str, Mapping[str, bytes]] = {}
        self.reads = 0

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        self.reads += 1
        return self.data.get(f"{namespace}/{name}")


async def test_secret_is_read_again_when_it_changed_or_is_old() -> None:
    source, now = Source(), [0.0]
    cache = SecretCache(source, lambda: now[0])
    source.data["a/b"] = {"k": b"1"}
    assert await cache.read("a", "b") == {"k": b"1"}
    source.data["a/b"] = {"k": b"2"}
    now[0] = KEPT - 1
    assert await cache.read("a", "b") == {"k": b"1"}
    cache.changed("a", "other")
    cache.changed("b", "a")
    assert await cache.read("a", "b") == {"k": b"1"}
    cache.changed("a", "b")
    assert await cache.read("a", "b") == {"k": b"2"}
    source.data["a/b"] = {"k": b"3"}
    now[0] += KEPT
    assert await cache.read("a", "b") == {"k": b"3"}
    assert source.reads == 3


async def test_absence_is_not_kept() -> None:
    source = Source()
    cache = SecretCache(source, lambda: 0.0)
    assert await cache.read("a", "b") is None
    source.data["a/b"] = {"k": b"1"}
    assert await cache.read("a", "b") == {"k": b"1"}


async def test_old_copies_do_not_stay_in_memory() -> None:
    source, now = Source(), [0.0]
    cache = SecretCache(source, lambda: now[0])
    for number in range(10):
        source.data[f"a/{number}"] = {"k": b"secret"}
        await cache.read("a", str(number))
    now[0] = KEPT
    await cache.read("a", "0")
    assert len(cache._copies) == 1
    assert "secret" not in repr(cache._copies)
