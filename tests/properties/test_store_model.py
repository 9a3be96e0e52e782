"""One seed drives it all: after every step of any history the views and the plan equal a simple model's."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.store_disk import Hooked, rounds
from support.store_records import answer, failure, manifest, rows

from pipeline.errors import MachineError
from pipeline.store import Store
from pipeline.store.diff import ManifestDiff, State
from pipeline.store.failed_rows import accept, failed_rows
from pipeline.store.maintenance import compact, dismiss, undo

IDS = [f"i{number}" for number in range(5)]
SETTINGS = ["A", "B", "C"]
FAULTS = ["throttled", "transient", "rejected", "suspect"]
GONE = "gone"
"""Of a row that left the manifest while its failure was open."""
SHARED = "select id, caption, shared_with from versions"
SENT = (State.NEW, State.CHANGED, State.RETRY)


class Outcome(NamedTuple):
    """`counts`: the fingerprints it counts for; `asked`: of them, the manifest row's. `fault`: None of an answer."""

    number: int
    counts: set[str]
    asked: str
    fault: str | None
    text: str
    shared_with: str | None


class Row:
    """What the model knows of one id. `current`: its fingerprint, or GONE."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.current = ""
        self.dismissed: set[str] = set()

    def answers(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.fault is None]

    def fitting(self) -> list[Outcome]:
        return [outcome for outcome in self.answers() if self.current in outcome.counts]

    def result(self) -> tuple[str, bool] | None:
        fitting, answers = self.fitting(), self.answers()
        if fitting:
            return fitting[-1].text, False
        return (answers[-1].text, True) if answers else None

    def unanswered(self) -> Outcome | None:
        """The failure that would be open, were it not for dismissals and rows that leave."""
        if self.fitting():
            return None
        failures = [outcome for outcome in self.outcomes if outcome.fault is not None]
        fitting = [outcome for outcome in failures if self.current in outcome.counts]
        if fitting:
            return fitting[-1]
        return failures[-1] if failures and failures[-1] == self.outcomes[-1] else None

    def failure(self) -> str | None:
        found = self.unanswered()
        hidden = found is None or found.asked in self.dismissed or self.current == GONE
        return None if found is None or hidden else found.text

    def dismissal(self) -> str | None:
        found = self.unanswered()
        return found.text if found is not None and found.asked in self.dismissed else None

    def state(self, fingerprint: str) -> State:
        counted = [outcome for outcome in self.outcomes if fingerprint in outcome.counts]
        if not self.outcomes:
            return State.NEW
        if any(outcome.fault is None for outcome in counted):
            return State.DONE
        if fingerprint in self.dismissed:
            return State.DISMISSED
        if not counted:
            return State.CHANGED
        return State.RETRY if counted[-1].fault in ("throttled", "transient") else State.FAILED


class Histories(RuleBasedStateMachine):
    """Runs, kills, job changes, manifest edits, reprocessing, accepting and compacting, with a disk that may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.output = self.folder / "out"
        self.model: dict[str, Row] = {}
        self.number = 0
        self.job = "A"
        self.manifest = IDS[:3]

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def told(self, id_: str, counts: set[str], asked: str, fault: str | None, text: str, who: str | None) -> None:
        row = self.model.setdefault(id_, Row())
        row.outcomes.append(Outcome(self.number, counts, asked, fault, text, who))

    def outcome(
        self, store: Store, id_: str, used: str, wanted: str, fault: str | None, who: str | None = None
    ) -> None:
        self.number += 1
        text = f"{id_} {used} {self.number}"
        answers = None if used == wanted else wanted
        columns: dict[str, Any] = {"n": self.number if self.number % 3 else f"text {self.number}"}
        if fault is None:
            store.answer(answer(id_, used, text, manifest_fingerprint=answers, columns=columns, shared_with=who))
        else:
            held = {"caption": text} if fault == "suspect" else None
            more = {"answers": answers, "columns": columns, "answer": held, "shared_with": who}
            store.failure(failure(id_, used, fault, message=text, **more))
        # Only what the store took is told to the model.
        self.told(id_, {used, wanted}, wanted, fault, text, who)
        self.model[id_].current = wanted

    def plan(self, store: Store) -> list[str]:
        with ManifestDiff(self.output, "caption") as diff:
            diff.load([manifest([(id_, self.job) for id_ in self.manifest])])
            states = [State(state) for state in diff.states()]
            assert states == [self.model.get(id_, Row()).state(self.job) for id_ in self.manifest]
            vanished = {id_ for id_ in self.model if id_ not in self.manifest}
            assert diff.counts().vanished == len(vanished)
            store.record_manifest_state(diff.manifest_state())
        for id_, row in self.model.items():
            if id_ in self.manifest:
                row.current = self.job
            elif not row.fitting() and any(outcome.fault for outcome in row.outcomes):
                row.current = GONE
        return [id_ for id_, state in zip(self.manifest, states, strict=True) if state in SENT]

    @rule(ids=st.permutations(IDS), size=st.integers(1, len(IDS)))
    def edit_manifest(self, ids: list[str], size: int) -> None:
        self.manifest = ids[:size]

    @rule(job=st.sampled_from(SETTINGS))
    def change_job(self, job: str) -> None:
        self.job = job

    @rule(
        faults=st.lists(st.sampled_from([None, None, *FAULTS]), min_size=5, max_size=5),
        limit=st.integers(0, 5),
        end=st.sampled_from(["well", "killed", "full"]),
        sealed=st.booleans(),
    )
    def run(self, faults: list[str | None], limit: int, end: str, sealed: bool) -> None:
        broken = False
        shared: str | None = None

        def refuse(name: str, argument: Any) -> None:
            if broken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        store = Store.open(self.output, "caption", run_id="r", files=Hooked(refuse))
        first = None
        for id_, fault in zip(self.plan(store)[:limit], faults, strict=False):
            # All rows ask the same: the first one is asked, the others share what came of it.
            self.outcome(store, id_, self.job, self.job, fault if first is None else shared, first)
            first, shared = (id_, fault) if first is None else (first, shared)
            if sealed:
                store.seal()
        if end == "full":
            broken = True
            try:
                self.outcome(store, "i0", self.job, self.job, None)
            except MachineError:
                pass
            else:
                raise AssertionError("a full disk took a record")
        if end == "well":
            store.close()
        else:
            # As a kill leaves it: nothing is sealed, only the kernel lets go of the lock.
            store._exit.close()
            with Store.open(self.output, "caption", run_id="next"):
                pass

    @rule(used=st.sampled_from(SETTINGS), fault=st.sampled_from([None, *FAULTS]), where=st.sampled_from(FAULTS))
    def reprocess(self, used: str, fault: str | None, where: str) -> None:
        with Store.open(self.output, "caption", run_id="r") as store:
            for row in list(failed_rows(self.output, "caption", f"fault = '{where}'")):
                assert self.model[row.id].failure() is not None
                # The manifest's row if it is still there, else the kept one.
                wanted = self.job if row.id in self.manifest else row.manifest_fingerprint
                self.outcome(store, row.id, used, wanted, fault)

    @rule()
    def accept(self) -> None:
        with Store.open(self.output, "caption", run_id="r") as store:
            count = accept(store)
        suspects = []
        for id_, row in self.model.items():
            open_ = row.failure()
            suspects += [(id_, one) for one in row.outcomes if one.text == open_ and one.fault == "suspect"]
        assert count == len(suspects)
        for id_, one in suspects:
            self.number += 1
            self.told(id_, one.counts, one.asked, None, one.text, one.shared_with)
            # The newest record says what is current: what the failure stood for.
            if self.model[id_].current not in one.counts:
                self.model[id_].current = one.asked

    @rule(fault=st.sampled_from([*FAULTS, None]))
    def dismiss(self, fault: str | None) -> None:
        with Store.open(self.output, "caption", run_id="r") as store:
            count = dismiss(store, "true" if fault is None else f"fault = '{fault}'", "no use", 1)
        found = [(row, row.unanswered()) for row in self.model.values() if row.failure()]
        closed = [(row, one) for row, one in found if one and fault in (None, one.fault)]
        assert count == len(closed)
        for row, one in closed:
            row.dismissed.add(one.asked)

    @rule(id_=st.sampled_from(IDS))
    def undo(self, id_: str) -> None:
        with Store.open(self.output, "caption", run_id="r") as store:
            count = undo(store, f"id = '{id_}'", 2)
        row = self.model.get(id_, Row())
        found = row.unanswered()
        assert count == bool(row.dismissal())
        if found is not None:
            row.dismissed.discard(found.asked)

    @rule(hours=st.sampled_from([0, 2]))
    def compact(self, hours: int) -> None:
        compact(self.output, "caption", run_id="c")
        with Store.open(self.output, "caption", run_id="r", now=lambda: time.time() + hours * 3600):
            pass

    @invariant()
    def views_equal_the_model(self) -> None:
        results = rows(self.output, "select id, caption, stale from results")
        wanted = {id_: row.result() for id_, row in self.model.items() if row.result()}
        assert {id_: (text, stale) for id_, text, stale in results} == wanted
        failures = dict(rows(self.output, "select id, message from failures"))
        assert failures == {id_: row.failure() for id_, row in self.model.items() if row.failure()}
        dismissed = dict(rows(self.output, "select id, message from dismissed"))
        assert dismissed == {id_: row.dismissal() for id_, row in self.model.items() if row.dismissal()}
        told = {(id_, one.text): one.shared_with for id_, row in self.model.items() for one in row.answers()}
        assert {(id_, text): who for id_, text, who in rows(self.output, SHARED)} == told
        kept = sum(len(row.answers()) for row in self.model.values())
        assert len(results) == len(wanted)
        assert rows(self.output, "select count(*), count(distinct seq) from versions") == [(kept, kept)]


Histories.TestCase.settings = settings(
    max_examples=rounds(4),
    stateful_step_count=9,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestHistories = Histories.TestCase
