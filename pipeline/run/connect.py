"""The connections of a run: the transport, the account's shared state, uploads and downloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from importlib import import_module
from importlib.util import find_spec
from urllib.parse import urlsplit

from pipeline.dispatch.account import Account, AccountKey, Accounts, Limits
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.learnt import keep, learnt_path, recall
from pipeline.dispatch.ledger import LedgerError
from pipeline.dispatch.ledger_file import FileLedger
from pipeline.dispatch.ledger_folder import ledger_path
from pipeline.dispatch.retry import load_retrying
from pipeline.dispatch.shared_quota import SharedQuota, without_ledger
from pipeline.dispatch.transport import Transport
from pipeline.dispatch.uploads import Uploads
from pipeline.errors import MachineError
from pipeline.job.values import duration
from pipeline.media.probe import load_readers
from pipeline.providers import declared
from pipeline.providers.error_table import rows
from pipeline.run.context import JobContext
from pipeline.run.fetch import Aside, Fetch, Rules
from pipeline.types import Secret

OFFLINE_CONCURRENCY = 8
"""Two cores work at two rows. In the meantime the other rows are loaded, uploaded and written."""

_accounts = Accounts()


def transport(context: JobContext) -> AbstractAsyncContextManager[Transport]:
    """Returns HTTP, or the embedded service in this process for an offline job. Raises MissingExtra."""
    if context.spec.offline:
        from pipeline.run.embedded_service import in_process

        return nullcontext(in_process())
    from pipeline.dispatch.http import open_transport

    return open_transport()


def account(context: JobContext) -> Account:
    """Returns the account's state. All jobs of this process that use the account share the state.

    The embedded service has no quota, only two cores. An offline job has its own state, with a fixed number of requests
    in flight.
    """
    if context.spec.offline:
        return Account(Limits(concurrency=context.spec.job.limits.concurrency or OFFLINE_CONCURRENCY))
    return _accounts.get(_account_key(context), limits_of(context))


def limits_of(context: JobContext) -> Limits:
    """Returns the job's own ceilings."""
    limits = context.spec.job.limits
    return Limits(rpm=limits.rpm, tpm=limits.tpm, concurrency=limits.concurrency)


@asynccontextmanager
async def shared_quota(context: JobContext, account: Account) -> AsyncIterator[SharedQuota | str | None]:
    """Yields the quota that the account shares with other runs on this machine.

    Yields a note with the reason if the quota cannot be shared. Yields None for the embedded service, which has no
    quota.
    """
    if context.spec.offline:
        yield None
        return
    try:
        shared = SharedQuota.of(account, lambda: FileLedger(ledger_path(_account_key(context))))
    except LedgerError as error:
        yield without_ledger(str(error))
        return
    limits = limits_of(context)
    shared.join(limits)
    try:
        yield shared
    finally:
        shared.leave(limits)


def remembered(context: JobContext) -> Learnt | None:
    """Returns the quota that the last run of the account found, None if no quota is known. Blocking."""
    if context.spec.offline:
        return None
    try:
        return recall(learnt_path(_account_key(context)))
    except LedgerError:
        return None


def remember(context: JobContext, learnt: Learnt) -> None:
    """Keeps the quota that a run found for the next run. Blocking.

    Raises nothing if the folder cannot be used: the run itself went well.
    """
    if learnt.known and not context.spec.offline:
        with suppress(LedgerError, MachineError):
            keep(learnt_path(_account_key(context)), learnt)


def _account_key(context: JobContext) -> AccountKey:
    place, name = context.endpoint, context.spec.job.limits.account
    return AccountKey(
        provider=place.provider,
        host=urlsplit(place.base_url).netloc,
        key=place.key if name is None else Secret(""),
        model=context.model.name,
        account=name,
    )


def uploads(context: JobContext, wire: Transport) -> Uploads | None:
    """Returns the uploads for local files if the service reads uploads, else None."""
    if context.provider.local_files(context.model, context.endpoint) != "upload":
        return None
    return Uploads(wire, context.endpoint, context.model.name, context.spec.job.timeouts)


@asynccontextmanager
async def downloads(context: JobContext, aside: Aside) -> AsyncIterator[Fetch | None]:
    """Yields a Fetch if the job says that URLs are loaded here, else None. No download sends a key.

    `aside`: the same as in `Fetch`.
    """
    job = context.spec.job
    if job.media.fetch == "service":
        yield None
        return
    from pipeline.dispatch.http import open_transport

    rules = Rules(timeouts=job.timeouts, attempts=job.retry.attempts, deadline=duration(job.retry.deadline))
    async with open_transport(private=job.media.private) as wire:
        yield Fetch(wire, rules, aside)


def ready(context: JobContext) -> None:
    """Imports the modules and reads the tables that the first requests need. Blocking; about 50 ms of CPU.

    Skips the video modules if the extra is not installed.
    """
    load_retrying()
    if not context.spec.offline:
        for service in (context.endpoint.provider, *declared(context.endpoint.provider, "ERROR_TABLES")):
            rows(service)
    load_readers()
    for module in ("numpy", "pybase64", "tinytag", "pipeline.media.load"):
        import_module(module)
    if context.spec.job.media.frames is not None and find_spec("av") is not None:
        with suppress(ImportError):
            for module in ("pipeline.media.video", "av"):
                import_module(module)
