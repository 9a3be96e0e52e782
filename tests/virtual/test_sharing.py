"""Rows that share outcomes, under the pool, on a clock that jumps: each ends once, each question is sent once."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.scripted import Answer, ScriptedWire, prepared
from support.store_disk import rounds
from support.store_records import answer, failure

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prefetch import Inline
from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.dispatch.stop import Stop
from pipeline.run.sharers import Sharers
from pipeline.run.sharing import MOST_BYTES, OutcomeRecord, Pairs, Sharing
from pipeline.run.work_item import WorkItem
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.types import Answered, Ending, Failed, Left, Media, Row

FIRST = 1_000


def fingerprint(question: int) -> str:
    """Questions from 10 on agree in the 64 bits that the index holds."""
    return f"{min(question, 10) * 0x9E3779B97F4A7C15 % 2**64:016x}{question:016x}"


class Shared:
    """A pool over rows with questions. Even rows are known early, odd ones when they are prepared; `kept` questions
    have an answer of an earlier run, those in `lost` cannot be found any more; what is 3 modulo 5 is refused."""

    def __init__(self, questions: list[int], kept: set[int], lost: set[int], seed: int, **more: Any) -> None:
        self.questions = questions
        self.luck = random.Random(seed)
        self.lost = lost
        self.outcomes: dict[int, OutcomeRecord] = {}
        self.ended: Counter[int] = Counter()
        self.given: dict[int, str] = {}
        self.left: set[int] = set()
        index = FingerprintIndex(recent=4)
        for number, question in enumerate(sorted(kept), 1):
            index.add(fingerprint(question), number)
            if question not in lost:
                self.outcomes[number] = answer("old", fingerprint(question), f"answer {question}")
        self.sharing = Sharing(index, FIRST, self.find, self.write, **more)
        self.wire = ScriptedWire(self.script)

    def script(self, row: int, now: float) -> Answer:
        status = 400 if self.questions[row] % 5 == 3 else 200
        return Answer(status=status, latency=self.luck.uniform(0.0, 0.4))

    async def find(self, seqs: Collection[int]) -> Mapping[int, OutcomeRecord]:
        return {seq: self.outcomes[seq] for seq in seqs if seq in self.outcomes}

    def write(self, pairs: Pairs) -> None:
        for work, known in pairs:
            self.end(work, known)

    def end(self, work: WorkItem, known: OutcomeRecord) -> None:
        self.ended[work.row.ordinal] += 1
        self.given[work.row.ordinal] = known.message if hasattr(known, "message") else known.own["caption"]

    async def ask(self, work: WorkItem) -> PreparedRequest | None:
        if work.fingerprint is None:
            await anyio.sleep(self.luck.uniform(0.0, 0.2))
            work.fingerprint = fingerprint(self.questions[work.row.ordinal])
        return prepared(work.row.ordinal) if await self.sharing.claim(work) else None

    def done(self, work: WorkItem, ending: Ending) -> None:
        waiting = self.sharing.ended(work)
        if isinstance(ending, Left):
            self.left |= {work.row.ordinal, *(other.row.ordinal for other in waiting or ())}
            return
        question = self.questions[work.row.ordinal]
        if isinstance(ending, Failed):
            known: OutcomeRecord = failure(work.row.id, fingerprint(question), message=f"answer {question}")
        else:
            assert isinstance(ending, Answered)
            known = answer(work.row.id, fingerprint(question), f"answer {question}")
        seq = FIRST + len(self.outcomes)
        self.outcomes[seq] = known
        for one in (work, *(waiting or ())):
            self.end(one, known)
        if waiting is not None:
            self.sharing.keep(work, known, seq)

    def rows(self) -> Any:
        for number, question in enumerate(self.questions):
            yield WorkItem(
                row=Row(ordinal=number, where="m", id=str(number), given=True, prompt=str(question)),
                fingerprint=None if number % 2 else fingerprint(question),
            )

    async def run(self, stop_after: float | None = None) -> None:
        limits, stop = Limits(concurrency=4), Stop()
        pool: Pool[WorkItem] = Pool(transport=self.wire, account=Account(limits), stop=stop, wall=anyio.current_time)
        async with anyio.create_task_group() as beside:
            beside.start_soon(self.sharing.look_up)
            if stop_after is not None:
                beside.start_soon(self.stop, stop, stop_after)
            with anyio.fail_after(3_600):
                await pool.run(Sharers(Inline(self.rows()), self.sharing), self.ask, self.done)
            beside.cancel_scope.cancel()

    async def stop(self, stop: Stop, seconds: float) -> None:
        await anyio.sleep(seconds)
        stop.request_stop("signal", 0.1)


questions = st.lists(st.integers(0, 12), max_size=60)
some = st.sets(st.integers(0, 12), max_size=6)


@settings(max_examples=rounds(150), deadline=None, derandomize=True)
@given(questions, some, some, st.integers(0, 10**6), st.sampled_from([1, 5_000, MOST_BYTES]))
def test_each_row_ends_once_and_each_question_is_sent_once(
    virtual: Any, questions: list[int], kept: set[int], lost: set[int], seed: int, room: int
) -> None:
    shared = Shared(questions, kept, lost, seed, most_bytes=room)
    virtual(shared.run)
    assert shared.ended == Counter(dict.fromkeys(range(len(questions)), 1))
    assert shared.given == {number: f"answer {question}" for number, question in enumerate(questions)}
    sent = Counter(questions[one.row] for one in shared.wire.sent)
    assert {question: count for question, count in sent.items() if question < 10} == dict.fromkeys(
        {question for question in set(questions) - (kept - lost) if question < 10}, 1
    )


@settings(max_examples=rounds(100), deadline=None, derandomize=True)
@given(questions, some, st.integers(0, 10**6), st.floats(0.0, 2.0))
def test_after_a_stop_no_row_ends_twice_and_none_is_both(
    virtual: Any, questions: list[int], kept: set[int], seed: int, seconds: float
) -> None:
    shared = Shared(questions, kept, set(), seed)
    virtual(functools.partial(shared.run, seconds))
    assert set(shared.ended.values()) <= {1}
    assert not shared.left & shared.ended.keys()
    assert shared.given == {number: f"answer {questions[number]}" for number in shared.ended}
    assert set(Counter(questions[one.row] for one in shared.wire.sent if questions[one.row] < 10).values()) <= {1}


def test_an_earlier_answer_to_an_address_is_not_shared(virtual: Any) -> None:
    shared = Shared([1, 1], {1}, set(), 0)

    def rows() -> Any:
        for work in Shared.rows(shared):
            url = Media(kind="image", ref="http://x/latest.jpg", url="http://x/latest.jpg")
            row = Row(ordinal=work.row.ordinal, where="m", id=work.row.id, given=True, images=(url,))
            yield WorkItem(row=row, fingerprint=fingerprint(1))

    shared.rows = rows  # type: ignore[method-assign]
    virtual(shared.run)
    assert len(shared.wire.sent) == 1
    assert shared.ended == {0: 1, 1: 1}


@pytest.mark.parametrize("rows", [1, 700])
def test_rows_that_wait_hold_little(virtual: Any, rows: int) -> None:
    shared = Shared([1] * rows, set(), set(), 0)
    virtual(shared.run)
    assert (shared.sharing._bytes, shared.sharing.unsettled, shared.sharing._waiting) == (0, False, {})
