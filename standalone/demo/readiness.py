"""Which objects are ready, and what the others wait for. Pure.

Ready as kstatus has it: the condition Ready is True for the object's current generation.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from standalone.demo.manifests import Key, key


@dataclass(frozen=True)
class State:
    """One object. `stalled`: nothing will happen until someone changes something."""

    key: Key
    ready: bool = False
    stalled: bool = False
    message: str = "not seen by the controller yet"

    def __str__(self) -> str:
        """`VirtualMachine demo/web-1: message`."""
        return f"{self.key.kind} {'/'.join(filter(None, self.key[1:]))}: {self.message}"


@dataclass(frozen=True)
class Summary:
    """Of `total` objects those that are not ready, the most telling first."""

    total: int
    waiting: tuple[State, ...]

    @property
    def hopeless(self) -> bool:
        """Whether waiting is vain: everything that is not ready has stalled."""
        return bool(self.waiting) and all(state.stalled for state in self.waiting)

    def __str__(self) -> str:
        """One line for the progress display."""
        ready = f"{self.total - len(self.waiting)} of {self.total} ready"
        return f"{ready}; {self.waiting[0]}" if self.waiting else ready


def state(found: Mapping[str, Any]) -> State:
    """How ready an object is, as the API server returned it."""
    conditions = {each["type"]: each for each in found.get("status", {}).get("conditions", ())}
    generation = found["metadata"].get("generation", 0)
    ready = conditions.get("Ready")
    if ready is None or found["status"].get("observedGeneration", -1) != generation:
        return State(key(found))
    stalled = conditions.get("Stalled", {}).get("status") == "True"
    words = ready.get("message") or ready.get("reason") or "no reason given"
    return State(key(found), ready["status"] == "True", stalled, words)


def summarize(wanted: Collection[Key], found: Iterable[Mapping[str, Any]]) -> Summary:
    """How far the wanted objects are; VMs come first, since all others serve them."""
    states = {each.key: each for each in map(state, found)}
    waiting = [each for name in wanted if not (each := states.get(name, State(name))).ready]
    return Summary(
        len(wanted), tuple(sorted(waiting, key=lambda each: (not each.stalled, each.key.kind != "VirtualMachine", each.key)))
    )
