"""One seed drives it all: after every step of any history the views and the plan equal a simple model's."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.store_disk import Hooked, rounds
from support.store_records import answer, failure, manifest, rows

from pipeline.errors import MachineError
from pipeline.store import Store
from pipeline.store.compact import compact
from pipeline.store.pending import Pending, State
from pipeline.store.reprocess import accept, failed_rows

IDS = [f"i{number}" for number in range(5)]
SETTINGS = ["A", "B", "C"]
FAULTS = ["throttled", "transient", "rejected", "suspect"]
SENT = (State.NEW, State.CHANGED, State.RETRY)


class Row:
    """What the model knows of one id. `outcomes`: (number, fingerprints it counts for, fault or None, text)."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[int, set[str], str | None, str]] = []
        self.current = ""

    def answers(self) -> list[tuple[int, set[str], str | None, str]]:
        return [outcome for outcome in self.outcomes if outcome[2] is None]

    def fitting(self) -> list[tuple[int, set[str], str | None, str]]:
        return [outcome for outcome in self.answers() if self.current in outcome[1]]

    def result(self) -> tuple[str, bool] | None:
        fitting, answers = self.fitting(), self.answers()
        if fitting:
            return fitting[-1][3], False
        return (answers[-1][3], True) if answers else None

    def failure(self) -> str | None:
        if self.fitting():
            return None
        failures = [outcome for outcome in self.outcomes if outcome[2] is not None]
        fitting = [outcome for outcome in failures if self.current in outcome[1]]
        if fitting:
            return fitting[-1][3]
        return failures[-1][3] if failures and failures[-1] == self.outcomes[-1] else None

    def state(self, fingerprint: str) -> State:
        counted = [outcome for outcome in self.outcomes if fingerprint in outcome[1]]
        if not self.outcomes:
            return State.NEW
        if any(outcome[2] is None for outcome in counted):
            return State.DONE
        if not counted:
            return State.CHANGED
        return State.RETRY if counted[-1][2] in ("throttled", "transient") else State.FAILED


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

    def told(self, id_: str, counts: set[str], fault: str | None, text: str) -> None:
        row = self.model.setdefault(id_, Row())
        row.outcomes.append((self.number, counts, fault, text))

    def outcome(self, store: Store, id_: str, used: str, wanted: str, fault: str | None) -> None:
        self.number += 1
        text = f"{id_} {used} {self.number}"
        answers = None if used == wanted else wanted
        columns: dict[str, Any] = {"n": self.number if self.number % 3 else f"text {self.number}"}
        if fault is None:
            store.answer(answer(id_, used, text, answers=answers, columns=columns))
        else:
            held = {"caption": text} if fault == "suspect" else None
            more = {"answers": answers, "columns": columns, "answer": held}
            store.failure(failure(id_, used, fault, message=text, **more))
        # Only what the store took is told to the model.
        self.told(id_, {used, wanted}, fault, text)
        self.model[id_].current = wanted

    def plan(self, store: Store) -> list[str]:
        with Pending(self.output, "caption") as pending:
            pending.load([manifest([(id_, self.job) for id_ in self.manifest])])
            states = [State(state) for state in pending.states()]
            assert states == [self.model.get(id_, Row()).state(self.job) for id_ in self.manifest]
            vanished = {id_ for id_ in self.model if id_ not in self.manifest}
            assert pending.counts().vanished == len(vanished)
            store.mark_current(pending.marks())
        for id_ in self.manifest:
            if id_ in self.model:
                self.model[id_].current = self.job
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

        def refuse(name: str, argument: Any) -> None:
            if broken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        store = Store.open(self.output, "caption", run_id="r", files=Hooked(refuse))
        for id_, fault in zip(self.plan(store)[:limit], faults, strict=False):
            self.outcome(store, id_, self.job, self.job, fault)
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
                wanted = self.job if row.id in self.manifest else row.answers
                self.outcome(store, row.id, used, wanted, fault)

    @rule()
    def accept(self) -> None:
        with Store.open(self.output, "caption", run_id="r") as store:
            count = accept(store)
        suspects = []
        for id_, row in self.model.items():
            open_ = row.failure()
            for _, counts, fault, text in list(row.outcomes):
                if text == open_ and fault == "suspect":
                    suspects.append((id_, counts, text))
        assert count == len(suspects)
        for id_, counts, text in suspects:
            self.number += 1
            before = self.model[id_].current
            self.told(id_, counts, None, text)
            # The newest record says what is current: what the failure stood for.
            self.model[id_].current = before if before in counts else self.stood_for(text, counts)

    def stood_for(self, text: str, counts: set[str]) -> str:
        ((fingerprint,),) = rows(
            self.output,
            "select coalesce(m.fingerprint, f.fingerprint) from parts.failures as f "
            f"left join parts.current as m on m.seq = f.seq where f.message = '{text}'",
        )
        assert fingerprint in counts
        return str(fingerprint)

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
