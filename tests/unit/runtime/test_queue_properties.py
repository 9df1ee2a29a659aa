"""The queue against a model of what it promises, under random operations."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.runtime.backoff import Backoff
from controller.runtime.keys import Key
from controller.runtime.queue import Priority, Queue

KEYS = [Key("Widget", "ns", name) for name in "abcd"]
keys = st.sampled_from(KEYS)
priorities = st.sampled_from(list(Priority))


class QueueMachine(RuleBasedStateMachine):
    """The model: which keys are owed a run, which run now, and when delayed ones are due."""

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.queue = Queue(lambda: self.now, lambda: 0.5, Backoff(base=1, cap=8, jitter=0.5))
        self.owed: dict[Key, Priority] = {}
        self.running: set[Key] = set()
        self.again: dict[Key, Priority] = {}
        self.due: dict[Key, tuple[float, Priority]] = {}
        self.retried: dict[Key, int] = {}

    @rule(key=keys, priority=priorities)
    def add(self, key: Key, priority: Priority) -> None:
        self.queue.add(key, priority)
        self.model_add(key, priority)

    @rule(key=keys, delay=st.floats(0, 20), priority=priorities)
    def add_after(self, key: Key, delay: float, priority: Priority) -> None:
        self.queue.add_after(key, delay, priority)
        if delay == 0:
            self.model_add(key, priority)
        else:
            self.model_delay(key, delay, priority)

    @rule(key=keys, priority=priorities)
    def retry(self, key: Key, priority: Priority) -> None:
        times = self.retried.get(key, 0)
        delay = self.queue.retry(key, priority)
        assert delay == min(8, 2**times) * 0.75  # half of the half that jitter may take
        self.retried[key] = times + 1
        self.model_delay(key, delay, priority)

    @rule(key=keys)
    def forget(self, key: Key) -> None:
        self.queue.forget(key)
        self.retried.pop(key, None)

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def pop(self) -> None:
        self.model_promote()
        found = self.queue.pop()
        if not self.owed:
            assert found is None
            return
        assert found is not None
        key, waited = found
        assert key not in self.running, "a key runs twice at once"
        assert key in self.owed, "a run that nobody asked for"
        assert waited >= 0
        del self.owed[key]
        self.due.pop(key, None)
        self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.queue.done(key)
        self.running.remove(key)
        if key in self.again:
            self.model_add(key, self.again.pop(key))

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "queue"):
            self.model_promote()
            self.queue._promote()
            assert len(self.queue) == len(self.owed)
            assert len(self.queue._delayed) == len(self.due)
            assert self.idle() == (not self.owed and not self.running and not self.due)

    def idle(self) -> bool:
        """Whether nothing is ready, nothing runs and nothing waits for its time."""
        return not (self.queue._priority or self.queue._processing or self.queue._delayed)

    def teardown(self) -> None:
        """Nothing is lost: everything that was owed runs, and each key that was added during its run runs exactly once more."""
        if not hasattr(self, "queue"):
            return
        runs: dict[Key, int] = {}
        owed_more = set(self.owed) | set(self.again) | set(self.due)
        for key in sorted(self.running):
            self.queue.done(key)
        self.now += 1000
        while found := self.queue.pop():
            runs[found[0]] = runs.get(found[0], 0) + 1
            self.queue.done(found[0])
        assert runs == dict.fromkeys(owed_more, 1)
        assert self.idle()

    def model_add(self, key: Key, priority: Priority) -> None:
        if key in self.running:
            self.again[key] = min(priority, self.again.get(key, priority))
        else:
            self.owed[key] = min(priority, self.owed.get(key, priority))

    def model_delay(self, key: Key, delay: float, priority: Priority) -> None:
        due = self.now + delay
        if key not in self.due or due < self.due[key][0]:
            self.due[key] = (due, priority)

    def model_promote(self) -> None:
        for key, (due, priority) in list(self.due.items()):
            if due <= self.now:
                del self.due[key]
                self.model_add(key, priority)


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestQueue = QueueMachine.TestCase
