"""CPU and memory."""

from __future__ import annotations

from drivers.types import Change, DesiredVM, ObservedVM, SetCPUs, SetMemory


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Bring CPU and memory to the offering's, be it what runs now or what the next start would have."""
    found: list[Change] = []
    if (have.cpus, have.running_cpus) != (want.cpus, want.cpus):
        found.append(SetCPUs(want.cpus))
    if (have.memory, have.running_memory) != (want.memory, want.memory):
        found.append(SetMemory(want.memory))
    return found
