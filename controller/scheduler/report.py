"""Say why no host fits: how many failed for which reason, and what the nearest one lacks."""

from __future__ import annotations

from collections.abc import Iterator

from controller.scheduler.census import Census
from controller.scheduler.index import HostIndex
from controller.scheduler.shapes import Alike
from controller.scheduler.views import Reason, Rejection, Request
from drivers.types import show_size

__all__ = ["in_question", "report", "show_size", "unknown_target"]


def in_question(index: HostIndex, request: Request) -> Iterator[Alike]:
    """Every host that the request could mean, whatever its state."""
    if not request.host:
        yield from index.shapes(request.zone, request.cluster)
        return
    named = index.candidate(request.host)
    if named is not None and named.cluster.zone == request.zone and request.cluster in ("", named.cluster.name):
        yield {named.usage: {named.view.name: named}}


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


def report(found: Census, request: Request) -> Rejection:
    """Sum up what came out for every host in question; none of them fits."""
    counts = {reason.value: count for reason, count in found.counts.items() if count}
    examples = {reason.value: names for reason, names in found.examples.items()}
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    fit = f"0 of {found.hosts} hosts fit: {listed}"
    if found.too_small:
        asked = f"{request.cpus} CPUs and {show_size(request.memory)} of memory"
        message = f"{fit}; {asked} are more than any of them has even when empty"
        return Rejection(Reason.TOO_LARGE_FOR_ANY_HOST, message, counts, examples)
    nearest = f"; nearest: {found.nearest[1]} lacks {_lack(*found.nearest[2:])}" if found.nearest else ""
    return Rejection(Reason.NO_FITTING_HOST, fit + nearest, counts, examples)


def _lack(reason: Reason, lacking: int) -> str:
    """What a host lacks, in words."""
    if reason is Reason.INSUFFICIENT_CPU:
        return "1 CPU" if lacking == 1 else f"{lacking} CPUs"
    return f"{show_size(lacking)} of {'memory' if reason is Reason.INSUFFICIENT_MEMORY else 'storage'}"
