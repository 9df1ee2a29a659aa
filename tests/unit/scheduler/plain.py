"""The scheduler without its short cuts: every host is judged by itself, one after the other."""

from collections import Counter

from controller.scheduler import PoolScope, Reason, Rejection, Request
from controller.scheduler.census import EXAMPLES
from controller.scheduler.filters import too_large
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.judge import Judge
from controller.scheduler.report import show_size
from controller.scheduler.storage import shortage


def fitting(index: HostIndex, request: Request) -> dict[str, str]:
    """The pool of each host that fits."""
    verdicts = {host.view.name: judged(index, request, host) for host in in_question(index, request)}
    return {name: pool for name, pool in verdicts.items() if not isinstance(pool, Reason)}


def report(index: HostIndex, request: Request) -> Rejection:
    """What to say when none fits."""
    hosts = in_question(index, request)
    failed = {host.view.name: reason for host in hosts if isinstance(reason := judged(index, request, host), Reason)}
    counts = Counter(reason.value for reason in failed.values())
    by_reason = {reason: sorted(name for name, each in failed.items() if each.value == reason)[:EXAMPLES] for reason in counts}
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    text = f"0 of {len(hosts)} hosts fit: {listed}"
    if all(too_large(host, request) for host in hosts):
        asked = f"{request.cpus} CPUs and {show_size(request.memory)} of memory"
        text += f"; {asked} are more than any of them has even when empty"
        return Rejection(Reason.TOO_LARGE_FOR_ANY_HOST, text, counts, by_reason)
    near = [(host, failed[host.view.name]) for host in hosts if not too_large(host, request)]
    lacks = sorted(lack for host, reason in near if (lack := lacking(index, request, host, reason)))
    text += f"; nearest: {lacks[0][1]} lacks {lacks[0][2]}" if lacks else ""
    return Rejection(Reason.NO_FITTING_HOST, text, counts, by_reason)


def in_question(index: HostIndex, request: Request) -> list[Candidate]:
    """The hosts of the zone, or of the cluster, or the named one."""
    found = [host for alike in index.shapes(request.zone) for equal in alike.values() for host in equal.values()]
    return [host for host in found if request.cluster in ("", host.cluster.name) and request.host in ("", host.view.name)]


def judged(index: HostIndex, request: Request, host: Candidate) -> str | Reason:
    """The verdict of a judge who sees this host only."""
    return Judge(index, request)(host)


def lacking(index: HostIndex, request: Request, host: Candidate, reason: Reason) -> tuple[float, str, str] | None:
    """Lacking part, name of the host, what is lacking."""
    name = host.view.name
    if reason is Reason.INSUFFICIENT_CPU:
        cpus = host.usage.cpus + request.cpus - host.cpus
        return cpus / request.cpus, name, "1 CPU" if cpus == 1 else f"{cpus} CPUs"
    if reason is Reason.INSUFFICIENT_MEMORY:
        memory = host.usage.memory + request.memory - host.memory
        return memory / request.memory, name, f"{show_size(memory)} of memory"
    if reason is Reason.INSUFFICIENT_STORAGE:
        places = ((PoolScope.ZONE, host.cluster.zone), (PoolScope.CLUSTER, host.cluster.name), (PoolScope.HOST, name))
        pools = [pool for scope, of in places for pool in index.pools(scope, of)]
        usable = [pool for pool in pools if pool.enabled and name not in pool.failing and request.storage_tags <= pool.tags]
        least = min(shortage(pool, index.pool_allocated(pool.name), request.disk) for pool in usable)
        return least / max(request.disk, 1), name, f"{show_size(least)} of storage"
    return None
