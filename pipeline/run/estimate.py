"""Computes the forecast of a run: surveys the manifest and looks at rows, without decoding a picture. Blocking."""

from __future__ import annotations

import datetime
import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from pipeline.errors import Fault
from pipeline.job.load import LoadedJob
from pipeline.manifest import Manifest
from pipeline.providers.checks import warnings
from pipeline.providers.cost import expected
from pipeline.providers.model import Model
from pipeline.providers.parameter_bounds import most_output
from pipeline.providers.tokens import estimate, media_tokens
from pipeline.report import price_lines
from pipeline.report.estimate_lines import Estimate
from pipeline.report.summary import FailureGroup
from pipeline.run.change_guard import foreseen
from pipeline.run.context import JobContext
from pipeline.run.estimate_sharing import Figures, Looked, answered_before, equal, looked
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.make_context import check_columns, column_notes, job_context, notes
from pipeline.run.output import connect
from pipeline.run.owner import refuse_another
from pipeline.run.row_preview import asked_for, questions
from pipeline.run.select import Chosen, ManifestScan, ManifestScanner, manifest_of, selected
from pipeline.store import read
from pipeline.tasks import facts
from pipeline.types import Request, Row

LOOKED_AT = 2_000
"""Rows that the forecast looks at. Opening a picture's header takes a millisecond or two, more in a network folder."""
CHARACTERS_A_TOKEN = 4
"""Characters for each token of an answer that goes back with the next question. The token estimate counts ASCII text
the same way."""


class _Look:
    """The rows that were looked at, and their sums. `asked`: how many of these rows would be sent. `figures`: the sums
    over the rows that would be sent. `shared`, `unforeseen`: see `estimate_sharing.Equal`."""

    def __init__(self, model: Model, output: float | None) -> None:
        """output: the expected length of a row's answers together, in tokens; None = not known."""
        self._model = model
        self._output = output or 0.0
        self.rows: list[Looked] = []
        self.refused: dict[str, list[str]] = {}
        self.counted: Counter[str] = Counter()
        self.notes: dict[str, None] = {}
        self.asked = self.shared = self.unforeseen = 0
        self.figures = Figures()

    @property
    def looked_at(self) -> int:
        return len(self.rows) + sum(self.counted.values())

    def refuse(self, row: Row, fault: Fault) -> None:
        self.counted[fault.code] += 1
        self.refused.setdefault(fault.code, [fault.message, row.id])

    def figures_of(self, request: Request, context: JobContext) -> Figures:
        """Returns the figures of a row's request with all its questions. Raises Fault if the request would be
        refused."""
        model, most = self._model, most_output(request.parameters, self._model)
        output = self._output / max(1 + len(request.follow_ups), len(request.pages))
        output = output if most is None else min(output, most)
        found = Figures()
        for question in questions(request, most or 0):
            found.add(Figures(worst=context.worst_cost(question)))
        for question in questions(request, round(output) * CHARACTERS_A_TOKEN):
            tokens, media = estimate(question, model, upper=False), media_tokens(question, model)
            cost = expected(question, model, output)
            found.add(Figures(requests=1, input_tokens=tokens, media_tokens=media, cost=cost))
        for note in warnings(request, model):
            self.notes.setdefault(note)
        return found

    def sum_up(self, asked: Sequence[Looked]) -> None:
        """Adds the figures of the rows that would be sent."""
        self.asked = len(asked)
        for row in asked:
            self.figures.add(row.figures)


def make_estimate(spec: LoadedJob, rows: Any = None) -> Estimate:
    """Returns the forecast of a run. Sends nothing and needs no key. rows: stand in for the job's manifest, as for a
    run. Raises JobError, ManifestError."""
    context = job_context(spec, keyless=True)
    refuse_another(spec, handed=rows is not None)
    manifest = manifest_of(spec, rows)
    check_columns(context, manifest.schema_columns)
    fingerprinter = Fingerprinter(spec.job, offline=spec.offline)
    once = spec.job.dedupe.equal
    scan = ManifestScanner(manifest, fingerprinter, spec.output, spec.job.task).scan(
        lambda marks: None, functools.partial(foreseen, context), count_equal=once
    )
    output = None if facts(spec.job.task).embeds else _mean_output(spec)
    look = _look(context, manifest, scan, fingerprinter, output)
    if once:
        with answered_before(spec) as before:
            found = equal(look.rows, fingerprinter, manifest.root, before)
        look.shared, look.unforeseen = found.shared, found.unforeseen
        look.sum_up(found.asked)
    else:
        look.sum_up(look.rows)
    for note in column_notes(spec, manifest.schema_columns):
        look.notes.setdefault(note)
    drawn = _drawn_up(context, scan, look, output)
    return msgspec.structs.replace(drawn, passed_over=manifest.passed_over())


