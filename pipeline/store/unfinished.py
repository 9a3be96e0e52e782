"""Conversations that were begun and not finished: their answers so far, for the run that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.store.layout import Layout
from pipeline.store.parts import all_parts
from pipeline.store.read import connect, query
from pipeline.store.records import TurnRecord
from pipeline.store.statements import block
from pipeline.types import TaskName

Turns = Mapping[tuple[str, str], tuple[TurnRecord, ...]]
"""(id, fingerprint) of a row → its turns in order, from the first one without a gap."""


def unfinished_turns(output: Path, task: TaskName) -> Turns:
    """The turns of all conversations that have no answer. They are few: what was in flight when runs ended, and what
    failed in the middle. Blocking. Raises StoreError."""
    if not all_parts(Layout(output).dataset("turns")):
        return {}
    relation = query(connect(output, task), block("unfinished_turns"))
    found: dict[tuple[str, str], list[TurnRecord]] = {}
    for batch in relation.to_arrow_reader(1_024):
        for row in batch.to_pylist():
            turns = found.setdefault((row["id"], row["fingerprint"]), [])
            record = _record(row)
            if record.turn <= len(turns):
                turns[record.turn - 1] = record
            elif record.turn == len(turns) + 1:
                turns.append(record)
    return {key: tuple(turns) for key, turns in found.items()}


def _record(row: Mapping[str, Any]) -> TurnRecord:
    fields = {name: row[name] for name in TurnRecord.__struct_fields__}
    fields["finished_at"] = round(row["finished_at"].timestamp() * 1e6)
    fields["extra"] = msgspec.json.decode(row["extra"] or "{}")
    return TurnRecord(**fields)
