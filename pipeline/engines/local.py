"""The local engine: one run of one job in this process, from manifest to sealed parts."""

from __future__ import annotations

import functools
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

from pipeline.dispatch.account import Account, AccountKey, Accounts, Limits
from pipeline.dispatch.budget import Budget
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared import policy_of
from pipeline.dispatch.stop import Stop, Stopped
from pipeline.dispatch.transport import Transport
from pipeline.engines.fanout import Fanout
from pipeline.engines.fetch import Fetch
from pipeline.engines.finish import finish
from pipeline.engines.guard import guard, question
from pipeline.engines.identity import Identity
from pipeline.engines.options import RunOptions
from pipeline.engines.prepare import Preparer, Uploads
from pipeline.engines.setup import Setup, check_columns, setup
from pipeline.engines.survey import Survey, Surveyor, selected
from pipeline.engines.work import Work
from pipeline.errors import MachineError
from pipeline.job.load import Spec
from pipeline.manifest import Manifest, from_table, open_manifest
from pipeline.report.progress import progress
from pipeline.report.summary import Summary
from pipeline.store import RunRecord, Store
from pipeline.tasks.quality import Gate

SYNC_SECONDS = 0.1
"""A power cut may lose what was counted in this time; a kill of the process loses nothing."""

DRAW_SECONDS = 0.25

OFFLINE_CONCURRENCY = 8
"""Two cores work at two rows; the others are being loaded, uploaded and written meanwhile."""

_accounts = Accounts()


async def execute(spec: Spec, options: RunOptions) -> Summary:
    """Runs a job to its end, on asyncio. Raises PipelineError for what stops it before anything is sent."""
    prepared = setup(spec)
    if spec.job.budget.max_cost is not None and not spec.offline and prepared.model.price is None:
        raise spec.fail(
            f"budget.max_cost: the price of {prepared.model.name} is not known, so a budget cannot be kept: "
            f'add [models."{prepared.model.name}"] price = {{ input = …, output = …, currency = "CNY" }}'
        )
    manifest = await anyio.to_thread.run_sync(_manifest, spec, options)
    check_columns(spec, manifest.schema_columns)
    run_id = _run_id()
    opened = functools.partial(Store.open, spec.output, spec.job.task, run_id=run_id, dimension=prepared.dimension)
    store = await anyio.to_thread.run_sync(opened)
    try:
        return await _Run(prepared, options, manifest, store, run_id).run()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(store.close)


def _manifest(spec: Spec, options: RunOptions) -> Manifest:
    if options.manifest is not None:
        return from_table(options.manifest, spec.job, os.getcwd())  # noqa: PTH109 - a text, as manifests take it
    return open_manifest(spec.manifest, spec.job)


def _run_id() -> str:
    """Sorts by time, and is unique among runs that start in the same second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def _transport(setup: Setup) -> AbstractAsyncContextManager[Transport]:
    if setup.spec.offline:
        from pipeline.engines.offline import in_process

        return nullcontext(in_process())
    from pipeline.dispatch.http import open_transport

    return open_transport()


def _account(setup: Setup) -> Account:
    """The account's shared state. The embedded service has no quota, only two cores: a fixed number in flight."""
    limits = setup.spec.job.limits
    if setup.spec.offline:
        return Account(Limits(concurrency=limits.concurrency or OFFLINE_CONCURRENCY))
    place = setup.endpoint
    host = urlsplit(place.base_url).netloc
    key = AccountKey(provider=place.provider, host=host, key=place.key, model=setup.model.name)
    return _accounts.get(key, Limits(rpm=limits.rpm, tpm=limits.tpm, concurrency=limits.concurrency))


def _uploads(setup: Setup, transport: Transport) -> Uploads | None:
    if setup.provider.local_files(setup.model, setup.endpoint) != "upload":
        return None
    from pipeline.dispatch.uploads import Uploads

    return Uploads(transport, setup.endpoint, setup.model.name, setup.spec.job.timeouts)


@asynccontextmanager
async def _fetch(setup: Setup) -> AsyncIterator[Fetch | None]:
    """Loads URLs here, if the job says so; a key never goes with it."""
    job = setup.spec.job
    if job.media.fetch == "service":
        yield None
        return
    from pipeline.dispatch.http import open_transport

    async with open_transport() as transport:
        yield Fetch(transport, job.timeouts, job.media.resize, upright=setup.upright)


