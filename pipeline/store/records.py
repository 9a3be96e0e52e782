"""The records that a run hands to the store: outcomes, attempts, turns and runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.counters import Counters

CACHED = "cache:"
"""Stands before the id in `shared_with` if the row that bought the answer belongs to another job."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The fields that answers and failures have in common. The store gives each record its `seq`.

    `finished_at`: µs since the epoch, UTC. Tokens, `cost` and `latency_ms` are those of the answering (or last)
    attempt; None means not known. `source`: media references in their public form, in order. `extra`: JSON-able.
    `columns`: the row's other columns under their own names. `tier`: how the answer was bought (`realtime`), None if
    nothing was sent.

    `shared_with`: the id of the row whose call brought this outcome, None if this row's own call brought the outcome.
    If `shared_with` is set, nothing was bought for this row: `attempt_count` is 0, and tokens, `cost`, `currency` and
    `latency_ms` are None. `tier`, `request_id`, `finish_reason` and `extra` (without its counts) then describe the call
    of the other row.

    `fingerprint` covers the settings that were really used. `manifest_fingerprint` is the fingerprint of the manifest
    row if that differs (a reprocess with changed settings). The outcome counts for both fingerprints. `stamp` stands
    for the row's content and settings as long as the row's local files keep path, size and mtime.
    """

    id: str
    provider: str
    model: str
    fingerprint: str
    run_id: str
    attempt_count: int
    finished_at: int
    latency_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    media_tokens: int | None = None
    cost: float | None = None
    currency: str | None = None
    tier: str | None = None
    shared_with: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    source: tuple[str, ...] = ()
    extra: Mapping[str, Any] = {}
    columns: Mapping[str, Any] = {}
    manifest_fingerprint: str | None = msgspec.field(default=None, name="answers")
    stamp: str | None = None


class AnswerRecord(Outcome, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A row's answer. `own`: the task's columns (`caption` | `answer` | `ocr_text`, `blocks` | `embedding`,
    `modalities`). An embedding is little-endian float32 bytes. A block has `text`, `score`, `polygon`, `page`."""

    own: Mapping[str, Any]


class FailureRecord(Outcome, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A row whose call ended in a fault. `row`: the manifest row, JSON-able, with absolute paths and public references.

    `answer`: the task's columns of an answer that a quality check held back; `accept` makes it the row's answer.
    """

    fault: str
    code: str
    message: str
    http_status: int | None = None
    row: Mapping[str, Any] = {}
    answer: Mapping[str, Any] | None = None


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One request that was sent for one row. `started_at`: µs since the epoch, UTC."""

    id: str
    fingerprint: str
    run_id: str
    attempt: int
    started_at: int
    latency_ms: int | None = None
    http_status: int | None = None
    fault: str | None = None
    code: str | None = None
    request_id: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    currency: str | None = None


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The answer to one question of a conversation. The answer to the last question is not a turn.

    `turn`: the number of the question, from 1. `finished_at`: µs since the epoch, UTC. Tokens, `cost` and `latency_ms`
    are those of the answering attempt; None means not known. `extra`: JSON-able.
    """

    id: str
    fingerprint: str
    run_id: str
    turn: int
    answer: str
    finished_at: int
    latency_ms: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    media_tokens: int | None = None
    cost: float | None = None
    currency: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None
    extra: Mapping[str, Any] = {}


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times are µs since the epoch, UTC. If a run was killed, `finished_at` stays None.

    Every line of the manifest (`rows`) is counted once: `answered` (bought), `shared` (nothing was bought), `failed`
    (the failure is open when the run ends), `done` (the row needed nothing), `repeated` (an earlier line has the same
    derived id) or `remaining`. A reprocess counts the rows that it took up. `skipped` is the older name of `done`.
    `counters`: all counters of the run by name (pipeline/counters.py), None until the run ends. If a counter has the
    name of a field (`failed`), the field's value is stored. The `spend` view joins `provider` and `model` to the
    attempts.
    """

    run_id: str
    started_at: int
    provider: str
    model: str
    command: str = "run"
    finished_at: int | None = None
    exit_code: int | None = None
    stop_reason: str | None = None
    rows: int | None = None
    failed: int | None = None
    done: int | None = None
    repeated: int | None = None
    remaining: int | None = None
    skipped: int | None = None
    counters: Mapping[str, Any] | None = None

    def columns(self) -> dict[str, Any]:
        """Returns the values of the columns by name."""
        own = msgspec.structs.asdict(self)
        del own["counters"]
        return dict.fromkeys(Counters.__struct_fields__) | dict(self.counters or {}) | own


Record = AnswerRecord | FailureRecord | AttemptRecord | TurnRecord
KINDS: dict[type, int] = {AnswerRecord: 1, FailureRecord: 2, AttemptRecord: 3, TurnRecord: 4}
TYPES: dict[int, type[Record]] = {1: AnswerRecord, 2: FailureRecord, 3: AttemptRecord, 4: TurnRecord}
