"""Computes the forecast of a run: surveys the manifest and looks at rows, without decoding a picture. Blocking."""

from __future__ import annotations

import datetime
import functools
from typing import Any

import msgspec

from pipeline.job.load import LoadedJob
from pipeline.providers.tokenizers import tokenizer
from pipeline.report import price_lines
from pipeline.report.estimate_lines import Estimate
from pipeline.report.summary import FailureGroup
from pipeline.run.change_guard import foreseen
from pipeline.run.context import JobContext
from pipeline.run.counting import Counting, counting
from pipeline.run.estimate_look import Look
from pipeline.run.estimate_sharing import Figures, answered_before, equal
from pipeline.run.estimate_similar import find_similar
from pipeline.run.estimate_sizes import sizes
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.learnt import Answers, answers_so_far, measured_of
from pipeline.run.make_context import check_columns, column_notes, job_context, notes
from pipeline.run.output import read_last_run
from pipeline.run.owner import refuse_another
from pipeline.run.select import ManifestScan, ManifestScanner, manifest_of


def make_estimate(
    spec: LoadedJob, rows: Any = None, *, with_sizes: bool = False, with_similar: bool = False
) -> Estimate:
    """Returns the forecast of a run. Sends nothing and needs no key.

    rows: stand in for the job's manifest, as for a run. with_sizes: also what smaller pictures would cost.
    with_similar: also the near-equal pictures, which are decoded. Raises JobError, ManifestError.
    """
    context = job_context(spec, keyless=True)
    refuse_another(spec, handed=rows is not None)
    manifest = manifest_of(spec, rows)
    check_columns(context, manifest.schema_columns)
    fingerprinter = Fingerprinter(spec.job, offline=spec.offline)
    once = spec.job.dedupe.equal
    scan = ManifestScanner(manifest, fingerprinter, spec.output, spec.job.task).scan(
        lambda marks: None, functools.partial(foreseen, context), count_equal=once
    )
    answers = answers_so_far(spec)
    count = _counting(context, answers)
    answers = None if context.task.FACTS.embeds else answers  # from here on, for the output alone
    look = Look(context, count, None if answers is None else answers.mean, keep=with_sizes)
    look.look(manifest, scan, fingerprinter)
    if once:
        with answered_before(spec) as before:
            found = equal(look.rows, fingerprinter, manifest.root, before)
        look.shared, look.unforeseen = found.shared, found.unforeseen
        look.sum_up(found.asked)
    else:
        look.sum_up(look.rows)
    for note in column_notes(spec, manifest.schema_columns):
        look.notes.setdefault(note)
    drawn = _drawn_up(context, scan, look, answers, count)
    return msgspec.structs.replace(
        drawn,
        passed_over=manifest.passed_over(),
        sizes=sizes(context, look, drawn) if with_sizes else None,
        similar=find_similar(manifest, scan, drawn) if with_similar else None,
    )


def _counting(context: JobContext, answers: Answers | None) -> Counting:
    spec = context.spec
    before = read_last_run(spec.output)
    measured = measured_of(context.model.name, before.measured if before else ())
    return counting(context, measured, answers, None if spec.offline else tokenizer(context.model.name))


def _drawn_up(
    context: JobContext, scan: ManifestScan, look: Look, answers: Answers | None, counting: Counting
) -> Estimate:
    spec, counts, model = context.spec, scan.counts, context.model
    send = scan.ordinals()
    scale = send / look.looked_at if look.looked_at else 0.0
    shared = look.shared if look.looked_at == send else scan.equal + round(look.unforeseen * scale)
    sendable = max(0, round(send - sum(look.counted.values()) * scale) - shared)
    # The figures are sums over the rows looked at that would be sent. They are scaled to all rows that would be sent.
    found, share = look.figures, sendable / look.asked if look.asked else 0.0
    output_tokens = None if answers is None else round(answers.mean * sendable)
    input_tokens = _scaled(found.input_tokens, share)
    price = None if spec.offline else model.price
    seconds, limit = _time(context, round(found.requests * share), (input_tokens or 0) + (output_tokens or 0))
    money: dict[str, Any] = {} if price is None else _money(look, share, answers, sendable)
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
        refused=_refused(look, scale),
        media_tokens=_scaled(found.media_tokens, share),
        input_tokens=input_tokens,
        counted_by=counting.how,
        output_tokens=output_tokens,
        output_most=_scaled(found.output_most, share),
        answers=0 if answers is None else answers.count,
        output_mean=None if answers is None else answers.mean,
        output_high=None if answers is None else answers.high,
        currency=None if price is None else price.currency,
        price=None if price is None else price_lines.price_line(price),
        seconds=seconds,
        limit=limit,
        notes=(*notes(spec), *look.notes, *_unsized(context, look), *_about_the_price(context)),
        **money,
    )


def _refused(look: Look, scale: float) -> tuple[FailureGroup, ...]:
    """Returns the rows that would be refused, by code. scale: rows to send for each row that was looked at."""
    return tuple(
        FailureGroup(fault="rejected", code=code, rows=round(number * scale), message=words, id=id_)
        for code, number in look.counted.most_common()
        for words, id_ in [look.refused[code]]
    )


def _money(look: Look, share: float, answers: Answers | None, rows: int) -> dict[str, float | None]:
    """Returns the fields of an Estimate that are amounts."""
    found = look.figures

    def whole(value: float | None) -> float | None:
        return None if value is None else value * share

    longest = None if found.longest is None or found.silent is None else found.longest - found.silent
    low, high = _range(found, None if answers is None else answers.share(rows))
    return {
        "cost": whole(found.cost),
        "cost_low": whole(low),
        "cost_high": whole(high),
        "output_most_cost": whole(longest) or None,
        "worst_cost": whole(found.worst),
    }


def _range(found: Figures, share: float | None) -> tuple[float | None, float | None]:
    """Returns the likely lowest and highest cost. share: how far the output may lie from the expected one."""
    if share is None or found.cost is None or found.silent is None:
        return None, None
    off = (found.cost - found.silent) * share
    highest = found.cost + off
    if found.worst is not None and found.worst >= found.cost:
        highest = min(highest, found.worst)
    return max(found.silent, found.cost - off), highest


def _unsized(context: JobContext, look: Look) -> list[str]:
    """Returns a note about pictures that count with the most tokens that a picture can have."""
    if not look.unsized or context.model.tokens is None:
        return []
    rows = f"{look.unsized:,} of {look.looked_at:,} rows"
    return [f"the size of pictures is not known in {rows} (URLs, frames): they count as the largest"]


def _about_the_price(context: JobContext) -> list[str]:
    price = None if context.spec.offline else context.model.price
    note = None if price is None else price_lines.aged(price, context.model.name, datetime.date.today())
    return [] if note is None else [note]


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
