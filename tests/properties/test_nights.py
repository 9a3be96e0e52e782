"""Any sequence of nights (runs, kills, full disks, edits, reprocessing, upkeep): the views show what the rules say."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support.commands import Child, ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told, answer_to
from support.nights_model import REPROCESSED, History, Model, Outcome, Question
from support.store_disk import rounds

from pipeline.run.output import read_last_run

CONCURRENCY = 2
TEMPLATES = ("Say [{id}] {topic}", "Tell [{id}] of {topic}", "Shout [{topic}]")
"""By the last one, rows of one topic ask the same. What stands in brackets is what the server knows a request by."""
IDS = ("a", "b", "c", "d")
TOPICS = ("cats", "dogs", "fish")

MOODS = {
    "rejected": Told(400, code="invalid_request"),
    "transient": Told(500),
    "blocked": Told(finish="content_filter"),
    "suspect": Told(finish="length"),
    "malformed": Told(raw=b'{"choices": 7}'),
}

ids = st.sampled_from(IDS)
topics = st.sampled_from(TOPICS)
moods = st.dictionaries(st.sampled_from([*IDS, *TOPICS]), st.sampled_from(sorted(MOODS)), max_size=5)
edits = st.lists(st.tuples(ids, st.sampled_from([*TOPICS, None])), max_size=3)
asks = st.tuples(st.sampled_from(("m1", "m1", "m2")), st.sampled_from([*TEMPLATES, TEMPLATES[2]]))
breaks: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    call=st.sampled_from(["*", "write", "replace", "fdatasync", "unlink"]),
    nth=st.integers(1, 40),
    do=st.sampled_from(["before", "after", "ENOSPC"]),
)


WHERE: dict[str, Callable[[str, str | None], bool]] = {
    "true": lambda id_, fault: True,
    "fault = 'transient'": lambda id_, fault: fault == "transient",
    "id < 'c'": lambda id_, fault: id_ < "c",
}


def known_by(question: Question) -> str:
    """What the server knows a question by."""
    return question[1].partition("[")[2].partition("]")[0]


def views(model: Model) -> tuple[set[Any], set[Any], set[Any]]:
    """What the views must show: results, failures, dismissed."""
    return model.results(), model.failures(), model.dismissals()


class Nights(RuleBasedStateMachine):
    child_processes: ChildProcesses
    server: CountingServer

    @initialize(rows=st.dictionaries(ids, topics, min_size=2))
    def begin(self, rows: dict[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nights-"))
        self.job = CountedJob(self.folder, self.server)
        self.asks = ("m1", TEMPLATES[0])
        self.questions: tuple[Question, ...] = ()
        self.rows = rows
        self.model = Model()
        self.write()

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self) -> None:
        model, template = self.asks
        self.job.write(model=model, prompt=template, concurrency=CONCURRENCY, more="[retry]\nattempts = 1\n")
        self.job.rows({"id": id_, "topic": topic} for id_, topic in self.rows.items())

    def question(self, id_: str, topic: str, model: str | None = None) -> Question:
        return model or self.asks[0], self.asks[1].format(id=id_, topic=topic)

    def edit(self, edits: list[tuple[str, str | None]], asks: Question) -> None:
        """The user's day: rows come, change and (topic None) go; the job may ask something else."""
        for id_, topic in edits:
            self.rows.pop(id_, None)
            if topic is not None:
                self.rows[id_] = topic
        self.asks = asks
        self.write()

    @rule(edits=edits, asks=asks, moods=moods, changed=st.sampled_from([None, "redo", "redo", "keep"]))
    def run(self, edits: Any, asks: Question, moods: dict[str, str], changed: str | None) -> None:
        self.edit(edits, asks)
        self.go_through_a_night(moods, changed, [])

    @rule(edits=edits, moods=moods, broken=breaks)
    def run_on_a_machine_that_breaks(self, edits: Any, moods: dict[str, str], broken: dict[str, Any]) -> None:
        self.edit(edits, self.asks)
        self.go_through_a_night(moods, "redo", [broken])

    def go_through_a_night(self, moods: dict[str, str], changed: str | None, broken: list[dict[str, Any]]) -> None:
        asked = {id_: self.question(id_, topic) for id_, topic in self.rows.items()}
        states = {id_: self.model.of(id_).state(question) for id_, question in asked.items()}
        before = copy.deepcopy(self.model)
        rebuy = [id_ for id_, state in states.items() if state == "changed" and self.model.of(id_).answers]
        refused = changed is None and bool(rebuy) and self.questions != (self.asks,)
        questions = self.asked_after(changed == "keep" and bool(rebuy))
        keeping = changed == "keep"
        if not refused:
            self.model.mark(asked, kept=keeping)
        sent = {id_ for id_, state in states.items() if state in ("new", "resent", "changed")}
        if changed == "keep":
            sent -= set(rebuy)
        option = [] if changed is None else ["--changed", changed]
        child = self.command(moods, "run", *option, rules=broken)
        code = child.wait()
        works = {id_: (asked[id_], None, self.rows[id_]) for id_ in sent}
        if broken and code in (4, -signal.SIGKILL):
            self.recover(before, works)
            assert self.told() in (self.questions, questions)
            self.questions = self.told()
            return
        if refused:
            assert code == 2, child.err
            assert "the job has changed" in child.err
            assert not self.server.asked
            return
        assert self.server.times_asked() == dict.fromkeys(self.bought(works), 1), child.err
        self.keep(works, moods)
        self.questions = questions
        failed = [id_ for id_ in self.rows if self.model.of(id_).state(asked[id_]) in ("failed", "resent")]
        assert code == (1 if failed else 0), child.err
        status = self.job.job().status()
        assert (status.rows, status.failed, status.left) == (len(self.rows), len(failed), 0)
        told = [id_ for id_ in self.rows if self.model.of(id_).state(asked[id_]) == "dismissed"]
        assert status.dismissed == len(told)

    def bought(self, works: dict[str, Any]) -> set[str]:
        """What the server knows the questions by that nobody has an answer to."""
        return {known_by(own) for own, _, _ in works.values() if own not in self.model.answered()}

    def recover(self, before: Model, works: dict[str, Any]) -> None:
        """Of a night that was cut short, all is kept but what was in flight; the survey is kept whole or not at all."""
        assert self.child_processes.run("compact", self.job.path).wait() == 0
        kept = Counter(self.job.on_disk())
        kept.subtract(self.model.kept())
        assert all(count in (0, 1) for count in kept.values()), kept
        new = {id_ for id_, count in kept.items() if count}
        asked = set(self.server.times_asked())
        assert new <= set(works)
        assert asked <= self.bought(works)
        assert len(asked - {known_by(works[id_][0]) for id_ in new}) <= CONCURRENCY
        done = {id_: works[id_] for id_ in new}
        candidates = []
        for model in (self.model, before):
            self.model = model
            self.keep(done, self.moods)
            candidates.append(model)
        shown = self.shown()
        fitting = [model for model in candidates if views(model) == shown]
        assert fitting, shown
        self.model = fitting[0]

    def asked_after(self, kept: bool) -> tuple[Question, ...]:
        """What answered rows were asked, for the guard of later runs, once this night has ended."""
        if not kept:
            return (self.asks,)
        return (*(one for one in self.questions if one != self.asks), self.asks) if self.questions else ()

    def told(self) -> tuple[Question, ...]:
        previous = read_last_run(self.job.output)
        return tuple((one["provider.model"], one["prompt.text"]) for one in previous.questions) if previous else ()

    @rule(
        moods=moods,
        where=st.sampled_from([None, "true", "fault = 'suspect'", "fault = 'rejected' and id < 'c'"]),
        model=st.sampled_from([None, None, "m9"]),
    )
    def reprocess(self, moods: dict[str, str], where: str | None, model: str | None) -> None:
        wanted = {
            None: lambda id_, fault: fault in REPROCESSED,
            "true": lambda id_, fault: True,
            "fault = 'suspect'": lambda id_, fault: fault == "suspect",
            "fault = 'rejected' and id < 'c'": lambda id_, fault: fault == "rejected" and id_ < "c",
        }[where]
        works = {}
        for id_, failure in self.model.open().items():
            done = id_ in self.rows and self.model.of(id_).state(self.question(id_, self.rows[id_])) == "done"
            if wanted(id_, failure.fault) and not done:
                topic = self.rows.get(id_, failure.topic)
                own = self.question(id_, topic, model)
                base = self.question(id_, topic)
                works[id_] = (own, base if base != own else None, topic)
        options = (["--where", where] if where else []) + (["--set", f"provider.model={model}"] if model else [])
        child = self.command(moods, "reprocess", *options)
        assert child.wait() in (0, 1), child.err
        assert self.server.times_asked() == dict.fromkeys(self.bought(works), 1), child.err
        self.keep(works, moods)

    @rule(where=st.sampled_from(sorted(WHERE)), undo=st.booleans())
    def dismiss(self, where: str, undo: bool) -> None:
        view = History.dismissal if undo else History.open
        chosen = {id_: view(history) for id_, history in self.model.histories.items()}
        closed = {id_: one for id_, one in chosen.items() if one is not None and WHERE[where](id_, one.fault)}
        options = ["--undo"] if undo else ["--reason", "no use"]
        child = self.command({}, "dismiss", "--where", where, *options)
        assert child.wait() == 0, child.err
        assert child.last.startswith(f"{len(closed)} failure"), child.err
        for id_, one in closed.items():
            dismissed = self.model.of(id_).dismissed
            dismissed.symmetric_difference_update({one.asked})

    @rule()
    def accept(self) -> None:
        child = self.command({}, "accept")
        assert child.wait() == 0, child.err
        assert child.last == f"{self.model.accept()} answers accepted"

    @rule(drop=st.booleans())
    def compact(self, drop: bool) -> None:
        child = self.command({}, "compact", *(["--drop-superseded"] if drop else []))
        assert child.wait() == 0, child.err
        if drop:
            for history in self.model.histories.values():
                history.drop_superseded()

    def command(self, moods: dict[str, str], name: str, *options: str, rules: Any = ()) -> Child:
        self.server.forget()
        self.moods = moods
        self.server.script = lambda asked, n: MOODS[moods[asked.id]] if asked.id in moods else PLAIN
        quiet = ["--quiet"] if name in ("run", "reprocess") else []
        child = self.child_processes.run(
            name, self.job.path, *quiet, *options, output=self.job.output, rules=list(rules)
        )
        assert "Traceback" not in child.err, child.err
        self.server.wait_idle()
        return child

    def keep(self, works: dict[str, Any], moods: dict[str, str]) -> None:
        """What was sent ends as the server told it, and what asks the same alike."""
        answered = self.model.answered()
        for id_, (own, stands_for, topic) in works.items():
            fault = None if own in answered else moods.get(known_by(own))
            text = answer_to(*own) if fault in (None, "suspect") else None
            self.model.of(id_).outcomes.append(Outcome(self.model.next(), own, topic, stands_for, fault, text))

    def shown(self) -> tuple[set[Any], set[Any], set[Any]]:
        with self.job.job().connect() as views:
            results = views.sql("select id, answer, stale from results").fetchall()
            failures = views.sql("select id, fault from failures").fetchall()
            dismissed = views.sql("select id, fault from dismissed").fetchall()
            bought = views.sql("select fingerprint from versions where shared_with is null").fetchall()
        assert len(results) == len({row[0] for row in results})
        assert len(failures) == len({row[0] for row in failures})
        assert len(dismissed) == len({row[0] for row in dismissed})
        assert len(bought) == len(set(bought))
        return set(results), set(failures), set(dismissed)

    @invariant()
    def the_views_equal_the_model(self) -> None:
        assert self.shown() == views(self.model)
        assert Counter(self.job.on_disk()) == self.model.kept()


def test_the_views_equal_a_simple_model_after_every_step(tmp_path: Path) -> None:
    many = "PIPELINE_CRASH_ROUNDS" in os.environ
    with ChildProcesses(tmp_path) as child_processes, CountingServer() as server:
        Nights.child_processes, Nights.server = child_processes, server
        run_state_machine_as_test(
            Nights,
            settings=settings(
                max_examples=rounds(8),
                stateful_step_count=8,
                deadline=None,
                derandomize=not many,
                phases=(Phase.generate,),  # to shrink a failure takes many minutes of commands
                print_blob=True,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
