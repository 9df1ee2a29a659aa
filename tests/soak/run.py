"""A soak: round after round of about a minute, each of users' work and faults, then calm."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from tests.soak.calm import KINDS, Logs, await_rest, wrong
from tests.soak.faults import DEADLY, GENTLE, Begin, Trouble
from tests.soak.memory import Memory, resident
from tests.soak.outside import Outside
from tests.soak.site import Site
from tests.soak.staying import Staying
from tests.soak.users import Users

WORK = 40.0
"""Seconds of a round in which users work."""
RATE = 1.0
"""Operations per second."""
DEADLY_PERIOD, DEADLY_MINUTES = 40.0, 10.0
"""Controllers are ended only in the first minutes of each period: those of the rest live long enough to show a leak."""
LONG_REST_EVERY = 10
"""Rounds between those after which nothing at all may be written."""
PATIENCE = 300.0
"""Seconds that it may take to become as declared: breakers and backoffs take minutes. Less than the ten minutes between looks at
what is as declared: what nobody wakes must not pass because one of these looks mends it."""


class Violation(AssertionError):
    """Something that must hold does not; the text is all of it."""


@dataclass
class Round:
    """What one round was, for the record. Times are seconds, memory MiB by process."""

    minute: float
    operations: int = 0
    troubles: list[str] = field(default_factory=list)
    objects: dict[str, int] = field(default_factory=dict)
    converged: float = 0.0
    long_rest: bool = False
    memory: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = ", ".join(f"{self.objects[kind]} {kind}" for kind in ("VirtualMachine", "Volume", "Snapshot", "SnapshotRestore"))
        memory = " / ".join(f"{mib:.0f}" for mib in self.memory.values())
        rest = "nothing written" if self.long_rest else "no work written"
        return (
            f"{self.minute:6.1f} min: {counts}; {self.operations} operations; {'; '.join(self.troubles) or 'no fault'}; "
            f"as declared after {self.converged:.0f} s, {rest}, {memory} MiB"
        )


class Soak:
    """One run. `say` is told what happens; everything that is chosen comes from `seed`."""

    def __init__(self, site: Site, seed: int, say: Callable[[str], None]) -> None:
        self._random = Random(seed)
        self._site = site
        self._say = say
        self._began = time.monotonic()
        self._troubles: list[Trouble] = []
        self.users = Users(site.cloud.api, self._random)
        self.outside = Outside(site, self.users.declared, self._random)
        self.staying = Staying(site, self.users.declared, self.outside, self._random)
        self.logs = Logs(site)
        self.memory = Memory()
        self.rounds: list[Round] = []
        self.trace = site.cloud.directory / "trace.log"

    def run(self, minutes: float) -> None:
        """Go on for so long, at least for two rounds. Raises Violation."""
        while self._minute() < minutes or len(self.rounds) < 2:
            one = Round(self._minute())
            with self._told():
                self._work(one)
                self._calm(one)
            self.rounds.append(one)
            self._say(str(one))

    def _minute(self) -> float:
        return (time.monotonic() - self._began) / 60

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the tests' own tools find wrong is a violation too, not a crash."""
        try:
            yield
        except AssertionError as error:
            raise error if isinstance(error, Violation) else Violation(str(error)) from error

    # Work ----------------------------------------------------------------------------------------------------------

    def _work(self, one: Round) -> None:
        """Users and somebody at the hypervisors work at a steady rate, while faults begin and end."""
        began, due = time.monotonic(), self._timeline(one)
        for at, happens in sorted(due, key=lambda each: each[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            happens()
        self._end(list(self._troubles))

    def _timeline(self, one: Round) -> list[tuple[float, Callable[[], None]]]:
        """What happens when, in seconds from the beginning."""
        due: list[tuple[float, Callable[[], None]]] = []
        at = 0.0
        while (at := at + self._random.expovariate(RATE)) < WORK:
            by_hand = self._random.random() < 0.15
            due.append((at, partial(self._act, one, by_hand)))
        deadly = one.minute % DEADLY_PERIOD < DEADLY_MINUTES
        for _ in range(self._random.randint(1, 3)):
            begin = self._random.choice([*GENTLE, *DEADLY, *DEADLY] if deadly else GENTLE)
            begins = self._random.uniform(0.0, WORK - 15.0)
            ends = begins + self._random.uniform(2.0, 15.0)
            held: list[Trouble] = []
            due.append((begins, partial(self._begin, one, begin, held)))
            due.append((ends, partial(self._end, held)))
        return due

    def _act(self, one: Round, by_hand: bool) -> None:
        if done := self.outside.act() if by_hand else self._asked():
            one.operations += 1
            self._note(("by hand: " if by_hand else "") + done)

    def _asked(self) -> str:
        """What a user does: an eighth of it is about VMs that stay when objects come and go."""
        return (self._random.random() < 1 / 8 and self.staying.act()) or self.users.act()

    def _begin(self, one: Round, begin: Begin, held: list[Trouble]) -> None:
        if (trouble := begin(self._site, self._random)) is not None:
            held.append(trouble)
            self._troubles.append(trouble)
            one.troubles.append(trouble.what)
            self._note(f"begins: {trouble.what}")

    def _end(self, troubles: Sequence[Trouble]) -> None:
        for trouble in troubles:
            if trouble in self._troubles:
                self._troubles.remove(trouble)
                self._note(f"ends: {trouble.what}")
                trouble.end()

    def _note(self, text: str) -> None:
        with self.trace.open("a") as trace:
            trace.write(f"{self._minute():8.3f} {time.strftime('%H:%M:%S', time.gmtime())} {text}\n")

    # Calm ----------------------------------------------------------------------------------------------------------

    def _calm(self, one: Round) -> None:
        """Wait until all is as declared and at rest, and see that it stays so. Raises Violation."""
        self._site.cloud.control.clear_faults()
        self._site.started()
        began = time.monotonic()
        while found := self._wrong():
            if time.monotonic() > began + PATIENCE:
                raise Violation("\n".join([f"not as declared {PATIENCE:.0f} s after the last fault:", *found[:40]]))
            time.sleep(1.0)
        one.converged = time.monotonic() - began
        one.long_rest = len(self.rounds) % LONG_REST_EVERY == LONG_REST_EVERY - 1
        self._rest(one.long_rest)
        if found := [*self._wrong(), *self.logs.defects()]:
            raise Violation("\n".join(["at rest, and yet:", *found[:40]]))
        self._count(one)
        self.users.declared.calm()
        self.staying.calm()
        self._note(f"calm after {one.converged:.1f} s")

    def _wrong(self) -> list[str]:
        return wrong(self._site, self.users.declared, self.outside)

    def _rest(self, long: bool) -> None:
        """Sums over many objects are written half a minute late, each kind after the one below it."""
        quiet, patience = (40.0, 400.0) if long else (5.0, 200.0)
        if found := await_rest(self._site, quiet, patience, everything=long):
            raise Violation(
                "\n".join([f"all is as declared, and for {patience:.0f} s there was always something written:", *found])
            )

    def _count(self, one: Round) -> None:
        one.objects = {kind: len(self._site.cloud.api.list(kind)) for kind in KINDS}
        for replica in self._site.replicas:
            process = replica.process
            if not process.alive:
                raise Violation(f"{process.identity} has ended by itself")
            name = f"{process.identity} {process.pid}"
            one.memory[name] = resident(process.pid)
            self.memory.take(name, self._minute(), one.memory[name])
            replica.proxy.asked.clear()


def record(soak: Soak, seed: int, violation: str, circumstances: dict[str, object]) -> str:
    """What is kept of a run, as JSON."""
    content = {
        "seed": seed,
        **circumstances,
        "rounds": len(soak.rounds),
        "minutes": round(soak.rounds[-1].minute, 1) if soak.rounds else 0.0,
        "operations": sum(each.operations for each in soak.rounds),
        "faults": sum(len(each.troubles) for each in soak.rounds),
        "simulator_restarts": soak._site.restarts,
        "slowest_convergence_seconds": round(max((each.converged for each in soak.rounds), default=0.0), 1),
        "memory_growth_mib_per_hour": soak.memory.growth(),
        "violation": violation,
        "timeline": [asdict(each) for each in soak.rounds],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def dump(soak: Soak, directory: Path) -> None:
    """Write what there is: all objects and the census."""
    objects = {kind: soak._site.cloud.api.list(kind) for kind in KINDS}
    (directory / "objects.json").write_text(json.dumps(objects, indent=1))
    (directory / "census.json").write_text(json.dumps(asdict(soak._site.cloud.control.census()), indent=1))
