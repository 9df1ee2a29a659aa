"""Delays that grow from try to try."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST_EXPONENT = 32  # keeps 2**n within a float however often something is tried, far beyond any cap


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before the n-th retry: `base` doubled each time up to `cap` (seconds), shortened at random by up to `jitter` of
    itself.
    """

    base: float = 0.25
    cap: float = 300.0
    jitter: float = 0.3

    def delay(self, retries: int, random: float = 0.0) -> float:
        """Return the seconds to wait after `retries` earlier retries; `random` is uniform in [0, 1), 0 for the whole delay."""
        full = min(self.cap, self.base * 2.0 ** min(retries, _LARGEST_EXPONENT))
        return full * (1 - self.jitter * random)
