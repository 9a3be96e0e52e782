"""The one call of `pipeline doctor JOB`: the smallest question to the job's model, and what its answer tells.

The call goes the way of a row: the same address, headers, proxy, authorities and decoder. It costs a few tokens.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import anyio

from pipeline.dispatch.attempt import AttemptResult, send_once
from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.dispatch.transport import Exchange, Timeouts, Transport, total_timeout
from pipeline.errors import Fault, PipelineError
from pipeline.providers.hints import Hints
from pipeline.run import connect
from pipeline.run.context import JobContext
from pipeline.run.environment import Finding
from pipeline.types import EmbedItem, HttpRequest, Image, Loaded, Part, Request, Text, Turn

MOST_TOKENS = 16
LONGEST = 60.0
"""Seconds that the answer may take."""
MOST_SKEW = 60.0
"""Seconds that the clocks may differ: signatures of uploads and certificates of hosts are checked against the clock."""
SIDE = 32
"""Pixels of the picture for a model that refuses a question without one."""


def call_findings(context: JobContext) -> Iterator[Finding]:
    """Makes the call. Blocking."""
    noting = _Noting()
    began = time.monotonic()
    try:
        result = anyio.run(_called, context, noting, backend="asyncio")
    except PipelineError as error:  # a proxy or an authority of the environment
        yield Finding("problem", "network", str(error))
        return
    seconds = time.monotonic() - began
    if result.fault is not None:
        yield _refused(context, result.fault)
    else:
        yield Finding("ok", "call", f"{context.model.name} answered in {seconds:.1f} s at {context.endpoint.base_url}")
    yield from _clock(noting.headers)
    if result.fault is None:
        yield _quota(result.hints)


async def _called(context: JobContext, noting: _Noting) -> AttemptResult:
    async with connect.transport(context) as wire:
        noting.wire = wire
        try:
            prepared = await _prepared(context, wire)
        except Fault as fault:
            return AttemptResult(fault=fault)
        with anyio.move_on_after(LONGEST):
            return await send_once(noting, prepared, context.spec.job.timeouts, time.time())
        return AttemptResult(fault=total_timeout(LONGEST))


async def _prepared(context: JobContext, wire: Transport) -> PreparedRequest:
    request = Request(
        task=context.spec.job.task,
        capability=context.task.FACTS.capability,
        model=context.model.name,
        parameters=_parameters(context),
        stream=bool(context.model.stream_only),
        **await _question(context, wire),
    )
    return PreparedRequest(
        request=context.provider.encode(request, context.model, context.endpoint),
        reader=lambda status, headers: context.provider.reader(request, context.model, status, headers),
    )


async def _question(context: JobContext, wire: Transport) -> dict[str, Any]:
    if context.task.FACTS.embeds:
        return {"items": (EmbedItem(part=Text("ok")),)}
    parts: list[Part] = [Text("Say ok.")]
    if context.model.needs_image or context.model.text is False:
        picture = Loaded(kind="image", source="doctor", body=_png(), mime="image/png", width=SIDE, height=SIDE)
        uploads = connect.uploads(context, wire)
        if uploads is not None:
            picture = Loaded(kind="image", source="doctor", url=await uploads.url(picture), width=SIDE, height=SIDE)
        parts.insert(0, Image(picture))
    return {"turns": (Turn(role="user", parts=tuple(parts)),)}


def _parameters(context: JobContext) -> Mapping[str, Any]:
    """Returns the job's own parameters, with a bound on the answer's tokens."""
    parameters = dict(context.spec.job.provider.parameters)
    if context.task.FACTS.embeds:
        return parameters
    names = context.model.output_names or ("max_tokens",)
    for name in names:
        parameters.pop(name, None)
    return {**parameters, names[0]: MOST_TOKENS}


class _Noting:
    """A transport that keeps the headers of the answer."""

    def __init__(self) -> None:
        self.wire: Transport | None = None
        self.headers: Mapping[str, str] = {}

    def exchange(self, request: HttpRequest, timeouts: Timeouts) -> AbstractAsyncContextManager[Exchange]:
        return self._exchange(request, timeouts)

    @asynccontextmanager
    async def _exchange(self, request: HttpRequest, timeouts: Timeouts) -> AsyncIterator[Exchange]:
        assert self.wire is not None
        async with self.wire.exchange(request, timeouts) as exchange:
            self.headers = exchange.headers
            yield exchange


def _refused(context: JobContext, fault: Fault) -> Finding:
    place = context.endpoint.base_url
    text = f"{place} does not answer the model {context.model.name}: {fault.code}: {fault.message}"
    return Finding("problem", "call", text, _mend(context, fault))


def _mend(context: JobContext, fault: Fault) -> str:
    """Returns what most likely mends a call that got no answer."""
    section = context.spec.job.provider
    if fault.code == "Local.ProxyFailed":
        return "see to HTTPS_PROXY, or name the host in NO_PROXY"
    if fault.code == "Local.CertificateRefused":
        return "name your organisation's authorities in SSL_CERT_FILE, or see to the machine's clock"
    if fault.code in ("Local.ConnectFailed", "Local.ConnectTimeout"):
        return "see to provider.base_url and to the network; behind a proxy, set HTTPS_PROXY"
    if fault.http_status in (401, 403):
        where = "the key file" if section.api_key_file else (section.api_key_env or context.provider.KEY_ENV)
        return f"see to the key in {where}; a key holds for the region of its address (provider.base_url) alone"
    if fault.http_status == 404:
        return "see to provider.model, and to the path of provider.base_url; `pipeline models` lists known names"
    if fault.kind == "throttled":
        return "wait until the quota is free again; another run of the account may use it"
    if fault.kind == "account":
        return "see to the account at the service: balance, model access, region"
    return "see what the service says; `pipeline run --limit 1` tries a row"


def _clock(headers: Mapping[str, str]) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return
    off = time.time() - there
    if abs(off) > MOST_SKEW:
        way = "ahead of" if off > 0 else "behind"
        text = f"the clock of this machine is {abs(off) / 60:,.0f} min {way} the service's"
        yield Finding("problem", "clock", text, "set the clock by the network: timedatectl set-ntp true")
    else:
        yield Finding("ok", "clock", "the clock agrees with the service's")


def _quota(hints: Hints) -> Finding:
    told = [f"{hints.limit:,.0f} requests"] if hints.limit is not None else []
    told += [f"{hints.token_limit:,.0f} tokens"] if hints.token_limit is not None else []
    told += [f"{hints.slots:,.0f} requests in flight"] if hints.slots is not None else []
    if told:
        return Finding("ok", "quota", f"the service names its quota: {', '.join(told)}")
    return Finding("ok", "quota", "the service names no quota: a run finds the quota by itself")


def _png() -> bytes:
    """A grey PNG of SIDE × SIDE pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * SIDE) * SIDE
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
