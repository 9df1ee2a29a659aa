"""What a reconcile writes of its object's status."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from controller.runtime.keys import Key
from controller.runtime.session import Session

from .fakes import merged
from .models import Status, Widget

READY = {"type": "Ready", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": "2026-11-20T10:00:00Z"}


class Api:
    """Merges what is written, and keeps it."""

    def __init__(self, status: dict[str, Any]) -> None:
        metadata = {"name": "w", "uid": "u", "generation": 3, "resourceVersion": "7"}
        self.raw: dict[str, Any] = {"metadata": metadata, "spec": {"size": 1}}
        self.raw["status"] = status
        self.patches: list[Mapping[str, Any]] = []

    async def status(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        self.patches.append(patch)
        self.raw["status"] = merged(self.raw["status"], patch)
        return copy.deepcopy(self.raw)

    async def metadata(self, key: Key, uid: str, version: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AssertionError("nothing of the metadata changes here")

    def session(self) -> Session[Widget]:
        return Session(Widget.model_validate(self.raw), copy.deepcopy(self.raw["status"]), self, "f")


async def test_what_the_api_has_is_not_written_and_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Status, "model_validate_json", None)
    api = Api({"observedGeneration": 3, "size": 5, "conditions": [READY]})
    assert not await api.session().write_status()
    assert api.patches == []


@pytest.mark.parametrize(
    ("known", "draft", "patch"),
    [
        ({"observedGeneration": 2}, {}, {"observedGeneration": 3}),
        ({"observedGeneration": 3, "size": 5}, {"size": None}, {"size": None}),
        ({"observedGeneration": 3, "size": 5}, {"size": 6}, {"size": 6}),
        ({"observedGeneration": 3, "note": "a"}, {"note": "b", "size": 1}, {"note": "b", "size": 1}),
        ({"observedGeneration": 3, "ofLater": {"a": 1}}, {}, None),
        ({"observedGeneration": 3, "ofLater": {"a": 1}, "size": 5}, {"size": 6}, {"size": 6}),
        ({"observedGeneration": 3, "conditions": [READY | {"ofLater": 1}]}, {}, None),
        ({"observedGeneration": 3, "conditions": [READY | {"ofLater": 1}], "size": 5}, {"size": 6}, {"size": 6}),
        ({"observedGeneration": 3, "conditions": []}, {}, None),
        ({"observedGeneration": 3, "size": None}, {}, None),
        ({}, {}, {"observedGeneration": 3}),
    ],
)
async def test_only_what_differs_is_written_and_what_a_later_version_wrote_is_left_alone(
    known: dict[str, Any], draft: dict[str, Any], patch: dict[str, Any] | None
) -> None:
    api = Api(known)
    session = api.session()
    for name, value in draft.items():
        setattr(session.object.status, name, value)
    assert await session.write_status() == (patch is not None)
    assert api.patches == ([patch] if patch else [])


async def test_what_was_written_is_not_written_again_and_can_be_taken_back() -> None:
    api = Api({"observedGeneration": 3, "ofLater": 1})
    session = api.session()
    session.object.status.size = 5
    assert await session.write_status()
    assert not await session.write_status()
    session.object.status.size = None
    assert await session.write_status()
    assert api.patches == [{"size": 5}, {"size": None}]
    assert api.raw["status"] == {"observedGeneration": 3, "ofLater": 1}


async def test_what_an_object_that_is_gone_says_is_not_written() -> None:
    api = Api({"observedGeneration": 1})
    session = api.session()
    session.gone = True
    assert not await session.write_status()
    assert api.patches == []
