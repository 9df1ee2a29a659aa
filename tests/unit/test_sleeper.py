"""What is allowed to a controller that slept, and which VMs may be deleted while it does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.ipam import instance_id
from tests.support.live.api import Api
from tests.support.live.relay import Called, Relay
from tests.support.live.sleeper import PASSED, only_passed, surely_asked_for

VMS = {f"vm-{number}": f"{number}1111111-2222-4333-8444-555555555555" for number in range(4)}


def called(name: str, method: str = "compute.create", pid: int = 1, at: float = 1.0) -> Called:
    return Called(at, pid, method, f'["host-00001",{{"instance":"{instance_id(VMS[name])}","owner":"{VMS[name]}"}}]')


def api(*names: str) -> Api:
    """An API server that has these VMs."""
    vms: list[dict[str, Any]] = [{"metadata": {"name": name, "uid": VMS[name]}} for name in names]
    return cast("Api", SimpleNamespace(list=lambda kind: vms))


def test_only_vms_whose_creation_was_asked_for_are_named_each_once() -> None:
    made = [called("vm-2"), called("vm-0"), called("vm-2")]
    assert surely_asked_for(api(*VMS), made) == ["vm-2", "vm-0"]
    assert surely_asked_for(api(*VMS), []) == []


def test_one_that_is_gone_is_not_named() -> None:
    assert surely_asked_for(api("vm-0"), [called("vm-2"), called("vm-0")]) == ["vm-0"]


def test_one_call_about_a_vm_may_be_late_and_no_more_than_some() -> None:
    late = [called(name) for name in list(VMS)[:PASSED]]
    assert only_passed(late) == late
    with pytest.raises(AssertionError, match="before every call:"):
        only_passed([called(name) for name in list(VMS)[: PASSED + 1]])
    with pytest.raises(AssertionError, match="about the same VM"):
        only_passed([called("vm-0"), called("vm-0", "power.start")])


def test_a_process_has_made_what_it_asked_for_since_then() -> None:
    relay = Relay("simulator://127.0.0.1:9")
    relay.calls += [
        called("vm-0", at=1.0),
        called("vm-1", at=2.0),
        called("vm-2", pid=2, at=2.0),
        called("vm-1", "power.start", at=3.0),
    ]
    try:
        assert [relay.made(1), relay.made(1, since=2.0)] == [relay.calls[:2], relay.calls[1:2]]
    finally:
        relay._loop.close()
