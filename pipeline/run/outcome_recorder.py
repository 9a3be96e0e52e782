"""Handles the end of a row: its records go to the journal, its figures to the display."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipeline.report.state import RunState
from pipeline.run.context import JobContext
from pipeline.run.forecaster import Forecaster
from pipeline.run.record import RecordBuilder
from pipeline.run.sharing import OutcomeRecord as Outcome
from pipeline.run.sharing import Pairs, Sharing
from pipeline.run.work_item import WorkItem
from pipeline.store import Store
from pipeline.store.records import CACHED, AttemptRecord, FailureRecord, Record
from pipeline.types import Answered, Attempt, Ending, Failed, Reply

AT_ONCE = 256
"""The most rows with a shared outcome in one write to the journal."""


class OutcomeRecorder:
    """The pool's callbacks of one run. `state`: the figures for a display. `sharing`: None if each row is asked.
    `forecaster`: None offline."""

    def __init__(self, context: JobContext, store: Store, run_id: str, root: str) -> None:
        self.state = RunState()
        self.sharing: Sharing | None = None
        self.forecaster: Forecaster | None = None
        self._store = store
        self._builder = RecordBuilder(context, run_id, root, _now)

    def attempt(self, work: WorkItem, attempt: Attempt) -> None:
        """Keeps an attempt that ended in a fault. An attempt that ended in an answer is kept together with the
        answer."""
        self._store.attempt(self._builder.attempt(work, attempt))

    def turn(self, work: WorkItem, reply: Reply, attempt: Attempt) -> None:
        """Keeps the answer to a question that is not the row's last question. Raises MachineError."""
        self._foretell(work, attempt)
        record = self._builder.turn(work, reply, attempt)
        self._store.turn(record, self._builder.attempt(work, attempt))
        work.turns = (*work.turns, record)

    def done(self, work: WorkItem, ending: Ending) -> None:
        """Keeps the outcome of a row, also for the rows that waited for it. Raises MachineError.

        Rows count when their outcome is in the journal.
        """
        waiting = self.sharing.ended(work) if self.sharing else None
        state = self.state
        if isinstance(ending, Answered):
            builder = self._builder
            answer = builder.answer(work, ending)
            self._foretell(work, ending.attempts[-1])
            self._keep(work, answer, waiting, builder.attempt(work, ending.attempts[-1]))
        elif isinstance(ending, Failed):
            self._keep(work, self._builder.failure(work, ending), waiting)
        else:
            state.left += 1 + len(waiting or ())
            state.sent += bool(ending.attempts)

    def _foretell(self, work: WorkItem, attempt: Attempt) -> None:
        if self.forecaster is not None:
            self.forecaster.answered(work, attempt.usage)

    def share(self, pairs: Pairs) -> None:
        """Keeps the outcomes of other rows' calls as the outcomes of these rows. Raises MachineError."""
        for first in range(0, len(pairs), AT_ONCE):
            some = pairs[first : first + AT_ONCE]
            self._store.outcomes([self._builder.shared(work, outcome) for work, outcome in some])
            self._count_shared([outcome for _, outcome in some])

    def _keep(
        self, work: WorkItem, outcome: Outcome, waiting: list[WorkItem] | None, attempt: AttemptRecord | None = None
    ) -> None:
        """Keeps the outcome of a row and of the rows that waited for it.

        The row and the first AT_ONCE waiting rows are in one write, so that a kill cannot separate them. Further rows
        follow in writes of AT_ONCE. `waiting`: None if no row could wait.
        """
        records: list[Record] = [outcome] if attempt is None else [attempt, outcome]
        now = waiting[:AT_ONCE] if waiting else []
        records += [self._builder.shared(other, outcome) for other in now]
        last = self._store.outcomes(records)
        if self.sharing is not None and waiting is not None:
            self.sharing.keep(work, outcome, last - len(now))
        self.state.sent += 1
        if isinstance(outcome, FailureRecord):
            self._count_failed(outcome)
        else:
            self.state.answered += 1
        if waiting:
            self._count_shared([outcome] * len(now))
            self.share([(other, outcome) for other in waiting[AT_ONCE:]])

    def _count_shared(self, outcomes: Sequence[Outcome]) -> None:
        state = self.state
        for outcome in outcomes:
            if isinstance(outcome, FailureRecord):
                self._count_failed(outcome)
            else:
                state.shared += 1
                state.cached += (outcome.shared_with or "").startswith(CACHED)

    def _count_failed(self, outcome: FailureRecord) -> None:
        state = self.state
        state.failed += 1
        state.reasons[outcome.code] = state.reasons.get(outcome.code, 0) + 1


def _now() -> int:
    return time.time_ns() // 1000
