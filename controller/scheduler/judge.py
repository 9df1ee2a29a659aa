"""Judge one host after another for one request."""

from __future__ import annotations

from controller.scheduler.filters import judge_cluster, judge_load, judge_shape, most_usage, threshold_exceeded
from controller.scheduler.index import Candidate, HostIndex
from controller.scheduler.storage import PoolChooser
from controller.scheduler.views import Reason, Request

__all__ = ["Judge"]


class Judge:
    """Verdicts on hosts for one request; what holds for a whole cluster is found out once.

    `kin`: hosts that have a VM of the group that must not share a host. `pools` chooses storage.
    """

    def __init__(self, index: HostIndex, request: Request) -> None:
        self.kin = index.group(request.group).keys() if request.group and request.apart else frozenset[str]()
        self.pools = PoolChooser(index, request)
        self._index = index
        self._request = request
        self._clusters: dict[str, tuple[Reason | None, Reason | None]] = {}

    def __call__(self, host: Candidate) -> str | Reason:
        """The pool to use on this host, or why it does not fit: the first reason of those below, in their order."""
        return self.shape(host) or self.load(host) or self.apart(host) or self.over(host) or self.pools.offer(host).verdict

    def shape(self, host: Candidate) -> Reason | None:
        """Why no host of its shape can take the VM."""
        return self._cluster(host)[0] or judge_shape(host, self._request)

    def load(self, host: Candidate) -> Reason | None:
        """Why it has no room for the VM, storage aside."""
        return judge_load(host.usage, most_usage(host, self._request))

    def apart(self, host: Candidate) -> Reason | None:
        """The host has a VM of the group that must not share a host."""
        return Reason.ANTI_AFFINITY if host.view.name in self.kin else None

    def over(self, host: Candidate) -> Reason | None:
        """Why its cluster takes no more VMs of this size."""
        return self._cluster(host)[1]

    def _cluster(self, host: Candidate) -> tuple[Reason | None, Reason | None]:
        """Why a cluster takes no VMs at all, and why not this one."""
        name = host.cluster.name
        if name not in self._clusters:
            over = threshold_exceeded(host.cluster, self._index.totals(name), self._request)
            self._clusters[name] = judge_cluster(host.cluster), over
        return self._clusters[name]
