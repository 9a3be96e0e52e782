"""What happens when a row ends: its records go to the journal, its figures to the display."""

from __future__ import annotations

import time

from pipeline.dispatch.observe import Snapshot
from pipeline.engines.record import Recorder
from pipeline.engines.setup import Setup
from pipeline.engines.work import Work
from pipeline.report.state import RunState
from pipeline.store import Store
from pipeline.types import Answered, Attempt, Ending, Failed, Reply


class Fanout:
    """The pool's callbacks of one run; `state` is what a display shows."""

    def __init__(self, setup: Setup, store: Store, run_id: str, root: str) -> None:
        self.state = RunState()
        self.latest: Snapshot | None = None
        self._store = store
        self._recorder = Recorder(setup.spec, setup.task, run_id, root, _now)

    def attempt(self, work: Work, attempt: Attempt) -> None:
        """Keeps a trip that ended in a fault; the one that ended in an answer is kept with it."""
        self._store.attempt(self._recorder.attempt(work, attempt))

    def turn(self, work: Work, reply: Reply, attempt: Attempt) -> None:
        """Keeps the answer to a question that others follow. Raises MachineError."""
        record = self._recorder.turn(work, reply, attempt)
        self._store.turn(record, self._recorder.attempt(work, attempt))
        work.turns = (*work.turns, record)

    def done(self, work: Work, ending: Ending) -> None:
        """Keeps how a row ended. It counts once it is in the journal. Raises MachineError."""
        state = self.state
        if isinstance(ending, Answered):
            recorder = self._recorder
            self._store.answer(recorder.answer(work, ending), recorder.attempt(work, ending.attempts[-1]))
            state.answered += 1
        elif isinstance(ending, Failed):
            self._store.failure(self._recorder.failure(work, ending))
            state.failed[ending.fault.kind, ending.fault.code] += 1
        else:
            state.left += 1
            state.sent += bool(ending.attempts)
            return
        state.sent += 1

    def watch(self, snapshot: Snapshot) -> None:
        """Takes the figures of the pool."""
        self.latest = snapshot
        state = self.state
        state.input_tokens = snapshot.input_tokens
        state.output_tokens = snapshot.output_tokens
        state.cost = snapshot.cost
        state.currency = snapshot.currency
        state.unknown_cost = snapshot.unknown_costs
        state.attempts = snapshot.attempts
        state.retries = snapshot.retries
        state.throttled = snapshot.throttled
        state.cooldowns = snapshot.cooldowns
        state.admitted = snapshot.admitted_per_second
        state.in_flight = snapshot.in_flight
        state.concurrency = snapshot.concurrency_limit
        state.rate = None if snapshot.rate_limit is None else snapshot.rate_limit * 60
        state.waiting = snapshot.waiting_retries
        state.paused = snapshot.paused_seconds
        state.queued = snapshot.bytes_prepared


def _now() -> int:
    return time.time_ns() // 1000
