"""One trip on the wire: the request goes out, the answer is read, and what came of it is written down."""

from __future__ import annotations

import msgspec

from pipeline.dispatch.prepared import Prepared
from pipeline.dispatch.transport import Exchange, Timeouts, Transport
from pipeline.errors import Fault
from pipeline.providers.hints import NOTHING, Hints, read
from pipeline.types import Reader, Reply, Usage

NEVER_SENT = frozenset(
    f"Local.{name}"
    for name in ("ConnectTimeout", "ConnectFailed", "ProxyFailed", "InvalidUrl", "CertificateRefused", "TooManyTokens")
)


class Outcome(msgspec.Struct, kw_only=True):
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
        """It certainly cost nothing: it never left, or the service refused it for its form or its rate."""
        fault = self.fault
        if fault is None or fault.reply is not None:
            return False
        status = fault.http_status or self.status or 0
        return fault.code in NEVER_SENT or fault.kind == "throttled" or 400 <= status < 500


async def travel(transport: Transport, prepared: Prepared, timeouts: Timeouts, wall: float) -> Outcome:
    """Sends and reads to the end; every fault is a value. `wall`: seconds since the epoch, for dates in headers."""
    outcome = Outcome()
    try:
        async with transport.exchange(prepared.request, timeouts) as exchange:
            outcome.status = exchange.status
            outcome.hints = read(exchange.headers, wall)
            reader = _reader(prepared, exchange)
            async for chunk in exchange.chunks():
                reader.feed(chunk)
        outcome.reply = _reply(reader, exchange)
        outcome.fault = prepared.check(outcome.reply)
    except Fault as fault:
        outcome.fault = fault
    return outcome


def _reader(prepared: Prepared, exchange: Exchange) -> Reader:
    try:
        return prepared.reader(exchange.status, exchange.headers)
    except Fault:
        raise
    except Exception as error:
        raise _undecodable(exchange.status, error) from error


def _reply(reader: Reader, exchange: Exchange) -> Reply:
    try:
        return reader.end(complete=exchange.complete)
    except Fault:
        raise
    except Exception as error:
        raise _undecodable(exchange.status, error) from error


def _undecodable(status: int, error: Exception) -> Fault:
    """Whatever a decoder leaks is the answer's fault, never the run's end."""
    message = f"the answer cannot be understood: {type(error).__name__}: {error}"[:300]
    return Fault("malformed", "Local.Undecodable", message, http_status=status, retry="yes")
