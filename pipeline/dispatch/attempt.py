"""One trip on the wire: the request goes out, the answer is read, and what came of it is written down.

This is the border that a service's words pass: the key goes no further, in whatever field it is said back.
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
"""How long the rest of a stream is waited for once its answer is whole: usage, end mark and the end of the connection
follow at once, while some servers keep the connection open with comments for ever."""


class AttemptResult(msgspec.Struct, kw_only=True):
    """What one trip came to: a reply, a fault, or a fault with the reply it is about."""

    reply: Reply | None = None
    fault: Fault | None = None
    status: int | None = None
    hints: Hints = NOTHING

    @property
    def usage(self) -> Usage:
        """As the service counted; empty when it did not."""
        reply = self.reply or (self.fault.reply if self.fault else None)
        return reply.usage if reply else Usage()

    @property
    def request_id(self) -> str | None:
        if self.fault is not None and self.fault.request_id:
            return self.fault.request_id
        return self.reply.request_id if self.reply else None

    @property
    def free(self) -> bool:
        """It cost nothing: it never left, it left on a connection that the service had closed, or the service refused
        it for its form or its rate."""
        fault = self.fault
        if fault is None or fault.reply is not None:
            return False
        status = fault.http_status or self.status or 0
        return fault.code in NEVER_SENT or fault.code == STALE or fault.kind == "throttled" or 400 <= status < 500


async def send_once(transport: Transport, prepared: PreparedRequest, timeouts: Timeouts, wall: float) -> AttemptResult:
    """Sends and reads to the end; every fault is a value. `wall`: seconds since the epoch, for dates in headers."""
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
    """Feeds the reader until the body ends. Returns what ended it before: a silence, a bound; the reader may have an
    answer all the same. A stream whose answer is whole is left when nothing of it comes any more."""
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
    """The answer, also of a body that did not end, if it is whole. What the service said goes before `broken`."""
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
    """Whatever a decoder leaks is the answer's fault, never the run's end."""
    message = clean(f"the answer cannot be understood: {type(error).__name__}: {error}", 300)
    return Fault("malformed", "Local.Undecodable", message, http_status=status, retry="yes")
