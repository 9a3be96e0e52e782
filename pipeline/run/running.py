"""One run: the pool, and the tasks that run beside the pool."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from pipeline.dispatch.budget import Budget
from pipeline.dispatch.descriptors import PATIENCE_SECONDS, connection_limit, patiently
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prefetch import Prefetcher, Source
from pipeline.dispatch.prepared_request import policy_of
from pipeline.dispatch.shared_quota import SharedQuota
from pipeline.dispatch.stop import Stop, Stopped
from pipeline.errors import StoreError
from pipeline.machine import is_scarce, machine_error_of
from pipeline.report.progress import progress
from pipeline.report.published import Published
from pipeline.report.state import Progress
from pipeline.report.summary import Summary
from pipeline.run import connect
from pipeline.run.change_guard import earlier_dimension
from pipeline.run.connect import ready
from pipeline.run.context import JobContext
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.finish import Ended, finish
from pipeline.run.forecaster import forecaster
from pipeline.run.make_context import gate
from pipeline.run.outcome_recorder import OutcomeRecorder
from pipeline.run.prepare import Preparer, everything
from pipeline.run.row_loading import RowLoader
from pipeline.run.run_options import RunOptions
from pipeline.run.select import Selection
from pipeline.run.sharers import Sharers
from pipeline.run.sharing import OutcomeRecord, Pairs, Sharing
from pipeline.run.work_item import WorkItem
from pipeline.store import RunRecord, Store
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.store.lookup import outcomes, unfinished_turns

if TYPE_CHECKING:
    from pipeline.store.answer_cache import AnswerCache

SYNC_SECONDS = 0.1
"""A power cut may lose the rows that were counted in this time. A kill of the process loses nothing."""

DRAW_SECONDS = 0.25
UNTIL_LOOK_SECONDS = 5.0
"""The most seconds that `--until` may be late after the machine slept."""


class Running:
    """A planned run of an open store."""

    def __init__(
        self, context: JobContext, options: RunOptions, root: str, store: Store, record: RunRecord, selection: Selection
    ) -> None:
        self._context = context
        self._options = options
        self._root = root
        self._store = store
        self._record = record
        self._selection = selection
        self._began = time.monotonic()
        self._at = record.started_at / 1e6
        self._stop = Stop()
        self._signal: signal.Signals | None = None
        self._recorder = OutcomeRecorder(context, store, record.run_id, root)
        self._cache: AnswerCache | None = None
        self._connection_limit: int | None = None
        self._quota: SharedQuota | str | None = None
        self._learnt = Learnt()

    async def run(self) -> Summary:
        """Sends the planned rows, records the run and returns the summary. Raises only for bugs and for a manifest that
        is gone."""
        state, plan = self._recorder.state, self._selection
        state.total, state.skipped = plan.total, plan.done
        state.max_cost = None if self._context.spec.offline else self._context.spec.job.budget.max_cost
        stopped = Stopped(reason="finished")
        if plan.total:
            self._record = self._started()
            await anyio.to_thread.run_sync(ready, self._context)
            await anyio.to_thread.run_sync(self._store.start_run, self._record)
            stopped = await self._send_with_cache()
        elapsed = time.monotonic() - self._began
        ended = Ended(
            stopped=stopped, signal=self._signal, elapsed=elapsed, notes=tuple(self._notes()), quota=self._found
        )
        summed = functools.partial(finish, self._context, self._store, self._recorder, plan, self._record, ended)
        return await anyio.to_thread.run_sync(summed)

    @property
    def _found(self) -> str | None:
        return self._learnt.message() if self._learnt.known and not self._context.spec.offline else None

    def _notes(self) -> Iterator[str]:
        yield from self._selection.notes
        if self._cache is not None and self._cache.problem is not None:
            yield self._cache.problem
        if self._quota is not None:
            limits = connect.limits_of(self._context)
            yield from (self._quota,) if isinstance(self._quota, str) else self._quota.notes(limits)
        if self._found is not None:
            yield f"the quota found: {self._found}"
        wanted = self._context.spec.job.limits.concurrency
        if self._connection_limit is not None and wanted is not None and self._connection_limit < wanted:
            yield (
                f"limits.concurrency is {wanted:,}, but this machine grants descriptors for {self._connection_limit:,} "
                "rows in flight; raise the limit of open files (ulimit -n)"
            )

    def _started(self) -> RunRecord:
        return msgspec.structs.replace(self._record, command=self._selection.command, rows=self._selection.lines)

    async def _send_with_cache(self) -> Stopped:
        spec = self._context.spec
        if spec.cache is None:
            return await self._send()
        from pipeline.store.answer_cache import AnswerCache

        self._cache = cache = AnswerCache(spec.cache, spec.output)
        await anyio.to_thread.run_sync(cache.open)
        try:
            return await self._send()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(cache.close)

    async def _send(self) -> Stopped:
        context = self._context
        self._recorder.sharing = sharing = await self._sharing()
        self._recorder.forecaster = await anyio.to_thread.run_sync(forecaster, context)
        earlier = await anyio.to_thread.run_sync(earlier_dimension, context, self._store)
        async with connect.transport(context) as wire:
            uploads = connect.uploads(context, wire)
            account = connect.account(context)
            learnt = await anyio.to_thread.run_sync(connect.remembered, context)
            if learnt is not None:
                account.recall(learnt)
            if not context.spec.offline:
                fetches = context.spec.job.media.fetch == "here"
                account.connection_limit = self._connection_limit = connection_limit(
                    beside=uploads is not None or fetches
                )
            pool: Pool[WorkItem] = Pool(
                transport=wire,
                account=account,
                policy=policy_of(context.spec.job),
                budget=Budget(None if context.spec.offline else context.spec.job.budget.max_cost),
                stop=self._stop,
                counters=self._recorder.state,
                on_attempt=self._recorder.attempt,
                on_turn=self._recorder.turn,
            )
            begun = await anyio.to_thread.run_sync(unfinished_turns, context.spec.output, context.spec.job.task)
            async with (
                connect.downloads(context, pool.aside) as fetch,
                connect.shared_quota(context, account) as self._quota,
            ):
                fingerprinter = Fingerprinter(context.spec.job, offline=context.spec.offline)
                loader = RowLoader(context, fingerprinter, self._root, fetch, self._base())
                claim = sharing.claim if sharing else everything
                preparer = Preparer(context, loader, gate(context, earlier), uploads, begun, claim)
                with self._display() as display:
                    stopped = await self._fan_out(pool, preparer, display)
            self._learnt = account.controller.learnt
            await anyio.to_thread.run_sync(connect.remember, context, self._learnt)
        return stopped

    async def _fan_out(self, pool: Pool[WorkItem], preparer: Preparer, display: Progress) -> Stopped:
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._keep)
            beside.start_soon(self._draw, pool, display)
            if isinstance(self._quota, SharedQuota):
                beside.start_soon(self._quota.keep)
            if self._options.until is not None:
                beside.start_soon(self._until, self._options.until)
            if self._options.signals:
                beside.start_soon(self._signals)
            with Prefetcher(self._selection.source) as ahead:
                beside.start_soon(ahead.read)
                rows: Source[WorkItem] = ahead
                if (sharing := self._recorder.sharing) is not None:
                    beside.start_soon(self._look_up, sharing)
                    rows = Sharers(ahead, sharing)
                stopped = await pool.run(rows, preparer, self._recorder.done)
            self._show(pool, display)
            beside.cancel_scope.cancel()
        return stopped

    def _base(self) -> Fingerprinter | None:
        spec = self._context.spec
        if self._selection.command != "reprocess" or spec.base == spec.job:
            return None
        return Fingerprinter(spec.base, offline=spec.offline)

    async def _sharing(self) -> Sharing | None:
        """Returns the earlier questions and their answers, if the job wants equal questions asked once; else None."""
        store, job = self._store, self._context.spec.job
        if not job.dedupe.equal:
            return None
        index = await anyio.to_thread.run_sync(FingerprintIndex.load, store.layout)

        async def find(seqs: Collection[int]) -> Mapping[int, OutcomeRecord]:
            return await patiently(lambda: anyio.to_thread.run_sync(outcomes, store.layout, job.task, seqs))

        return Sharing(index, store.journal.next_seq, find, self._share, self._cache)

    def _share(self, pairs: Pairs) -> None:
        try:
            self._recorder.share(pairs)
        except Exception as error:
            self._stop_for(error)

    async def _look_up(self, sharing: Sharing) -> None:
        try:
            await sharing.look_up()
        except Exception as error:
            self._stop_for(error)

    def _stop_for(self, error: Exception) -> None:
        """Stops the run for an error of the machine or of a damaged output. Raises any other error."""
        found = error if isinstance(error, StoreError) else machine_error_of(error)
        if found is None:
            raise error
        self._stop.drain("machine", message=str(found))

    async def _keep(self) -> None:
        """Syncs the journal and seals it into parts, in a thread.

        Tries again for PATIENCE_SECONDS while the machine lacks descriptors, memory or threads.
        """
        well = time.monotonic()
        while True:
            await anyio.sleep(SYNC_SECONDS)
            try:
                await anyio.to_thread.run_sync(self._sync)
                if self._store.seal_due():
                    await anyio.to_thread.run_sync(self._store.seal)
                well = time.monotonic()
            except Exception as error:
                if not is_scarce(error) or time.monotonic() - well >= PATIENCE_SECONDS:
                    self._stop_for(error)
                    return

    def _sync(self) -> None:
        """Syncs the journal and writes the answers for the cache. Blocking."""
        self._store.sync()
        if self._cache is not None:
            self._cache.flush()

    def _display(self) -> Progress:
        options = self._options
        shown = progress(
            self._context.spec.shown,
            quiet=not options.progress,
            form=options.log_format,
            metrics=options.metrics,
        )
        return Published(self._store.layout.progress, self._record.run_id, shown)

    async def _draw(self, pool: Pool[WorkItem], display: Progress) -> None:
        while True:
            self._show(pool, display)
            await anyio.to_thread.run_sync(display.save)
            await anyio.sleep(DRAW_SECONDS)

    def _show(self, pool: Pool[WorkItem], display: Progress) -> None:
        self._recorder.state.gauges = pool.gauges()
        display.update(self._recorder.state, time.monotonic() - self._began)

    async def _until(self, seconds: float) -> None:
        # Uses the wall clock: the monotonic clock stands still while the machine is suspended.
        moment = self._at + seconds
        while (left := moment - time.time()) > 0:  # noqa: ASYNC110 - time is what it waits for
            await anyio.sleep(min(left, UNTIL_LOOK_SECONDS))
        self._stop.request_stop("until", self._options.grace, message="the time given by --until has come")

    async def _signals(self) -> None:
        ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # A signal that is ignored from the start (nohup) stays ignored.
        heard = [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]
        with anyio.open_signal_receiver(*heard) as received:
            async for number in received:
                self._signal = self._signal or number
                self._stop.request_stop("signal", self._options.grace, message=f"stopped by {number.name}")
