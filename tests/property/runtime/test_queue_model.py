"""The key queue against a model that is obviously right."""

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bind_agent.runtime.keyqueue import KeyQueue

pytestmark = pytest.mark.property

KEYS = st.sampled_from("abcde")
PRIORITIES = st.sampled_from([-100, 0, 100])


@dataclass
class Model:
    """Keys in lists, searched from the start: slow and plain."""

    ready: list[tuple[int, int, str]] = field(default_factory=list)  # (priority, order, key)
    delayed: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    again: dict[str, int] = field(default_factory=dict)
    order: int = 0

    def add(self, key: str, priority: int) -> None:
        self.delayed.pop(key, None)
        if key in self.active:
            self.again[key] = max(priority, self.again.get(key, priority))
            return
        present = [entry for entry in self.ready if entry[2] == key]
        if present and present[0][0] >= priority:
            return
        self.ready = [entry for entry in self.ready if entry[2] != key]
        # A raised key goes to the end of its new lane.
        self.order += 1
        self.ready.append((priority, self.order, key))

    def waiting(self) -> set[str]:
        return {key for _, _, key in self.ready}


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue: KeyQueue[str] = KeyQueue()
        self.model = Model()
        self.now = 0.0
        self.pops = 0

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: str, priority: int) -> None:
        self.queue.add(key, priority, self.now)
        self.model.add(key, priority)

    @rule(key=KEYS, delay=st.integers(1, 20), priority=PRIORITIES)
    def add_after(self, key: str, delay: int, priority: int) -> None:
        when = self.now + delay
        self.queue.add_at(key, when, priority)
        if key in self.model.waiting() or key in self.model.again:
            return
        known = self.model.delayed.get(key)
        if known is None:
            self.model.delayed[key] = (when, priority, self.tick())
        elif when < known[0]:
            self.model.delayed[key] = (when, max(priority, known[1]), self.tick())
        else:
            self.model.delayed[key] = (known[0], max(priority, known[1]), known[2])

    def tick(self) -> int:
        self.model.order += 1
        return self.model.order

    @rule(seconds=st.integers(1, 8))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.queue.due(self.now)
        due = sorted(
            (when, asked, key) for key, (when, _, asked) in self.model.delayed.items() if when <= self.now
        )
        for _, _, key in due:
            self.model.add(key, self.model.delayed[key][1])

    @precondition(lambda self: self.model.ready)
    @rule()
    def take(self) -> None:
        key, _ = self.queue.pop()
        self.pops += 1
        entry = next(entry for entry in self.model.ready if entry[2] == key)
        lane = [other for other in self.model.ready if other[0] == entry[0]]
        priorities = {other[0] for other in self.model.ready}
        # The urgent lane first, the patient one in every eighth turn.
        assert entry[0] == (min(priorities) if self.pops % 8 == 0 else max(priorities))
        assert key not in self.model.active
        assert entry == min(lane, key=lambda other: other[1])
        self.model.ready.remove(entry)
        self.model.active.add(key)

    @precondition(lambda self: self.model.active)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model.active)))
        again = self.queue.done(key, self.now)
        self.model.active.remove(key)
        priority = self.model.again.pop(key, None)
        assert again is (priority is not None)
        if priority is not None:
            self.model.add(key, priority)

    @invariant()
    def agrees(self) -> None:
        model = self.model
        assert len(self.queue) == len(model.ready)
        assert self.queue.active == len(model.active)
        assert self.queue.again == len(model.again)
        assert self.queue.delayed == len(model.delayed)
        assert self.queue.next_due() == min((when for when, _, _ in model.delayed.values()), default=None)
        # A key is in one place, but for an active one that waits for its next time.
        assert not model.waiting() & model.active
        assert not model.waiting() & set(model.delayed)
        assert set(model.again) <= model.active
        assert (self.queue.oldest() is None) is (not model.ready)


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase
