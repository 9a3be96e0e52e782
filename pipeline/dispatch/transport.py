"""The interface of a transport: one HTTP exchange, over sockets or in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import anyio
import msgspec

from pipeline.dispatch.clock import timed
from pipeline.errors import Fault
from pipeline.job.schema import TimeoutsSection
from pipeline.providers.safe_text import fault_without_keys
from pipeline.types import HttpRequest

Timeouts = TimeoutsSection

MAX_RESPONSE_BYTES = 64 * 1024 * 1024

STALE = "Local.StaleConnection"


class Exchange(Protocol):
    """A response whose head has arrived. `headers` has lower-case names; a repeated header is joined with `, `.

    `chunks()` yields the body's bytes as they arrive, once. `chunks()` raises Fault for a silence longer than
    `timeouts.read` and for a body above the bound. If the body was cut, the iteration ends and `complete` stays False.
    `complete` is meaningful only after the iteration.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def complete(self) -> bool: ...

    def chunks(self) -> AsyncIterator[bytes]: ...


class Transport(Protocol):
    """Carries exchanges. Entering `exchange` sends the request and waits for the head of the response.

    Raises Fault: `transient` with `Local.ConnectTimeout`, `Local.WriteTimeout`, `Local.ReadTimeout`,
    `Local.ConnectFailed`, `Local.Disconnected`, `Local.StaleConnection` (to be sent again at once); `malformed` with
    `Local.NotHttp`; `rejected` with `Local.Redirect`. The caller applies `timeouts.total` (the pool and `read_all` do
    so), because the total time includes reading the body.
    """

    def exchange(self, request: HttpRequest, timeouts: Timeouts) -> AbstractAsyncContextManager[Exchange]: ...


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response with its whole body. `complete` is False if the body was cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool


async def read_all(transport: Transport, request: HttpRequest, timeouts: Timeouts) -> Response:
    """Makes one exchange and reads the body to its end, for requests other than a row's call (uploads, checks).

    A request on a stale connection is sent once more. Raises Fault.
    """
    try:
        with timed(anyio.current_time() + timeouts.total):
            try:
                return await _exchanged(transport, request, timeouts)
            except Fault as fault:
                if fault.code != STALE:
                    raise
            return await _exchanged(transport, request, timeouts)
    except Fault as fault:
        raise fault_without_keys(fault) from None
    raise total_timeout(timeouts.total)


async def _exchanged(transport: Transport, request: HttpRequest, timeouts: Timeouts) -> Response:
    async with transport.exchange(request, timeouts) as exchange:
        body = b"".join([chunk async for chunk in exchange.chunks()])
        return Response(status=exchange.status, headers=exchange.headers, body=body, complete=exchange.complete)


def total_timeout(seconds: float) -> Fault:
    """Returns the fault of an attempt that took longer than `timeouts.total` as a whole."""
    return Fault(
        "transient", "Local.TotalTimeout", f"no complete answer within {seconds:g} s (timeouts.total)", retry="yes"
    )


def read_timeout(seconds: float) -> Fault:
    """Returns the fault of an attempt in which nothing arrived for `timeouts.read`."""
    return Fault("transient", "Local.ReadTimeout", f"nothing arrived for {seconds:g} s (timeouts.read)", retry="yes")


def stale_connection() -> Fault:
    """Returns the fault of an attempt on an idle connection that the server closed before it answered, in most cases
    before the request arrived."""
    return Fault("transient", STALE, "the server had closed the connection that was kept open", retry="yes")


def too_large(limit: int) -> Fault:
    """Returns the fault of an answer whose body is larger than the limit, in bytes. The rest of the body is not
    read."""
    message = f"the answer is larger than {limit >> 20} MiB"
    return Fault("malformed", "Local.ResponseTooLarge", message, retry="once")


def redirect(status: int, location: str) -> Fault:
    """Returns the fault of a redirect. A 3xx is never followed, so that no API key is sent to another host."""
    target = location.split("?")[0] or "nowhere"
    message = f"the server redirects (HTTP {status}) to {target}; redirects are not followed: correct provider.base_url"
    return Fault("rejected", "Local.Redirect", message, http_status=status)
