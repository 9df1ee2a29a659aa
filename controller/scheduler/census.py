"""Judge all hosts that a request could mean: those that are alike at once, so that 10,000 of them take milliseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from controller.scheduler.filters import judge_load, most_usage, too_large
from controller.scheduler.index import Candidate
from controller.scheduler.judge import Judge
from controller.scheduler.shapes import Alike
from controller.scheduler.storage import UNKNOWN
from controller.scheduler.views import Reason, Request, Usage

__all__ = ["EXAMPLES", "Census"]

Lack = tuple[float, str, Reason, int]
"""Lacking part of what is asked for, host name, why it does not fit, and how much of it is lacking."""
EXAMPLES = 3
"""Hosts that are named for each reason: enough to go and look, in a status that stays small."""


class Census:
    """What came out: `hosts` judged, `counts` of those that failed for each reason and the first of their names as `examples`, the
    pool to use on those that `fitting` names, whether all are `too_small` even when empty, and the `nearest` of those that room
    would cure.
    """

    def __init__(self, request: Request, judge: Judge) -> None:
        self.hosts = 0
        self.counts: Counter[Reason] = Counter()
        self.examples: dict[Reason, list[str]] = {}
        self.fitting: dict[str, str] = {}
        self.too_small = True
        self.nearest: Lack | None = None
        self._request = request
        self._judge = judge

    def take(self, alike: Alike) -> None:
        """Judge hosts of one shape."""
        hosts = sum(map(len, alike.values()))
        first = _one(next(iter(alike.values())))
        large = too_large(first, self._request)
        self.hosts += hosts
        self.too_small = self.too_small and large
        if reason := self._judge.shape(first):
            for equal in alike.values():
                self._reject(reason, equal.keys())
            return
        most = most_usage(first, self._request)
        for usage, equal in alike.items():
            if reason := judge_load(usage, most):
                self._reject(reason, equal.keys())
                if not large:
                    self._note_room(reason, usage, first, equal)
            else:
                self._look_further(equal, large=large)

    def _reject(self, reason: Reason, names: Collection[str]) -> None:
        """Count hosts for a reason; of all of them the first by name are kept, so that the same hosts make the same report."""
        self.counts[reason] += len(names)
        known = self.examples.get(reason, [])
        if len(names) == 1 and len(known) == EXAMPLES and _any(names) > known[-1]:
            return  # nearly all of many hosts of which no two are alike
        self.examples[reason] = sorted([*known, *names])[:EXAMPLES]

    def _note_room(self, reason: Reason, usage: Usage, like: Candidate, names: Collection[str]) -> None:
        """Note what hosts of this usage lack; `like` is one of their shape."""
        if reason is Reason.INSUFFICIENT_CPU:
            self._note(reason, usage.cpus + self._request.cpus - like.cpus, self._request.cpus, names)
        elif reason is Reason.INSUFFICIENT_MEMORY:
            self._note(reason, usage.memory + self._request.memory - like.memory, self._request.memory, names)

    def _note(self, reason: Reason, lacking: int, asked: int, names: Collection[str]) -> None:
        """Keep the nearest miss: the least part of what is asked for, then the first name."""
        part = lacking / asked
        if self.nearest is None or part <= self.nearest[0]:
            found = part, min(names), reason, lacking
            self.nearest = min(self.nearest, found) if self.nearest else found

    def _look_further(self, equal: Mapping[str, Candidate], *, large: bool) -> None:
        """Judge equal hosts by what is not the same for all of them: VMs that keep apart, and storage."""
        kin = equal.keys() & self._judge.kin
        if kin:
            self._reject(Reason.ANTI_AFFINITY, kin)
        rest = equal.keys() - kin if kin else equal.keys()
        sample = _one(equal)
        if reason := self._judge.over(sample):
            self._reject(reason, rest)
            return
        pools = self._judge.pools
        special = pools.special(sample, rest)
        if shared := rest - special if special else rest:
            self._settle(equal[next(iter(shared))], shared, large=large)
        for name in special:
            self._settle(equal[name], (name,), large=large)

    def _settle(self, host: Candidate, names: Collection[str], *, large: bool) -> None:
        """Note which pool these hosts have for the VM, or what they lack; `host` is one of them, and all reach the same pools."""
        offer = self._judge.pools.offer(host)
        if offer.choice is not None:
            self.fitting.update(dict.fromkeys(names, offer.choice[1]))
            return
        self._reject(offer.reason, names)
        if offer.reason is Reason.INSUFFICIENT_STORAGE and offer.lacking != UNKNOWN and not large:
            self._note(offer.reason, offer.lacking, max(self._request.disk, 1), names)


def _one(equal: Mapping[str, Candidate]) -> Candidate:
    return next(iter(equal.values()))


def _any(names: Collection[str]) -> str:
    return next(iter(names))
