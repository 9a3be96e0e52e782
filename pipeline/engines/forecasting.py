"""Computes a forecast: the survey of a run, and a look at its rows without loading a picture. Blocking."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TypeVar

import msgspec

from pipeline.engines.guard import foreseen
from pipeline.engines.identity import Identity
from pipeline.engines.media import media_of, replaced
from pipeline.engines.notes import notes
from pipeline.engines.reading import connect
from pipeline.engines.setup import Setup, check_columns, setup
from pipeline.engines.survey import Survey, Surveyor, selected
from pipeline.errors import Fault
from pipeline.job.load import Spec
from pipeline.manifest import Manifest, open_manifest
from pipeline.manifest.preview import preview
from pipeline.manifest.refs import public
from pipeline.manifest.row_media import listed
from pipeline.providers.checks import warnings
from pipeline.providers.cost import cost, worst_case
from pipeline.providers.tokens import estimate
from pipeline.report.forecast import Forecast
from pipeline.report.summary import FailureGroup
from pipeline.store import read
from pipeline.store.input_rules import input_rules
from pipeline.types import Loaded, Media, Request, Row, Text, Usage

N = TypeVar("N", int, float)

LOOKED_AT = 2_000
"""Rows looked at: opening a picture's header takes a millisecond or two, more on a folder across a network."""


class _Look:
    """What the rows looked at come to."""

    def __init__(self) -> None:
        self.rows = 0
        self.refused: dict[str, list[str]] = {}
        self.counted: Counter[str] = Counter()
        self.input_tokens: int | None = 0
        self.media_tokens: int | None = 0
        self.worst: float | None = 0.0
        self.notes: dict[str, None] = {}

    def refuse(self, row: Row, fault: Fault) -> None:
        self.counted[fault.code] += 1
        self.refused.setdefault(fault.code, [fault.message, row.id])


def forecast(spec: Spec) -> Forecast:
    """Sends nothing and needs no key. Raises JobError, ManifestError."""
    prepared = setup(spec, keyless=True)
    manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task))
    check_columns(prepared, manifest.schema_columns)
    identity = Identity(spec.job, offline=spec.offline)
    survey = Surveyor(manifest, identity, spec.output, spec.job.task).survey(
        lambda marks: None, functools.partial(foreseen, prepared)
    )
    look = _look(prepared, manifest, survey, identity)
    return _drawn_up(prepared, survey, look)


def _look(prepared: Setup, manifest: Manifest, survey: Survey, identity: Identity) -> _Look:
    look = _Look()
    for work in selected(manifest, survey, identity, None, LOOKED_AT):
        look.rows += 1
        try:
            request = _request(prepared, manifest, work.row)
        except Fault as fault:
            look.refuse(work.row, fault)
            continue
        for note in warnings(request, prepared.model):
            look.notes.setdefault(note)
        counted = estimate(request, prepared.model, upper=False)
        words = estimate(_without_media(request), prepared.model, upper=False)
        look.input_tokens = _plus(look.input_tokens, counted)
        look.media_tokens = _plus(look.media_tokens, None if counted is None or words is None else counted - words)
        look.worst = _plus(look.worst, worst_case(request, prepared.model))
    return look


def _request(prepared: Setup, manifest: Manifest, row: Row) -> Request:
    """The request with sizes from the pictures' headers. Raises Fault for what would be refused."""
    if row.problem is not None:
        raise Fault("rejected", f"Local.{row.problem.code.removeprefix('Local.')}", row.problem.message)
    job = prepared.spec.job
    request = prepared.ask(listed(row))
    prepared.provider.check(request, prepared.model, prepared.endpoint)
    limits = prepared.media_limits(request.parameters)
    seen: dict[Media | Loaded, Loaded] = {}
    for media in media_of(request):
        if not isinstance(media, Media) or media in seen:
            continue
        size = None
        if media.kind == "image":
            size = preview(
                media, limits["image"], resize=job.media.resize, confine=manifest.root, upright=prepared.upright
            )
        width, height = size or (None, None)
        seen[media] = Loaded(kind=media.kind, source=public(media), url=media.url or "", width=width, height=height)
    return replaced(request, lambda found: seen.get(found, found))


def _without_media(request: Request) -> Request:
    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(part for part in turn.parts if isinstance(part, Text)))
        for turn in request.turns
    )
    return msgspec.structs.replace(request, turns=turns)


def _drawn_up(prepared: Setup, survey: Survey, look: _Look) -> Forecast:
    spec, counts, model = prepared.spec, survey.counts, prepared.model
    send = survey.ordinals()
    scale = send / look.rows if look.rows else 0.0
    sendable = round(send - sum(look.counted.values()) * scale)
    output = None if spec.job.task == "embed" else _mean_output(spec)
    output_tokens = None if output is None else round(output * sendable)
    input_tokens = _scaled(look.input_tokens, scale)
    price: tuple[float | None, str | None] = (None, None)
    if not spec.offline and input_tokens is not None:
        price = cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens or 0), model)
    seconds, limit = _time(prepared, sendable, (input_tokens or 0) + (output_tokens or 0))
    refused = tuple(
        FailureGroup(fault="rejected", code=code, rows=round(number * scale), message=words, id=id_)
        for code, number in look.counted.most_common()
        for words, id_ in [look.refused[code]]
    )
    return Forecast(
        job=spec.name,
        command=spec.command,
        output=str(spec.output),
        rows=counts.rows,
        done=counts.done,
        new=counts.new,
        changed=counts.changed,
        retry=counts.retry,
        failed=counts.failed,
        repeated=counts.repeat,
        vanished=counts.vanished,
        send=send,
        looked_at=look.rows,
        refused=refused,
        media_tokens=_scaled(look.media_tokens, scale),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost=price[0],
        worst_cost=None if spec.offline or look.worst is None else look.worst * scale,
        currency=model.price.currency if model.price and not spec.offline else None,
        seconds=seconds,
        limit=limit,
        notes=(*notes(spec), *look.notes),
    )


def _mean_output(spec: Spec) -> float | None:
    """Output tokens of the answers so far, on average."""
    sql = "select avg(output_tokens) from versions where output_tokens is not null"
    return read.query(connect(spec), sql).fetchall()[0][0]  # type: ignore[no-any-return]  # a number or null


def _time(prepared: Setup, rows: int, tokens: int) -> tuple[float | None, str | None]:
    """The longer of what requests and tokens take, under the job's limits or else the published ones."""
    if prepared.spec.offline:
        return None, None
    limits = prepared.spec.job.limits
    rpm, tpm = limits.rpm or prepared.model.rpm, limits.tpm or prepared.model.tpm
    found = [(rows / rpm * 60, f"{rpm:g} requests a minute")] if rpm else []
    found += [(tokens / tpm * 60, f"{tpm:g} tokens a minute")] if tpm else []
    return max(found) if found else (None, None)


def _plus(total: N | None, value: N | None) -> N | None:
    return None if total is None or value is None else total + value


def _scaled(value: int | None, scale: float) -> int | None:
    return None if value is None else round(value * scale)
