"""What a run is wired to: the transport, the account's shared state, uploads and downloads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from urllib.parse import urlsplit

from pipeline.dispatch.account import Account, AccountKey, Accounts, Limits
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.learnt import keep, learnt_path, recall
from pipeline.dispatch.ledger import LedgerError
from pipeline.dispatch.ledger_file import FileLedger
from pipeline.dispatch.ledger_folder import ledger_path
from pipeline.dispatch.quota import SharedQuota, without_ledger
from pipeline.dispatch.transport import Transport
from pipeline.dispatch.uploads import Uploads
from pipeline.engines.fetch import Aside, Fetch, Rules
from pipeline.engines.setup import Setup
from pipeline.errors import MachineError
from pipeline.job.units import duration
from pipeline.types import Secret

OFFLINE_CONCURRENCY = 8
"""Two cores work at two rows; the others are being loaded, uploaded and written meanwhile."""

_accounts = Accounts()


def transport(setup: Setup) -> AbstractAsyncContextManager[Transport]:
    """HTTP, or the embedded service in this process. Raises MissingExtra."""
    if setup.spec.offline:
        from pipeline.engines.offline import in_process

        return nullcontext(in_process())
    from pipeline.dispatch.http import open_transport

    return open_transport()


def account(setup: Setup) -> Account:
    """The account's state, shared by every job of this process that uses it.

    The embedded service has no quota, only two cores: a fixed number in flight.
    """
    if setup.spec.offline:
        return Account(Limits(concurrency=setup.spec.job.limits.concurrency or OFFLINE_CONCURRENCY))
    return _accounts.get(_account_key(setup), limits_of(setup))


def limits_of(setup: Setup) -> Limits:
    """The job's own ceilings."""
    limits = setup.spec.job.limits
    return Limits(rpm=limits.rpm, tpm=limits.tpm, concurrency=limits.concurrency)


@asynccontextmanager
async def shared_quota(setup: Setup, account: Account) -> AsyncIterator[SharedQuota | str | None]:
    """The quota that the account shares with other runs on this machine, or a note why it shares none.

    None for the embedded service, which has no quota.
    """
    if setup.spec.offline:
        yield None
        return
    try:
        shared = account.shared or SharedQuota(account, FileLedger(ledger_path(_account_key(setup))))
    except LedgerError as error:
        yield without_ledger(str(error))
        return
    limits = limits_of(setup)
    shared.join(limits)
    try:
        yield shared
    finally:
        shared.leave(limits)


def remembered(setup: Setup) -> Learnt | None:
    """The quota that the last run of the account found. Blocking."""
    if setup.spec.offline:
        return None
    try:
        return recall(learnt_path(_account_key(setup)))
    except LedgerError:
        return None


def remember(setup: Setup, learnt: Learnt) -> None:
    """Keeps the quota that a run found for the next one; a folder that cannot be used is no fault of the run.
    Blocking."""
    if learnt.known and not setup.spec.offline:
        with suppress(LedgerError, MachineError):
            keep(learnt_path(_account_key(setup)), learnt)


def _account_key(setup: Setup) -> AccountKey:
    place, name = setup.endpoint, setup.spec.job.limits.account
    return AccountKey(
        provider=place.provider,
        host=urlsplit(place.base_url).netloc,
        key=place.key if name is None else Secret(""),
        model=setup.model.name,
        account=name,
    )


def uploads(setup: Setup, wire: Transport) -> Uploads | None:
    """The way local files take where the service reads uploads, else None."""
    if setup.provider.local_files(setup.model, setup.endpoint) != "upload":
        return None
    return Uploads(wire, setup.endpoint, setup.model.name, setup.spec.job.timeouts)


@asynccontextmanager
async def downloads(setup: Setup, aside: Aside) -> AsyncIterator[Fetch | None]:
    """Loads URLs here, if the job says so; a key never goes with it. `aside`: as of `Fetch`."""
    job = setup.spec.job
    if job.media.fetch == "service":
        yield None
        return
    from pipeline.dispatch.http import open_transport

    rules = Rules(timeouts=job.timeouts, attempts=job.retry.attempts, deadline=duration(job.retry.deadline))
    async with open_transport(private=job.media.private) as wire:
        yield Fetch(wire, rules, aside)
