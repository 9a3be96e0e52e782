"""A row in a run, and the next question of a row with several questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pipeline.media.documents import Document
from pipeline.store.records import TurnRecord
from pipeline.types import Attempt, Loaded, Reply, Request, Row, Text, Turn, Usage


class WorkItem(msgspec.Struct, kw_only=True):
    """A row in a run, with the facts that the run has found about the row.

    `fingerprint`: known early for a row without local files, else after the files are read. `stat_key`: see
    fingerprinter.py. `manifest_fingerprint`: the manifest row's own fingerprint, if a reprocess asks with other
    settings than the job file's. `request`: the request that was encoded, without bytes; None until a request is
    encoded. `loaded`: the request's media in order, without bytes. `leads`: other rows may wait for this row's outcome.
    `expected`: the row is not claimed yet (both: see sharing.py). `turns`: the questions of a conversation that were
    answered so far, in this run or an earlier run. `document`: a file of several pages, if each page is asked by
    itself; then `turns` are the pages.
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
    """Returns the request for the question after `answers`: the turns so far, with each answer and its follow-up."""
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
    """Returns the answer unchanged from the service, for the history of the next question."""
    raw = reply.extra.get("raw_text")
    return raw if isinstance(raw, str) else reply.text or ""


def combined(turns: Sequence[TurnRecord], last: Attempt, reply: Reply) -> tuple[Attempt, dict[str, Any]]:
    """Combines the answering attempts of a conversation into one attempt. Also returns the conversation's `extra`.

    Tokens and cost are sums over the questions; a sum with an unknown part is unknown. The latency is a sum too; if a
    part is unknown, the last latency stands for it. In `extra`, `answers` has every answer in order, and `turns` has
    the `extra` of each earlier reply.
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
