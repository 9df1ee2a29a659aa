"""How the memory of processes grows while they live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WARM_UP = 5.0
"""Minutes of a process's life that don't count: code and caches are still being filled."""


@dataclass
class Memory:
    """Resident memory by process: (minutes since it was seen first, MiB)."""

    lives: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    _first: dict[str, float] = field(default_factory=dict)

    def take(self, process: str, minute: float, mib: float) -> None:
        """Note what a process has now."""
        self.lives[process].append((minute - self._first.setdefault(process, minute), mib))

    def growth(self) -> float | None:
        """MiB per hour, see `growth`."""
        return growth(self.lives)


def resident(pid: int) -> float:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


def growth(lives: Mapping[str, Sequence[tuple[float, float]]]) -> float | None:
    """MiB per hour that a process grows by: one slope for all, each with a level of its own (least squares).

    None if no process was seen for ten minutes after its first five.
    """
    above = below = 0.0
    longest = 0.0
    for points in lives.values():
        warm = [(minute, mib) for minute, mib in points if minute >= WARM_UP]
        if not warm:
            continue
        longest = max(longest, warm[-1][0] - warm[0][0])
        middle = sum(minute for minute, _ in warm) / len(warm)
        level = sum(mib for _, mib in warm) / len(warm)
        above += sum((minute - middle) * (mib - level) for minute, mib in warm)
        below += sum((minute - middle) ** 2 for minute, _ in warm)
    return 60 * above / below if longest >= 10.0 else None
