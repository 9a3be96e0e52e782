"""Turns the end of a call into the records that the store keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from pipeline.manifest.replayable import replayable_row
from pipeline.manifest.row_media import row_media
from pipeline.media.redact import public, redacted
from pipeline.run.context import JobContext
from pipeline.run.work_item import WorkItem, combined, spoken
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, TurnRecord
from pipeline.tasks.answer import Misfit
from pipeline.types import Answered, Attempt, Block, Failed, Loaded, Reply, Usage

REALTIME = "realtime"
"""The tier of a call that waits for its answer. There is no other tier."""

BOUGHT = ("latency_ms", "input_tokens", "output_tokens", "media_tokens", "cost", "currency")
"""The fields of an outcome that describe its call. They are unknown for a row that shares the outcome, so that sums
count the call once."""
COUNTS = ("input_units", "cached_tokens")
"""The keys of `extra` that describe the call."""

MAX_MESSAGE = 2_000
"""The most characters that are kept of a service's message. Some services answer with a whole page."""


class RecordBuilder:
    """Builds the records of one run. `root`: the manifest's folder. `now`: returns µs since the epoch, UTC."""

    def __init__(self, context: JobContext, run_id: str, root: str, now: Callable[[], int]) -> None:
        self._spec = context.spec
        self._task = context.task
        self._answer = context.answer
        self._run_id = run_id
        self._root = root
        self._now = now
        self._provider = context.provider_name

    def answer(self, work: WorkItem, ending: Answered) -> AnswerRecord:
        """Returns the record of a row that was answered."""
        common = self._common(work, ending.attempts, ending.reply)
        return AnswerRecord(**common, own=self._own(work, ending.reply))

    def turn(self, work: WorkItem, reply: Reply, attempt: Attempt) -> TurnRecord:
        """Returns the record of a question that was answered and is not the row's last question."""
        usage = attempt.usage
        return TurnRecord(
            id=work.row.id,
            fingerprint=work.fingerprint or "",
            run_id=self._run_id,
            turn=len(work.turns) + 1,
            answer=spoken(reply),
            finished_at=self._now(),
            latency_ms=attempt.latency_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            media_tokens=usage.media_tokens,
            cost=attempt.cost,
            currency=attempt.currency,
            request_id=reply.request_id or attempt.request_id,
            finish_reason=reply.finish_reason,
            extra=_extra((), usage, reply) | self._page(work, reply),
        )

    def _page(self, work: WorkItem, reply: Reply) -> dict[str, Any]:
        """Returns the text and blocks of a page, kept until all pages of the document are read. Empty for a row that is
        no document."""
        if work.document is None or work.request is None:
            return {}
        own = self._task.columns(reply, work.request)
        return {"page": page_of(own, work.loaded, len(work.turns) + 1)}

    def failure(self, work: WorkItem, ending: Failed) -> FailureRecord:
        """Returns the record of a row whose call ended in a fault. The record of a suspect also keeps the reply."""
        fault = ending.fault
        # A reply in the middle of a conversation is not the row's answer, so a person cannot accept the reply.
        ended = work.request is None or not (work.request.follow_ups or _has_more_pages(work))
        kept = fault.reply if fault.kind == "suspect" and ended else None
        return FailureRecord(
            **self._common(work, ending.attempts, fault.reply),
            fault=fault.kind,
            code=fault.code,
            message=fault.message[:MAX_MESSAGE],
            http_status=fault.http_status,
            row=replayable_row(work.row, self._spec.job, self._root),
            answer=None if kept is None else self._own(work, kept),
        )

    def shared(self, work: WorkItem, outcome: AnswerRecord | FailureRecord) -> AnswerRecord | FailureRecord:
        """Returns the outcome of another row's call as this row's own: the whole answer or fault, without tokens, cost
        and latency.

        The row keeps its own id, columns, sources, stat key and time. If the row's media were not loaded, `sent` in
        `extra` describes the pictures of the row that was sent.
        """
        changes: dict[str, Any] = {
            **dict.fromkeys(BOUGHT),
            "id": work.row.id,
            "stamp": work.stat_key,
            "manifest_fingerprint": work.manifest_fingerprint,
            "run_id": self._run_id,
            "attempt_count": 0,
            "finished_at": self._now(),
            "shared_with": outcome.shared_with or outcome.id,
            "source": _source(work),
            "extra": _shared_extra(outcome.extra, work.loaded),
            "columns": redacted(dict(work.row.columns)),
        }
        if isinstance(outcome, FailureRecord):
            changes["row"] = replayable_row(work.row, self._spec.job, self._root)
        return msgspec.structs.replace(outcome, **changes)

    def attempt(self, work: WorkItem, attempt: Attempt) -> AttemptRecord:
        """Returns the record of one attempt."""
        return AttemptRecord(
            id=work.row.id,
            fingerprint=work.fingerprint or "",
            run_id=self._run_id,
            attempt=attempt.attempt,
            started_at=attempt.started_at,
            latency_ms=attempt.latency_ms,
            http_status=attempt.http_status,
            fault=attempt.fault,
            code=attempt.code,
            request_id=attempt.request_id,
            input_tokens=attempt.usage.input_tokens,
            output_tokens=attempt.usage.output_tokens,
            cost=attempt.cost,
            currency=attempt.currency,
        )

    def _common(self, work: WorkItem, attempts: tuple[Attempt, ...], reply: Reply | None) -> dict[str, Any]:
        last = attempts[-1] if attempts else None
        conversation: dict[str, Any] = {}
        if work.turns and last is not None and reply is not None:
            last, conversation = combined(work.turns, last, reply)
        if work.document is not None:
            conversation = {"pages": work.document.pages}
        usage = last.usage if last else Usage()
        row = work.row
        return {
            "id": row.id,
            "provider": self._provider,
            "model": self._spec.job.provider.model,
            "fingerprint": work.fingerprint or "",
            "stamp": work.stat_key,
            "manifest_fingerprint": work.manifest_fingerprint,
            "run_id": self._run_id,
            "attempt_count": len(attempts),
            "finished_at": self._now(),
            "latency_ms": last.latency_ms if last else None,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "media_tokens": usage.media_tokens,
            "cost": last.cost if last else None,
            "currency": last.currency if last else None,
            "tier": REALTIME if last else None,
            "request_id": (reply.request_id if reply else None) or (last.request_id if last else None),
            "finish_reason": reply.finish_reason if reply else None,
            "source": _source(work),
            "extra": _extra(work.loaded if work.document is None else (), usage, reply) | conversation,
            "columns": redacted(dict(row.columns)),
        }

    def _own(self, work: WorkItem, reply: Reply) -> Mapping[str, Any]:
        if work.request is None:
            raise TypeError("a reply belongs to a request")
        own = self._task.columns(reply, work.request)
        if work.document is not None:
            last = page_of(own, work.loaded, len(work.turns) + 1)
            return combined_document([*(turn.extra.get("page") or {} for turn in work.turns), last])
        blocks = own.get("blocks")
        if blocks is not None:
            own["blocks"] = _blocks(blocks, work.loaded)
        return own | self._typed(reply)

    def _typed(self, reply: Reply) -> dict[str, Any]:
        """The columns of `[answer]`; none of a reply that does not fit."""
        if self._answer is None:
            return {}
        try:
            return self._answer(reply.text or "")
        except Misfit:
            return {}


