"""Choose a host and a pool for a VM, or say why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from controller.scheduler.census import Census
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.judge import Judge
from controller.scheduler.report import in_question, report, unknown_target
from controller.scheduler.storage import PoolChooser
from controller.scheduler.views import Allocation, Placement, Reason, Rejection, Request

__all__ = ["Scheduler", "select"]

_REMEMBERED: Final = 1024

_TRIED: Final = 64
"""Hosts that are judged one by one before all are at once: nearly always one of the emptiest fits."""


class Scheduler:
    """Places VMs on the hosts of an index and records each decision there at once."""

    def __init__(self, index: HostIndex) -> None:
        self._index = index
        self._rejections: dict[Request, Rejection] = {}
        self._version = index.version

    def place(self, request: Request) -> Placement | Rejection:
        """Where the VM goes. A VM that has an allocation gets the same answer again until `HostIndex.release`.

        The room is taken when this returns, that of its new volumes too: write the decision to the VM's status, or release it.
        Equal requests that were rejected are answered from memory until something changes for the better, so that a thousand VMs
        that wait for room cost as little as one, also while others go where there is some.
        """
        if known := self._known(request.uid):
            return known
        if self._version != self._index.version:
            self._version = self._index.version
            self._rejections.clear()
        if rejection := self._rejections.get(request):
            return rejection
        answer = select(self._index, request)
        if isinstance(answer, Placement):
            self._give(request, answer)
        elif len(self._rejections) < _REMEMBERED:
            self._rejections[request] = answer
        return answer

    def _give(self, request: Request, place: Placement) -> None:
        """Take the room: on the host, in the pool, and in those of the volumes that are made there next."""
        host = self._index.candidate(place.host)
        coming = PoolChooser(self._index, request).places(host, place.pool) if host else []
        given = Allocation(place.host, place.pool, request.cpus, request.memory, request.disk, request.group)
        self._index.assign(request.uid, given)
        for volume, pool in coming:
            self._index.expect(volume.uid, request.uid, Allocation("", pool, 0, 0, volume.size))

    def _known(self, uid: str) -> Placement | None:
        allocation = self._index.allocation(uid)
        host = self._index.candidate(allocation.host) if allocation is not None else None
        if allocation is None or host is None:
            return None
        return Placement(host.view.name, host.cluster.name, allocation.pool)


def select(index: HostIndex, request: Request) -> Placement | Rejection:
    """The emptiest host that fits, or a report on all hosts in question. Changes nothing."""
    if rejection := unknown_target(index, request):
        return rejection
    judge = Judge(index, request)
    for host in islice(_in_order(index, request), _TRIED):
        pool = judge(host)
        if not isinstance(pool, Reason):
            return Placement(host.view.name, host.cluster.name, pool)
    found = Census(request, judge)
    for alike in in_question(index, request):
        found.take(alike)
    for host in _in_order(index, request) if found.fitting else ():
        if host.view.name in found.fitting:
            return Placement(host.view.name, host.cluster.name, found.fitting[host.view.name])
    return report(found, request)


def _in_order(index: HostIndex, request: Request) -> Iterator[Candidate]:
    """Hosts as they are tried: those without a VM of the request's group first, then those with the fewest."""
    kin = index.group(request.group) if request.group else {}
    yield from (each for each in _walk(index, request) if each.view.name not in kin)
    if kin and not request.apart:
        shared = [each for each in _walk(index, request) if each.view.name in kin]
        yield from sorted(shared, key=lambda each: kin[each.view.name])


def _walk(index: HostIndex, request: Request) -> Iterator[Candidate]:
    if request.host:
        return (each for alike in in_question(index, request) for equal in alike.values() for each in equal.values())
    return (each for each in index.walk(request.zone, request.uid) if request.cluster in ("", each.cluster.name))
