"""Looks at the rows of a plan, without decoding a picture: what they would be refused for, hold and cost. Blocking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.errors import Fault
from pipeline.manifest import Manifest
from pipeline.providers.body import all_media
from pipeline.providers.checks import warnings
from pipeline.providers.cost import expected
from pipeline.providers.parameter_bounds import most_output
from pipeline.providers.tokens import media_tokens
from pipeline.run.context import JobContext
from pipeline.run.counting import Counting
from pipeline.run.estimate_sharing import Figures, Looked, looked
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.row_preview import asked_for, questions
from pipeline.run.select import Chosen, ManifestScan, selected
from pipeline.types import Loaded, Request, Row

LOOKED_AT = 2_000
"""Rows that the forecast looks at. Opening a picture's header takes a millisecond or two, more in a network folder."""


class Look:
    """The rows that were looked at, and their sums.

    asked: how many of these rows would be sent. figures: the sums over the rows that would be sent. shared, unforeseen:
    see `estimate_sharing.Equal`. unsized: rows with a picture of unknown size. requests: of the rows that would be
    sent, if `keep`.
    """

    def __init__(self, context: JobContext, counting: Counting, output: float | None, *, keep: bool = False) -> None:
        """output: the expected length of a row's answers together, in tokens; None = not known."""
        self._context = context
        self._counting = counting
        self._output = output or 0.0
        self._keep = keep
        self.rows: list[Looked] = []
        self.requests: list[Request] = []
        self.refused: dict[str, list[str]] = {}
        self.counted: Counter[str] = Counter()
        self.notes: dict[str, None] = {}
        self.asked = self.shared = self.unforeseen = self.unsized = 0
        self.figures = Figures()

    @property
    def looked_at(self) -> int:
        return len(self.rows) + sum(self.counted.values())

    def look(self, manifest: Manifest, scan: ManifestScan, fingerprinter: Fingerprinter) -> None:
        """Looks at up to LOOKED_AT of the rows to send, spread evenly."""
        for work in selected(manifest, scan, fingerprinter, Chosen(sample=LOOKED_AT)):
            try:
                request = asked_for(work.row, self._context, manifest.root)
                figures = self.figures_of(request)
            except Fault as fault:
                self._refuse(work.row, fault)
                continue
            found = looked(work.row, work.fingerprint, fingerprinter, figures)
            found.request = request if self._keep else None
            self.rows.append(found)
            self.unsized += any(_is_unsized(media) for media in all_media(request))
            for note in warnings(request, self._context.model):
                self.notes.setdefault(note)

    def _refuse(self, row: Row, fault: Fault) -> None:
        self.counted[fault.code] += 1
        self.refused.setdefault(fault.code, [fault.message, row.id])

    def figures_of(self, request: Request) -> Figures:
        """Returns the figures of a row's request with all its questions. Raises Fault if the request would be
        refused."""
        model, most = self._context.model, 0 if request.embeds else most_output(request.parameters, self._context.model)
        number = max(1 + len(request.follow_ups), len(request.pages))
        output = self._output / number if most is None else min(self._output / number, most)
        found = Figures()
        for question in questions(request, most or 0):
            found.add(Figures(worst=self._context.worst_cost(question)))
        for asked, question in enumerate(questions(request, 0)):
            counted = self._counting.count(question, number)
            if not request.pages:  # the answers so far go back with a question
                counted = counted._replace(words=counted.words + round(asked * output))
            found.add(
                Figures(
                    requests=1,
                    input_tokens=counted.total,
                    media_tokens=media_tokens(question, model),
                    cost=expected(question, model, output, counted),
                    silent=expected(question, model, 0, counted),
                    longest=None if most is None else expected(question, model, most, counted),
                    output_most=most,
                )
            )
        return found

    def sum_up(self, asked: Sequence[Looked]) -> None:
        """Adds the figures of the rows that would be sent."""
        self.asked = len(asked)
        self.requests = [row.request for row in asked if row.request is not None]
        for row in asked:
            self.figures.add(row.figures)


def _is_unsized(media: object) -> bool:
    return isinstance(media, Loaded) and media.kind == "image" and not (media.width and media.height)
