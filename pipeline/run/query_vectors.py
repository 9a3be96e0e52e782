"""The vectors of a search query: its texts, pictures and sounds are rows of a small run beside the output.

The run goes the way of every row (limits, retry, checks, budget). Its own output, `search/queries` in the job's output,
keeps the vectors, so that no query is bought twice, and never mixes with the job's results.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import msgspec

from pipeline.errors import JobError, Locked, PipelineError
from pipeline.job.load import LoadedJob
from pipeline.job.schema import ColumnsSection, DedupeSection, MediaSection
from pipeline.report.summary import Summary
from pipeline.run.local import execute
from pipeline.run.output import connect
from pipeline.run.run_options import RunOptions
from pipeline.search.sidecar import maker_of
from pipeline.store.layout import Layout

PATIENCE = 30.0
"""Seconds that a search waits for another search of the same output which embeds its query."""


class NotEmbedded(PipelineError):
    """The query of a search got no vector. `exit_code` is that of the run that should bring the vector."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Input(msgspec.Struct, frozen=True):
    """One input of a query. `value`: a text, or the path or URL of a picture or sound."""

    kind: Literal["text", "image", "audio"]
    value: str

    @property
    def row(self) -> dict[str, str]:
        """The row of the small run."""
        here = self.kind != "text" and not self.value.startswith(("http://", "https://", "data:", "oss://", "file:"))
        value = str(Path(self.value).absolute()) if here else self.value
        name = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return {"id": f"{self.kind}:{name}", self.kind: value}


class Embedded(msgspec.Struct, frozen=True):
    """The vectors of the inputs, in their order. `vectors`: float32 of shape (inputs, dimension). `maker`: who made the
    vectors, as `maker_of` names it. `cost`: of this search; None: not known, or nothing was sent (`sent` = 0)."""

    vectors: Any
    maker: str
    sent: int
    cost: float | None
    currency: str | None


async def embed(spec: LoadedJob, inputs: Sequence[Input]) -> Embedded:
    """Returns the vectors of the inputs, bought with the job's model where they are not kept.

    Raises NotEmbedded for an input that gets no vector, and the same errors as a run.
    """
    queries = _beside(spec)
    rows = list({one.row["id"]: one.row for one in inputs}.values())
    summary = await _run(queries, rows)
    found = await anyio.to_thread.run_sync(_kept, queries, [row["id"] for row in rows])
    for one in inputs:
        if one.row["id"] not in found:
            raise _missing(spec, summary, one)
    makers = {maker for _, maker in found.values()}
    if len(makers) > 1:
        raise JobError(f"the inputs of the query have vectors of different makers: {', '.join(sorted(makers))}")
    import numpy as np

    vectors = np.stack([found[one.row["id"]][0] for one in inputs])
    return Embedded(vectors, makers.pop(), summary.sent, summary.cost, summary.currency)


def _beside(spec: LoadedJob) -> LoadedJob:
    """Returns the job of the small run: the same model and limits, other rows, another output."""
    job = spec.job
    media = MediaSection(resize=job.media.resize, fetch=job.media.fetch, private=job.media.private)
    plain = msgspec.structs.replace(job, columns=ColumnsSection(), dedupe=DedupeSection(), media=media)
    output = Layout(spec.output).search / "queries"
    return msgspec.structs.replace(spec, job=plain, base=plain, output=output, cache=None, keep=None)


async def _run(queries: LoadedJob, rows: list[dict[str, str]]) -> Summary:
    options = RunOptions(manifest=rows, changed="redo", progress=False)
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return await execute(queries, options)
        except Locked:
            if time.monotonic() > until:
                raise
            await anyio.sleep(0.1)


def _kept(queries: LoadedJob, ids: list[str]) -> dict[str, tuple[Any, str]]:
    """Returns id → (vector, maker) of the answers to the inputs as they are now. Blocking."""
    import numpy as np

    sql = "select id, embedding, provider, model, extra from results where not stale and id in (select unnest($ids))"
    rows = connect(queries).execute(sql, {"ids": ids}).fetchall()
    return {id_: (np.asarray(vector, np.float32), maker_of(*facts)) for id_, vector, *facts in rows}


def _missing(spec: LoadedJob, summary: Summary, one: Input) -> NotEmbedded:
    reason = "; ".join(f"{group.code}: {group.message}" for group in summary.failures) or summary.message
    shown = "" if one.kind == "text" else f" ({Path(one.value.partition('?')[0]).name})"
    return NotEmbedded(f"{spec.name}: the {one.kind} of the query{shown} got no vector: {reason}", summary.exit_code)
