"""Whatever a manifest holds, readable or not: each line of it is counted once, or the whole is refused."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.any_manifest import AnyManifest, manifests, texts
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told
from support.manifests import job_of
from support.store_disk import rounds

from pipeline.api import Job
from pipeline.errors import ManifestError, PipelineError
from pipeline.job.schema import JobFile as Schema
from pipeline.job.schema import ManifestSection
from pipeline.manifest import Manifest, open_manifest
from pipeline.types import Row

COUNTED = "answered + shared + failed + done + repeated + remaining"
MORE = "[retry]\nattempts = 1\n[circuit]\nrefusals = 0\nmin_calls = 99\n"
TOLD = st.sampled_from([PLAIN, Told(400, code="bad"), Told(500)])
OPTIONS = st.fixed_dictionaries({}, optional={"limit": st.integers(0, 3), "sample": st.integers(0, 3)})
relaxed = settings(max_examples=rounds(100), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def opened(case: AnyManifest, path: Path) -> Manifest:
    job = job_of("ask")
    section = ManifestSection(path=str(path), **case.section)
    return open_manifest(str(path), Schema(task=job.task, manifest=section, output="o", provider=job.provider))


def line_of(row: Row) -> int:
    return int(row.where.rpartition(":")[2])


@relaxed
@given(manifests())
def test_rows_are_numbered_without_gaps_from_any_place(case: AnyManifest) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            manifest = opened(case, case.write(Path(folder)))
            rows = list(manifest.rows())
        except ManifestError:
            return
        assert [row.ordinal for row in rows] == list(range(len(rows)))
        assert [line_of(row) for row in rows] == sorted({line_of(row) for row in rows})
        assert list(manifest.rows(len(rows) // 2)) == rows[len(rows) // 2 :]


@relaxed
@given(st.sampled_from(["jsonl", "txt"]), st.data())
def test_a_line_of_text_is_a_row(form: str, data: st.DataObject) -> None:
    text = data.draw(texts(form)).replace("\r", " ")
    with tempfile.TemporaryDirectory() as folder:
        case = AnyManifest(f"m.{form}", text.encode())
        try:
            rows = list(opened(case, case.write(Path(folder))).rows())
        except ManifestError:
            return
    lines = [number for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t\n\x0b\x0c")]
    assert [line_of(row) for row in rows] == lines


@relaxed
@given(st.sampled_from(["csv", "tsv"]), st.data())
def test_no_line_of_csv_vanishes(form: str, data: st.DataObject) -> None:
    """A line is a row, or a part of a whole row whose cells have so many line ends, or blank."""
    text = data.draw(texts(form)).replace("\r", " ")
    assume(not any(mark in text for mark in "\x1c\x1d\x1e\x85\u2028\u2029"))
    with tempfile.TemporaryDirectory() as folder:
        case = AnyManifest(f"m.{form}", text.encode())
        try:
            rows = list(opened(case, case.write(Path(folder))).rows())
        except ManifestError:
            return
    lines = text.split("\n")
    starts = [*(line_of(row) for row in rows), len(lines) + 1]
    assert not any(line.strip() for line in lines[1 : starts[0] - 1])
    for row, start, behind in zip(rows, starts, starts[1:], strict=False):
        passed = [line for line in lines[start : behind - 1] if line]
        inside = sum(str(value).count("\n") for value in row.raw.values()) if row.raw else 0
        assert len(passed) <= inside, (row.where, passed)


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    os.environ["OPENAI_API_KEY"] = "sk-counting"
    with CountingServer() as server:
        yield server


@settings(relaxed, max_examples=rounds(20))
@given(
    manifests(), st.lists(OPTIONS, min_size=1, max_size=3), st.sampled_from([PLAIN, Told(400, code="bad"), Told(500)])
)
def test_a_run_counts_every_row_once(
    server: CountingServer, case: AnyManifest, runs: list[dict[str, Any]], told: Told
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = CountedJob(Path(folder), server)
        path = case.write(job.folder)
        job.write(
            prompt="Say it", concurrency=2, more="[retry]\nattempts = 1\n[circuit]\nrefusals = 0\nmin_calls = 99\n"
        )
        server.script = lambda asked, n: told
        asked_before = len(server.asked)
        try:
            rows = len(list(opened(case, path).rows()))
            for options in runs:
                counted(job, {"manifest": {"path": str(path), **case.section}}, options, rows)
        except PipelineError:  # an id that is given twice is seen when the output is open already
            assert len(server.asked) == asked_before
            assert not job.output.exists() or not job.sql("select id from results union all select id from failures")


def counted(job: CountedJob, manifest: dict[str, Any], options: dict[str, Any], rows: int) -> None:
    summary = Job.load(job.path, manifest).run(**options)
    assert summary.rows == rows
    whole = summary.answered + summary.shared + summary.open + summary.done + summary.repeated + summary.remaining
    assert whole == rows
    if summary.run_id is not None:
        found = job.sql(f"select rows, {COUNTED} from runs where run_id = '{summary.run_id}'")
        assert found == [(rows, rows)]
