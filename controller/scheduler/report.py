"""Say why no host fits: how many failed for which reason, and what the nearest one lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from controller.scheduler.filters import too_large
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.judge import Judge
from controller.scheduler.views import Reason, Rejection, Request

__all__ = ["in_question", "report", "show_size", "unknown_target"]

_UNITS: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_STEP: Final = 1024

Lack = tuple[float, str, str]
"""Lacking part of what is asked for, host name, and what is lacking in words."""


def in_question(index: HostIndex, request: Request) -> Iterator[Candidate]:
    """Every host that the request could mean, whatever its state."""
    named = index.candidate(request.host) if request.host else None
    hosts = index.candidates(request.zone) if not request.host else [named] if named is not None else []
    for each in hosts:
        if each.cluster.zone == request.zone and request.cluster in ("", each.cluster.name):
            yield each


def unknown_target(index: HostIndex, request: Request) -> Rejection | None:
    """A rejection if the request names a host or cluster that is not there, or its zone has no hosts."""
    cluster = index.cluster(request.cluster)
    if request.cluster and (cluster is None or cluster.zone != request.zone):
        message = f"zone {request.zone} has no cluster {request.cluster}"
        return Rejection(Reason.CLUSTER_NOT_FOUND, message, {})
    if next(in_question(index, request), None) is not None:
        return None
    place = f"cluster {request.cluster}" if request.cluster else f"zone {request.zone}"
    if request.host:
        return Rejection(Reason.HOST_NOT_FOUND, f"{place} has no host {request.host}", {})
    return Rejection(Reason.NO_HOSTS, f"{place} has no hosts", {})


def report(index: HostIndex, request: Request, judge: Judge) -> Rejection:
    """Judge every host in question and sum up; none of them fits."""
    hosts = list(in_question(index, request))
    verdicts = [(host, reason) for host in hosts if isinstance(reason := judge(host), Reason)]
    counts = dict(Counter(reason.value for _, reason in verdicts))
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    fit = f"0 of {len(hosts)} hosts fit: {listed}"
    if all(too_large(host, request) for host in hosts):
        asked = f"{request.cpus} CPUs and {show_size(request.memory)} of memory"
        message = f"{fit}; {asked} are more than any of them has even when empty"
        return Rejection(Reason.TOO_LARGE_FOR_ANY_HOST, message, counts)
    lacks = [lack for host, reason in verdicts if (lack := _lack(host, reason, request, judge))]
    nearest = f"; nearest: {min(lacks)[1]} lacks {min(lacks)[2]}" if lacks else ""
    return Rejection(Reason.NO_FITTING_HOST, fit + nearest, counts)


def _lack(host: Candidate, reason: Reason, request: Request, judge: Judge) -> Lack | None:
    """What a host lacks that room would cure; None for any other reason, and for a VM that can never fit there."""
    if too_large(host, request):
        return None
    if reason is Reason.INSUFFICIENT_CPU:
        cpus = host.usage.cpus + request.cpus - host.cpus
        return cpus / request.cpus, host.view.name, "1 CPU" if cpus == 1 else f"{cpus} CPUs"
    if reason is Reason.INSUFFICIENT_MEMORY:
        memory = host.usage.memory + request.memory - host.memory
        return memory / request.memory, host.view.name, f"{show_size(memory)} of memory"
    if reason is Reason.INSUFFICIENT_STORAGE:
        storage = judge.lacking_storage(host)
        return storage / max(request.disk, 1), host.view.name, f"{show_size(storage)} of storage"
    return None


def show_size(size: int) -> str:
    """A size as people write it, rounded up to three digits of the largest unit that leaves a number of at least one."""
    unit = 0
    while unit + 1 < len(_UNITS) and size >= _STEP ** (unit + 1):
        unit += 1
    scale = _STEP**unit
    if size % scale == 0:
        return f"{size // scale}{_UNITS[unit]}"
    tenths = -(-size * 10 // scale)
    return f"{tenths // 10}.{tenths % 10}{_UNITS[unit]}"
