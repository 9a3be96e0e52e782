"""The local engine: runs a job in this process, from manifest to sealed parts."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import anyio
import anyio.to_thread

from pipeline.dispatch.descriptors import raise_limit
from pipeline.dispatch.memory import relaxed_gc
from pipeline.errors import MachineError, ManifestError, PipelineError
from pipeline.job.load import LoadedJob
from pipeline.machine import machine_error_of
from pipeline.manifest import Manifest
from pipeline.report.summary import Summary
from pipeline.run.change_guard import decided, redo
from pipeline.run.context import JobContext
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.make_context import check_columns, column_notes, job_context
from pipeline.run.owner import mark, refuse_another
from pipeline.run.reprocess import select_failed
from pipeline.run.run_options import RunOptions
from pipeline.run.running import Running
from pipeline.run.select import Chosen, ManifestScanner, Selection, count_selected, manifest_of, selected
from pipeline.store import RunRecord, Store


async def execute(spec: LoadedJob, options: RunOptions) -> Summary:
    """Runs a job to its end, on asyncio. Raises PipelineError for a reason that stops the job before the first
    request."""
    with _machine_errors(), relaxed_gc():
        context = job_context(spec)
        manifest = await anyio.to_thread.run_sync(manifest_of, spec, options.manifest)
        check_columns(context, manifest.schema_columns)

        def plan(store: Store) -> Selection:
            return _select_rows(context, options, manifest, store)

        return await _execute(context, options, manifest.root, plan)


async def execute_reprocess(spec: LoadedJob, options: RunOptions) -> Summary:
    """Sends failed rows again, on asyncio. Raises PipelineError for a reason that stops the reprocess before the first
    request."""
    with _machine_errors(), relaxed_gc():
        context = job_context(spec)
        fingerprinter = Fingerprinter(spec.job, offline=spec.offline)

        def plan(store: Store) -> Selection:
            return select_failed(spec, fingerprinter, options.where, options.limit)

        try:
            root = (await anyio.to_thread.run_sync(manifest_of, spec, options.manifest)).root
        except ManifestError:
            root = "/"  # The manifest cannot be opened any more. Kept rows name their files by absolute paths.
        return await _execute(context, options, root, plan)


@contextmanager
def _machine_errors() -> Iterator[None]:
    """Raises an error of the machine as a MachineError."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        found = machine_error_of(error)
        if found is None:
            raise
        raise found from error


async def _execute(context: JobContext, options: RunOptions, root: str, plan: Callable[[Store], Selection]) -> Summary:
    spec, handed = context.spec, options.manifest is not None
    refuse_another(spec, handed=handed)
    raise_limit()
    name = run_id()
    record = RunRecord(
        run_id=name,
        started_at=time.time_ns() // 1000,
        provider=context.provider_name,
        model=context.model.name,
    )
    opened = functools.partial(
        Store.open, spec.output, spec.job.task, run_id=name, dimension=context.dimension, typed=context.typed
    )
    store = await anyio.to_thread.run_sync(opened)
    begun = told = False
    try:
        planned = await anyio.to_thread.run_sync(plan, store)
        await anyio.to_thread.run_sync(functools.partial(mark, spec, store, handed=handed))
        begun = True
        summary = await Running(context, options, root, store, record, planned).run()
        told = summary.stop_reason == "machine"
        return summary
    finally:
        with anyio.CancelScope(shield=True), suppress(*([MachineError] if told else [])):
            await anyio.to_thread.run_sync(store.close if begun else store.discard)


def _select_rows(context: JobContext, options: RunOptions, manifest: Manifest, store: Store) -> Selection:
    """Returns the manifest's rows that need sending, as far as the guard permits. Blocking."""
    spec = context.spec
    fingerprinter = Fingerprinter(spec.job, offline=spec.offline)
    scanner = ManifestScanner(manifest, fingerprinter, spec.output, spec.job.task)
    decide = functools.partial(redo, context, decided(options.changed))
    scan = scanner.scan(store.record_manifest_state, decide, rehash=options.rehash)
    chosen = Chosen(limit=options.limit, sample=options.sample, ids=options.ids)
    counts = scan.counts
    return Selection(
        command="run",
        rows=counts.rows,
        total=count_selected(manifest, scan, chosen),
        done=counts.done + counts.dismissed,
        dismissed=counts.dismissed,
        failed=counts.failed,
        new=counts.new,
        changed=counts.changed,
        vanished=counts.vanished,
        repeated=counts.repeat,
        kept=scan.kept,
        notes=column_notes(spec, manifest.schema_columns),
        passed_over=manifest.passed_over(),
        source=lambda should_continue: selected(manifest, scan, fingerprinter, chosen, should_continue),
    )


def run_id() -> str:
    """Returns a new run id. Run ids sort by time. Runs that start in the same second have different ids."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