def _has_more_pages(work: WorkItem) -> bool:
    return work.document is not None and len(work.turns) + 1 < work.document.pages


def _source(work: WorkItem) -> tuple[str, ...]:
    if work.document is not None:
        return (work.document.name,)
    if work.loaded:
        return tuple(media.source for media in work.loaded)
    return tuple(map(public, row_media(work.row)))


def _extra(loaded: tuple[Loaded, ...], usage: Usage, reply: Reply | None) -> dict[str, Any]:
    extra: dict[str, Any] = dict(reply.extra) if reply else {}
    if reply is not None and reply.model is not None:
        extra.setdefault("model", reply.model)
    if loaded and (sent := _changed(loaded)):
        extra["sent"] = sent
    if usage.input_units is not None:
        extra["input_units"] = usage.input_units
    if usage.cached_tokens:
        extra["cached_tokens"] = usage.cached_tokens
    return extra


def _changed(loaded: tuple[Loaded, ...]) -> list[dict[str, Any]]:
    return [
        {"source": media.source, "changed": media.changed, "width": media.width, "height": media.height}
        for media in loaded
        if media.changed
    ]


def _shared_extra(extra: Mapping[str, Any], loaded: tuple[Loaded, ...]) -> dict[str, Any]:
    """Returns a reply's `extra` without the counts of the paid call. If this row's media were loaded, `sent` describes
    this row's media."""
    found = {name: value for name, value in extra.items() if name not in COUNTS}
    if isinstance(found.get("turns"), list):
        found["turns"] = [
            {name: value for name, value in turn.items() if name not in COUNTS} for turn in found["turns"]
        ]
    if loaded:
        found.pop("sent", None)
        if sent := _changed(loaded):
            found["sent"] = sent
    return found


def _blocks(blocks: tuple[Block, ...], loaded: tuple[Loaded, ...]) -> list[dict[str, Any]]:
    """Returns the blocks with polygons in pixels of the original picture.

    Polygons stay unchanged for a request with several pictures: it is not known to which picture they belong.
    """
    from pipeline.media.load import original_coordinates

    image = loaded[0] if len(loaded) == 1 else None
    return [
        {
            "text": block.text,
            "score": block.score,
            "polygon": block.polygon
            if block.polygon is None or image is None
            else original_coordinates(image, block.polygon),
            "page": block.page,
        }
        for block in blocks
    ]


def page_of(own: Mapping[str, Any], loaded: tuple[Loaded, ...], number: int) -> dict[str, Any]:
    """Returns the `text` and the `blocks` of a page. Without blocks from the service, one block has all the text."""
    text, blocks = own["ocr_text"], own["blocks"]
    found = (Block(text=text),) if blocks is None and text else blocks or ()
    return {"text": text, "blocks": [{**block, "page": number} for block in _blocks(found, loaded)]}


def combined_document(pages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the columns of a document: the texts of its pages one under the other, and the blocks of all pages."""
    texts = [page["text"] for page in pages if page.get("text")]
    return {"ocr_text": "\n\n".join(texts), "blocks": [block for page in pages for block in page.get("blocks", ())]}
