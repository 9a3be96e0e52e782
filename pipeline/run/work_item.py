"""One row on its way through a run, and the next question of a row with several questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pipeline.media.documents import Document
from pipeline.store.records import TurnRecord
from pipeline.types import Attempt, Loaded, Reply, Request, Row, Text, Turn, Usage


class WorkItem(msgspec.Struct, kw_only=True):
    """`fingerprint` is known early for rows without local files, else once they are read. `stat_key`: see
    fingerprinter.py.

    `manifest_fingerprint`: the manifest row's own fingerprint, where a reprocess asks with other settings than the job
    file's. `request` is what was encoded, less the bytes; None while nothing is asked. `loaded`: its media, in order,
    likewise. `leads`: other rows may wait for its outcome; `expected`: it is not claimed yet (both: see sharing.py).
    `turns`: of a conversation, the questions that were answered so far, in this run or an earlier one. `document`: the
    row's file of several pages, of which each is asked by itself; its `turns` are pages.
    """

    row: Row
    fingerprint: str | None = None
    stat_key: str | None = None
    manifest_fingerprint: str | None = None
    request: Request | None = None
    loaded: tuple[Loaded, ...] = ()
    turns: tuple[TurnRecord, ...] = ()
    document: Document | None = None
    leads: bool = False
    expected: bool = False


N = TypeVar("N", int, float)


def continued(request: Request, answers: Sequence[str]) -> Request:
    """The request for the question behind `answers`: the turns so far, each follow-up behind the answer before it."""
    if not answers:
        return request
    turns = list(request.turns)
    for answer, question in zip(answers, request.follow_ups, strict=False):
        turns.append(Turn(role="assistant", parts=(Text(answer),)))
        turns.append(Turn(role="user", parts=(Text(question),)))
    return msgspec.structs.replace(request, turns=tuple(turns), follow_ups=request.follow_ups[len(answers) :])


def in_form(request: Request) -> Request:
    """The request with its `response_format` among the parameters, where no question follows."""
    if request.response_format is None or request.follow_ups:
        return request
    parameters = {**request.parameters, "response_format": request.response_format}
    return msgspec.structs.replace(request, parameters=parameters)


def spoken(reply: Reply) -> str:
    """The answer as the service gave it, for the history of the next question."""
    raw = reply.extra.get("raw_text")
    return raw if isinstance(raw, str) else reply.text or ""


def combined(turns: Sequence[TurnRecord], last: Attempt, reply: Reply) -> tuple[Attempt, dict[str, Any]]:
    """The answering attempts of a conversation as one, and what `extra` says of it.

    Tokens, cost and latency are sums over the questions; a sum with an unknown part is unknown. `answers` in `extra`
    holds every answer in order, `turns` what else each reply carried.
    """
    usage = Usage(
        input_tokens=_sum(last.usage.input_tokens, [turn.input_tokens for turn in turns]),
        output_tokens=_sum(last.usage.output_tokens, [turn.output_tokens for turn in turns]),
        media_tokens=_sum(last.usage.media_tokens, [turn.media_tokens for turn in turns]),
        cached_tokens=last.usage.cached_tokens,
        input_units=last.usage.input_units,
    )
    latency = _sum(last.latency_ms, [turn.latency_ms for turn in turns])
    attempt = msgspec.structs.replace(
        last,
        usage=usage,
        latency_ms=last.latency_ms if latency is None else latency,
        cost=_sum(last.cost, [turn.cost for turn in turns]),
    )
    extra: dict[str, Any] = {"answers": [*(turn.answer for turn in turns), spoken(reply)]}
    carried: list[Mapping[str, Any]] = [turn.extra for turn in turns]
    if any(carried):
        extra["turns"] = carried
    return attempt, extra


def _sum(last: N | None, before: Sequence[N | None]) -> N | None:
    if last is None or any(value is None for value in before):
        return None
    return last + sum(value for value in before if value is not None)