class _Run:
    """One run while it lasts."""

    def __init__(self, prepared: Setup, options: RunOptions, manifest: Manifest, store: Store, run_id: str) -> None:
        self.setup = prepared
        self.options = options
        self.manifest = manifest
        self.store = store
        self.identity = Identity(prepared.spec)
        self.began = time.monotonic()
        self.stop = Stop()
        self.signal: signal.Signals | None = None
        self.record = RunRecord(
            run_id=run_id,
            started_at=time.time_ns() // 1000,
            provider=prepared.provider_name,
            model=prepared.model.name,
        )
        self.fanout = Fanout(prepared, store, run_id, manifest.root)

    async def run(self) -> Summary:
        survey = await self._survey()
        state = self.fanout.state
        state.total = survey.ordinals()
        for cap in (self.options.limit, self.options.sample):
            state.total = state.total if cap is None else min(cap, state.total)
        state.skipped = survey.counts.done + survey.counts.failed
        if state.total:
            await anyio.to_thread.run_sync(self.store.start_run, self.record)
            stopped = await self._send(survey)
        else:
            stopped = Stopped(reason="finished")
        ended = functools.partial(
            finish, self.setup, self.store, self.fanout, survey, self.record, stopped, self.signal,
            question(self.setup), time.monotonic() - self.began,
        )  # fmt: skip
        # Not cancelled by who waits for us: a thread goes on anyway, and must not do so beside `close`.
        return await anyio.to_thread.run_sync(ended, abandon_on_cancel=False)

    async def _survey(self) -> Survey:
        spec = self.setup.spec
        surveyor = Surveyor(self.manifest, self.identity, spec.output, spec.job.task)
        survey = await anyio.to_thread.run_sync(
            functools.partial(surveyor.survey, self.store.mark_current, rehash=self.options.rehash)
        )
        return await anyio.to_thread.run_sync(guard, self.setup, survey, self.options.changed)

    async def _send(self, survey: Survey) -> Stopped:
        account = _account(self.setup)
        async with _transport(self.setup) as transport, _fetch(self.setup) as fetch:
            pool: Pool[Work] = Pool(
                transport=transport,
                account=account,
                policy=policy_of(self.setup.spec.job),
                budget=Budget(self.setup.spec.job.budget.max_cost),
                stop=self.stop,
                on_attempt=self.fanout.attempt,
            )
            preparer = Preparer(
                self.setup,
                self.identity,
                Gate(self.setup.checks, self.setup.dimension),
                self.manifest.root,
                _uploads(self.setup, transport),
                fetch,
            )
            rows = selected(self.manifest, survey, self.identity, self.options.limit, self.options.sample)
            async with anyio.create_task_group() as beside:
                beside.start_soon(self._keep)
                beside.start_soon(self._draw, pool)
                if self.options.until is not None:
                    beside.start_soon(self._until, self.options.until)
                if self.options.signals:
                    beside.start_soon(self._signals)
                stopped = await pool.run(rows, preparer, self.fanout.done)
                self.fanout.watch(pool.snapshot())
                beside.cancel_scope.cancel()
        return stopped

    async def _keep(self) -> None:
        """Syncs the journal and makes parts of it, off the loop."""
        while True:
            await anyio.sleep(SYNC_SECONDS)
            try:
                await anyio.to_thread.run_sync(self.store.sync)
                if self.store.seal_due():
                    await anyio.to_thread.run_sync(self.store.seal)
            except MachineError as error:
                self.stop.drain("machine", message=str(error))
                return

    async def _draw(self, pool: Pool[Work]) -> None:
        name = self.setup.spec.path.stem
        with progress(name, stream=sys.stderr, quiet=not self.options.progress) as display:
            while True:
                self.fanout.watch(pool.snapshot())
                display.update(self.fanout.state, time.monotonic() - self.began)
                await anyio.sleep(DRAW_SECONDS)

    async def _until(self, seconds: float) -> None:
        await anyio.sleep(seconds)
        self.stop.request_stop("until", self.options.grace, message="the time given by --until has come")

    async def _signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for number in received:
                self.signal = self.signal or number
                self.stop.request_stop("signal", self.options.grace, message=f"stopped by {number.name}")
