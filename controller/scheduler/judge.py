"""Judge one host after another for one request."""

from __future__ import annotations

from controller.scheduler.filters import judge_cluster, judge_host, threshold_exceeded
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.storage import PoolChooser
from controller.scheduler.views import Reason, Request

__all__ = ["Judge"]


class Judge:
    """Verdicts on hosts for one request; what holds for a whole cluster is found out once."""

    def __init__(self, index: HostIndex, request: Request) -> None:
        self._index = index
        self._request = request
        self._clusters: dict[str, tuple[Reason | None, Reason | None]] = {}
        self._verdicts: dict[str, str | Reason] = {}
        self._pools = PoolChooser(index, request)
        self._kin = index.group(request.group) if request.group and request.apart else {}

    def __call__(self, host: Candidate) -> str | Reason:
        """The pool to use on this host, or why it does not fit. A second question about a host costs nothing."""
        verdict = self._verdicts.get(host.view.name)
        if verdict is None:
            verdict = self._verdicts[host.view.name] = self._judge(host)
        return verdict

    def lacking_storage(self, host: Candidate) -> int:
        """How many bytes the best pool of this host lacks."""
        return self._pools.lacking(host)

    def _judge(self, host: Candidate) -> str | Reason:
        name = host.cluster.name
        if name not in self._clusters:
            over = threshold_exceeded(host.cluster, self._index.totals(name), self._request)
            self._clusters[name] = judge_cluster(host.cluster), over
        closed, over = self._clusters[name]
        return closed or judge_host(host, self._request) or self._apart(host) or over or self._pools.choose(host)

    def _apart(self, host: Candidate) -> Reason | None:
        """The host has a VM of the group that must not share a host."""
        return Reason.ANTI_AFFINITY if host.view.name in self._kin else None
