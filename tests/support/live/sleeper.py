"""What a controller that fell asleep in the middle of its work may still ask for when it awakes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from controller.ipam import instance_id
from tests.support.live.api import Api
from tests.support.live.audit import findings
from tests.support.live.cloud import LiveCloud
from tests.support.live.relay import Called

PASSED = 2
"""Calls whose thread had passed the check when its process fell asleep, and that it sends when it awakes: nothing can be between
the check and the call. Each thread may be there with one, and no VM is worked on by two threads, so of a VM it is one at most; how
many threads are there at once is chance, and two an allowance for it. What they ask for is done already, or undone by the one that
leads; the matrix of pauses has each of them alone, and all that they leave (tests/scenario/test_pause_matrix.py).
"""
_INSTANCE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def only_passed(late: Sequence[Called]) -> Sequence[Called]:
    """The changes that a sleeper asked for after it had lost its Lease, if they are no more than that. Raises AssertionError."""
    vms = [_INSTANCE.findall(each.arguments)[:1] for each in late]
    assert len(late) <= PASSED, f"the check comes before every call: {late}"
    assert all(vms.count(each) == 1 for each in vms), f"the check comes before every call about the same VM: {late}"
    return late


def surely_asked_for(api: Api, made: Sequence[Called]) -> list[str]:
    """Names of VMs whose creation is behind them, to be deleted while their controller sleeps.

    One that it stands before would be made when it awakes, and stay: nobody knows of it any more (tests/support/again.py, LEAVES).
    """
    vms = {instance_id(each["metadata"]["uid"]): each["metadata"]["name"] for each in api.list("VirtualMachine")}
    identities = [identity for each in made for identity in _INSTANCE.findall(each.arguments) if identity in vms]
    return [vms[identity] for identity in dict.fromkeys(identities)]


def await_declared(cloud: LiveCloud) -> None:
    """Wait until there is exactly what is declared: what a call that had passed has changed, the one that leads puts right.

    Raises AssertionError with what is not.
    """
    try:
        cloud.until(lambda: findings(cloud.api, cloud.control.census()) == [], "there is what is declared")
    except AssertionError:
        assert findings(cloud.api, cloud.control.census()) == []
        raise
