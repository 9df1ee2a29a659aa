"""Whoever marks a VM through a link is told when the call has returned, however late, and at once if it is not made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.inventory import HostLink, LinkState
from controller.inventory.session import Session
from controller.inventory.snapshot import Snapshot, Whereabouts
from drivers.adoption import Adoption
from drivers.errors import Busy, Conflict, Transient
from drivers.types import Done, HostID, InstanceID, Owner
from tests.support.hypervisors import host

OLD = InstanceID("old")
ADOPTION = Adoption(Owner("uid-1", "shop", "web"))
LOST = Transient("the reply was lost", outcome_unknown=True)
GIVEN_UP = Transient("no answer in time", outcome_unknown=True)


class Endpoint:
    """A session whose calls are made at once, refused, or made after nobody waits for them any more."""

    state, message, reason = LinkState.UP, "", ""

    def __init__(self, raises: Exception | None = None, lane: Exception | None = None) -> None:
        self.hosts = {HostID("h1"): host("h1")}
        self.snapshot = Snapshot(Whereabouts())
        self.lanes = self
        self.marked: list[str] = []
        self.left: list[Callable[[], object]] = []
        self._raises, self._lane = raises, lane

    def connection(self) -> Any:
        return SimpleNamespace(adoption=self)

    def adopt(self, _host: HostID, instance: InstanceID, adoption: Adoption) -> Done:
        self.marked.append(adoption.owner.uid)
        if self._raises:
            raise self._raises
        return Done()

    async def change(self, call: Callable[..., Done], *args: Any) -> Done:
        assert call.__name__ == "adopt"  # what metrics and logs name it by
        if self._lane is None:
            return call(*args)
        self.left.append(lambda: call(*args))
        raise self._lane


def link(endpoint: Endpoint) -> HostLink:
    return HostLink("h1", cast("Session", endpoint), "h1", sole=True)


@pytest.mark.parametrize("raises", [None, Conflict("no"), Busy("later"), Transient("down"), LOST, KeyError("bug")])
async def test_told_with_the_answer(raises: Exception | None) -> None:
    endpoint, ended = Endpoint(raises), list[str]()
    with pytest.raises(type(raises)) if raises else nullcontext():
        await link(endpoint).adopt(OLD, ADOPTION, lambda: ended.append("ended"))
    assert (endpoint.marked, set(ended)) == (["uid-1"], {"ended"})


@pytest.mark.parametrize("refusal", [Busy("too many wait"), Transient("not connected"), RuntimeError("no longer leads")])
async def test_told_at_once_of_a_call_that_is_not_made(refusal: Exception) -> None:
    endpoint, ended = Endpoint(lane=refusal), list[str]()
    with pytest.raises(type(refusal)):
        await link(endpoint).adopt(OLD, ADOPTION, lambda: ended.append("ended"))
    assert (endpoint.marked, ended) == ([], ["ended"])


async def test_told_at_once_while_the_endpoint_is_down() -> None:
    endpoint, ended = Endpoint(), list[str]()
    endpoint.state = LinkState.DOWN
    with pytest.raises(Transient):
        await link(endpoint).adopt(OLD, ADOPTION, lambda: ended.append("ended"))
    assert ended == ["ended"]


@pytest.mark.parametrize("raises", [None, Conflict("no"), LOST])
async def test_not_told_before_a_call_that_was_given_up_returns(raises: Exception | None) -> None:
    endpoint, ended = Endpoint(raises, GIVEN_UP), list[str]()
    with pytest.raises(Transient):
        await link(endpoint).adopt(OLD, ADOPTION, lambda: ended.append("ended"))
    assert (endpoint.marked, ended) == ([], [])
    [call] = endpoint.left
    with pytest.raises(type(raises)) if raises else nullcontext():
        call()
    assert (endpoint.marked, ended) == (["uid-1"], ["ended"])