def _look(
    context: JobContext, manifest: Manifest, scan: ManifestScan, fingerprinter: Fingerprinter, output: float | None
) -> _Look:
    """Looks at up to LOOKED_AT of the rows to send, spread evenly.

    output: the expected length of a row's answers together, in tokens; None = not known.
    """
    look = _Look(context.model, output)
    for work in selected(manifest, scan, fingerprinter, Chosen(sample=LOOKED_AT)):
        try:
            figures = look.figures_of(asked_for(work.row, context, manifest.root), context)
        except Fault as fault:
            look.refuse(work.row, fault)
        else:
            look.rows.append(looked(work.row, work.fingerprint, fingerprinter, figures))
    return look


def _drawn_up(context: JobContext, scan: ManifestScan, look: _Look, output: float | None) -> Estimate:
    spec, counts, model = context.spec, scan.counts, context.model
    send = scan.ordinals()
    scale = send / look.looked_at if look.looked_at else 0.0
    shared = look.shared if look.looked_at == send else scan.equal + round(look.unforeseen * scale)
    sendable = max(0, round(send - sum(look.counted.values()) * scale) - shared)
    # The figures are sums over the rows looked at that would be sent. They are scaled to all rows that would be sent.
    found, share = look.figures, sendable / look.asked if look.asked else 0.0
    output_tokens = None if output is None else round(output * sendable)
    input_tokens = _scaled(found.input_tokens, share)
    price = None if spec.offline else model.price
    seconds, limit = _time(context, round(found.requests * share), (input_tokens or 0) + (output_tokens or 0))
    refused = tuple(
        FailureGroup(fault="rejected", code=code, rows=round(number * scale), message=words, id=id_)
        for code, number in look.counted.most_common()
        for words, id_ in [look.refused[code]]
    )
    return Estimate(
        job=spec.name,
        command=spec.command,
        output=str(spec.output),
        rows=counts.rows,
        done=counts.done,
        new=counts.new,
        changed=counts.changed,
        retry=counts.retry,
        failed=counts.failed,
        dismissed=counts.dismissed,
        repeated=counts.repeat,
        vanished=counts.vanished,
        send=send,
        shared=shared,
        looked_at=look.looked_at,
        refused=refused,
        media_tokens=_scaled(found.media_tokens, share),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=None if price is None or found.cost is None else found.cost * share,
        worst_cost=None if price is None or found.worst is None else found.worst * share,
        currency=None if price is None else price.currency,
        price=None if price is None else price_lines.price_line(price),
        seconds=seconds,
        limit=limit,
        notes=(*notes(spec), *look.notes, *_about_the_price(context)),
    )


def _about_the_price(context: JobContext) -> list[str]:
    price = None if context.spec.offline else context.model.price
    note = None if price is None else price_lines.aged(price, context.model.name, datetime.date.today())
    return [] if note is None else [note]


def _mean_output(spec: LoadedJob) -> float | None:
    """Returns the average output tokens of the answers so far, None without answers."""
    sql = "select avg(output_tokens) from versions where output_tokens is not null"
    return read.query(connect(spec), sql).fetchall()[0][0]  # type: ignore[no-any-return]  # a number or null


def _time(context: JobContext, requests: int, tokens: int) -> tuple[float | None, str | None]:
    """Returns the seconds that a run takes at least, and the limit that decides: requests or tokens a minute.

    The job's limits go before the published limits. (None, None): offline, or no limit is known.
    """
    if context.spec.offline:
        return None, None
    limits = context.spec.job.limits
    rpm, tpm = limits.rpm or context.model.rpm, limits.tpm or context.model.tpm
    found = [(requests / rpm * 60, f"{rpm:g} requests a minute")] if rpm else []
    found += [(tokens / tpm * 60, f"{tpm:g} tokens a minute")] if tpm else []
    return max(found) if found else (None, None)


def _scaled(value: int | None, scale: float) -> int | None:
    return None if value is None else round(value * scale)
