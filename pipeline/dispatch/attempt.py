"""One attempt: sends the request, reads the answer, and returns the result.

All text of the service passes through this module. The API key is removed from every field of the result.
"""

from __future__ import annotations

import anyio
import msgspec

from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.dispatch.transport import STALE, Exchange, Timeouts, Transport
from pipeline.errors import Fault
from pipeline.machine import SHORT
from pipeline.providers.hints import NOTHING, Hints, read
from pipeline.providers.safe_text import clean, fault_without_keys, reply_without_keys
from pipeline.types import Reader, Reply, Usage

NEVER_SENT = frozenset(
    f"Local.{name}"
    for name in ("ConnectTimeout", "ConnectFailed", "ProxyFailed", "InvalidUrl", "CertificateRefused", "TooManyTokens")
) | {SHORT}


REST_SECONDS = 2.0
"""How long the end of a stream is awaited after the answer is complete. Usually the usage, the end mark and the end of
the connection follow at once. Some servers keep the connection open for ever and send comments."""


class AttemptResult(msgspec.Struct, kw_only=True):
    """The result of one attempt: a reply, a fault, or a fault with the reply that the fault is about."""

    reply: Reply | None = None
    fault: Fault | None = None
    status: int | None = None
    hints: Hints = NOTHING

    @property
    def usage(self) -> Usage:
        """Returns the usage as the service counted it; an empty usage if the service did not count."""
        reply = self.reply or (self.fault.reply if self.fault else None)
        return reply.usage if reply else Usage()

    @property
    def request_id(self) -> str | None:
        if self.fault is not None and self.fault.request_id:
            return self.fault.request_id
        return self.reply.request_id if self.reply else None

    @property
    def free(self) -> bool:
        """Tells whether the attempt cost nothing: the request was not sent, was sent on a connection that the service
        had closed, or was refused by the service with a 4xx or for its rate."""
        fault = self.fault
        if fault is None or fault.reply is not None:
            return False
        status = fault.http_status or self.status or 0
        return fault.code in NEVER_SENT or fault.code == STALE or fault.kind == "throttled" or 400 <= status < 500


async def send_once(transport: Transport, prepared: PreparedRequest, timeouts: Timeouts, wall: float) -> AttemptResult:
    """Sends the request and reads the answer to its end. Returns a Fault in the result, and does not raise it.

    wall: seconds since the epoch, for dates in headers.
    """
    result = AttemptResult()
    try:
        async with transport.exchange(prepared.request, timeouts) as exchange:
            result.status = exchange.status
            result.hints = read(exchange.headers, wall)
            reader = _reader(prepared, exchange)
            broken = await _received(exchange, reader)
        result.reply = reply_without_keys(_reply(reader, exchange, broken))
        result.fault = prepared.check(result.reply)
    except Fault as fault:
        result.fault = fault_without_keys(fault)
    return result


async def _received(exchange: Exchange, reader: Reader) -> Fault | None:
    """Feeds the reader until the body ends. Returns the Fault that ended the body early, else None.

    The reader may have a complete answer although a Fault ended the body. A stream is left after a short silence if its
    answer is complete.
    """
    chunks = exchange.chunks()
    try:
        async for chunk in chunks:
            if reader.feed(chunk):
                break
        else:
            return None
        with anyio.move_on_after(REST_SECONDS) as silence:
            async for chunk in chunks:
                if reader.feed(chunk):
                    silence.deadline = anyio.current_time() + REST_SECONDS
    except Fault as fault:
        return fault
    return None


def _reader(prepared: PreparedRequest, exchange: Exchange) -> Reader:
    try:
        return prepared.reader(exchange.status, exchange.headers)
    except Fault:
        raise
    except Exception as error:
        raise _undecodable(exchange.status, error) from error


def _reply(reader: Reader, exchange: Exchange, broken: Fault | None) -> Reply:
    """Returns the answer if the answer is complete, even if the body was cut. Otherwise raises the fault of the
    service. If the service named no fault, raises `broken`."""
    try:
        return reader.end(complete=exchange.complete and broken is None)
    except Fault as fault:
        if broken is None or not (fault.kind in ("transient", "malformed") and fault.code.startswith("Local.")):
            raise
        broken.reply = broken.reply or fault.reply
        raise broken from None
    except Exception as error:
        raise broken or _undecodable(exchange.status, error) from error


def _undecodable(status: int, error: Exception) -> Fault:
    """Returns the fault for an error of a decoder. A bad answer never ends the run."""
    message = clean(f"the answer cannot be understood: {type(error).__name__}: {error}", 300)
    return Fault("malformed", "Local.Undecodable", message, http_status=status, retry="yes")
