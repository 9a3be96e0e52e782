"""What an output must show, by the rules alone: a few dictionaries instead of journals, parts and views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Question = tuple[str, str]
"""The model and the rendered prompt: all that makes a fingerprint in these jobs."""

GONE: Question = ("gone", "")
"""Instead of a question: the row left the manifest while its failure was open."""

RESENT = ("throttled", "transient")
REPROCESSED = ("throttled", "transient", "malformed")


@dataclass(frozen=True)
class Outcome:
    """An answer (`fault` None) or a failure. `own`: what was asked; `stands_for`: the manifest row's own question where
    that is another one. `text`: of the answer, or what was held back. `topic`: the row's, as it was sent."""

    seq: int
    own: Question
    topic: str
    stands_for: Question | None = None
    fault: str | None = None
    text: str | None = None

    @property
    def asked(self) -> Question:
        """The manifest row's own question."""
        return self.stands_for or self.own

    def counts_for(self, question: Question) -> bool:
        return question in (self.own, self.stands_for)


@dataclass(frozen=True)
class Mark:
    """What a survey found the question of a row with outcomes to be."""

    seq: int
    question: Question


@dataclass
class History:
    """All that is known of one id."""

    outcomes: list[Outcome] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    dismissed: set[Question] = field(default_factory=set)

    @property
    def answers(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.fault is None]

    @property
    def failures(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.fault is not None]

    @property
    def question(self) -> Question:
        """The current one: what the newest record says."""
        told = [(one.seq, one.asked) for one in self.outcomes] + [(mark.seq, mark.question) for mark in self.marks]
        return max(told)[1] if told else ("", "")

    def shown(self) -> tuple[Outcome, bool] | None:
        """The row of `results`, and whether it is stale."""
        if not self.answers:
            return None
        fitting = [one for one in self.answers if one.counts_for(self.question)]
        return (fitting or self.answers)[-1], not fitting

    def unanswered(self) -> Outcome | None:
        """The failure that no answer has ended."""
        shown = self.shown()
        if shown is not None and not shown[1]:
            return None
        fitting = [one for one in self.failures if one.counts_for(self.question)]
        if fitting:
            return fitting[-1]
        return self.outcomes[-1] if self.outcomes and self.outcomes[-1].fault is not None else None

    def dismissal(self) -> Outcome | None:
        """The row of `dismissed`."""
        found = self.unanswered()
        return found if found is not None and found.asked in self.dismissed else None

    def open(self) -> Outcome | None:
        """The row of `failures`."""
        return None if self.dismissal() or self.question == GONE else self.unanswered()

    def state(self, question: Question) -> str:
        """Of a manifest row that asks this: done, dismissed, resent, failed, changed or new."""
        about = [one for one in self.outcomes if one.counts_for(question)]
        if any(one.fault is None for one in about):
            return "done"
        if question in self.dismissed:
            return "dismissed"
        if about:
            return "resent" if about[-1].fault in RESENT else "failed"
        return "changed" if self.outcomes else "new"

    def has_left(self) -> bool:
        """A survey that does not find the row has to say so."""
        answered = any(one.counts_for(self.question) for one in self.answers)
        return bool(self.failures) and not answered and self.question != GONE

    def drop_superseded(self) -> None:
        """What no view shows goes, but never the newest record, since it says what the question is."""
        if not self.outcomes:
            return
        shown, open_, dismissed = self.shown(), self.open(), self.dismissal()
        newest = max([one.seq for one in self.outcomes] + [mark.seq for mark in self.marks])
        kept = {one.seq for one in (shown and shown[0], open_, dismissed) if one}
        self.outcomes = [one for one in self.outcomes if one.seq in kept or (one.fault and one.seq == newest)]
        notes = [mark.seq for mark in self.marks] + [one.seq for one in self.outcomes if one.stands_for]
        self.marks = [mark for mark in self.marks if mark.seq == max(notes)]


@dataclass
class Model:
    """One output over many nights."""

    histories: dict[str, History] = field(default_factory=dict)
    seq: int = 0

    def of(self, id_: str) -> History:
        return self.histories.setdefault(id_, History())

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def mark(self, asked: Mapping[str, Question], *, kept: bool) -> None:
        """A survey: rows with outcomes whose question is another one now (`kept`: only failed ones that have come
        back), and failed rows that have left."""
        for id_, question in asked.items():
            history = self.of(id_)
            back = history.question == GONE and history.state(question) in ("failed", "resent", "dismissed")
            if history.outcomes and history.question != question and (back or not kept):
                history.marks.append(Mark(self.next(), question))
        for id_, history in self.histories.items():
            if id_ not in asked and history.outcomes and history.has_left():
                history.marks.append(Mark(self.next(), GONE))

    def answered(self) -> set[Question]:
        """The questions that have an answer, whichever row bought it."""
        return {one.own for history in self.histories.values() for one in history.answers}

    def dismissals(self) -> set[tuple[str, str | None]]:
        found = ((id_, history.dismissal()) for id_, history in self.histories.items())
        return {(id_, one.fault) for id_, one in found if one is not None}

    def results(self) -> set[tuple[str, str | None, bool]]:
        found = ((id_, history.shown()) for id_, history in self.histories.items())
        return {(id_, shown[0].text, shown[1]) for id_, shown in found if shown is not None}

    def failures(self) -> set[tuple[str, str | None]]:
        return {(id_, one.fault) for id_, one in self.open().items()}

    def kept(self) -> dict[str, int]:
        """How many outcomes of each id are kept in all."""
        return {id_: len(history.outcomes) for id_, history in self.histories.items() if history.outcomes}

    def accept(self) -> int:
        accepted = 0
        for history in self.histories.values():
            failure = history.open()
            if failure is not None and failure.fault == "suspect":
                history.outcomes.append(
                    Outcome(self.next(), failure.own, failure.topic, failure.stands_for, text=failure.text)
                )
                accepted += 1
        return accepted

    def open(self) -> dict[str, Outcome]:
        """The open failures by id."""
        found = ((id_, history.open()) for id_, history in self.histories.items())
        return {id_: one for id_, one in found if one is not None}
