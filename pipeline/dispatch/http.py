"""The transport over real HTTP, on asyncio, with aiohttp.

CPU per exchange in µs at 16 / 64 / 256 connections, on a shared 2-core machine, 1 KB prompts, 20 ms latency: httpx's
client over httpx-aiohttp 336 / 347 / 399; httpx's request over that transport without the client 215 / 184 / 204;
aiohttp alone 129 / 107 / 137. httpx's own connection pool takes 8 ms at 64 connections. With aiohttp alone, a row of
the pool takes 240 µs instead of 383. Only the repair of URLs and the TLS defaults come from httpx.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import urlsplit
from weakref import WeakSet

import aiohttp
import anyio
import httpx
import yarl

from pipeline.dispatch.addresses import PublicResolver, is_private, is_valid, private_address
from pipeline.dispatch.bodies import BodyLimit, Held, unpacked
from pipeline.dispatch.clock import add_sleeper, now, timed
from pipeline.dispatch.http_environment import environment_proxies, proxy_for, tls_context
from pipeline.dispatch.http_faults import shortage_of, wire_fault, write_timeout
from pipeline.dispatch.transport import (
    MAX_RESPONSE_BYTES,
    Timeouts,
    redirect,
    stale_connection,
    too_large,
)
from pipeline.errors import Fault
from pipeline.types import HttpRequest
from pipeline.version import version

KEEP_ALIVE_SECONDS = 30.0
"""Seconds for which an idle connection is kept. Load balancers close idle connections later (60 s is common)."""

UNBLOCKED_BYTES = 32 * 1024
"""asyncio's write buffer (64 KiB) takes a body of this size at once. The write cannot block, and needs no timer."""

_reused: ContextVar[bool] = ContextVar("_reused", default=False)


@asynccontextmanager
async def open_transport(*, max_response: int = MAX_RESPONSE_BYTES, private: bool = True) -> AsyncIterator[Http]:
    """Yields a transport over HTTP, which is closed when the block ends. Needs asyncio.

    max_response: bytes. private: requests to addresses of this machine and its networks are allowed. Otherwise these
    requests are refused (Fault `Local.PrivateAddress`), also if a name resolves to a private address. Behind a proxy,
    the proxy resolves names.

    Proxies come from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (never for loopback). Certificate authorities come
    from SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else from certifi. Only admission bounds the
    number of connections. Raises JobError for an unsupported proxy, and for certificate authorities that cannot be
    read.
    """
    http = Http(max_response, private)
    try:
        yield http
    finally:
        with anyio.CancelScope(shield=True):
            await http.aclose()


class Http:
    """A transport over sockets with one pool of connections, which are kept alive and reused."""

    def __init__(self, max_response: int, private: bool) -> None:
        self._max_response = max_response
        self._private = private
        self._body_limit = BodyLimit()
        self._context = tls_context()
        self._proxies = environment_proxies()
        known = frozenset(urlsplit(proxy).hostname or "" for proxy in self._proxies.values())
        resolver = None if private else PublicResolver(known)
        connector = _Connector(limit=0, ssl=self._context, keepalive_timeout=KEEP_ALIVE_SECONDS, resolver=resolver)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": f"multimodal-batch/{version()}"},
        )

    async def aclose(self) -> None:
        await self._session.close()

    def exchange(self, request: HttpRequest, timeouts: Timeouts) -> _Exchange:
        """Does the same as `Transport.exchange`. Leaving the block before the body's end closes the connection."""
        return _Exchange(
            self._send(request, timeouts), timeouts, self._max_response, self._body_limit, request.redirects
        )

    async def _send(self, request: HttpRequest, timeouts: Timeouts) -> aiohttp.ClientResponse:
        """Sends the request and returns the head of the response. Raises Fault."""
        _reused.set(False)
        try:
            if len(request.body) <= UNBLOCKED_BYTES:
                return await self._request(request, timeouts)
            with timed(now() + timeouts.connect + timeouts.write + timeouts.read):
                return await self._request(request, timeouts)
        except Exception as error:
            fault = shortage_of(error) or wire_fault(error, timeouts)
            if fault is None:
                raise
            if fault.code == "Local.Disconnected" and _reused.get():
                raise stale_connection() from None
            raise fault from None
        raise write_timeout(timeouts.write)

    async def _request(self, request: HttpRequest, timeouts: Timeouts) -> aiohttp.ClientResponse:
        url = _url(request.url)
        if not self._private and is_private(url.raw_host or ""):
            raise private_address(url.raw_host or "", url.raw_host or "")
        return await self._session.request(
            request.method,
            url,
            headers=[*request.headers, ("Accept-Encoding", "identity")],
            data=request.body or None,
            allow_redirects=False,
            timeout=_stages(timeouts),
            proxy=proxy_for(request.url, self._proxies),
        )


class _Connector(aiohttp.TCPConnector):
    """A connector that records for the current request whether the request's connection has served an earlier
    request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: WeakSet[Any] = WeakSet()
        add_sleeper(self)

    def slept(self, seconds: float) -> None:
        """Restarts the read timeouts, because data that arrived during the sleep is not read yet."""
        for protocol in list(self._known):
            # aiohttp has no public method for this. Without it, a sleep fails the requests in flight.
            if getattr(protocol, "_read_timeout_handle", None) is not None:
                protocol.start_timeout()

    async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's signature
        connection = await super().connect(req, traces, timeout)
        if connection.protocol in self._known:
            _reused.set(True)
        else:
            self._known.add(connection.protocol)
        return connection


class _Exchange:
    """The context manager of one exchange, which is also the response."""

    status = 0
    headers: Mapping[str, str] = {}
    complete = False

    def __init__(
        self,
        sending: Coroutine[Any, Any, aiohttp.ClientResponse],
        timeouts: Timeouts,
        max_response: int,
        body_limit: BodyLimit,
        redirects: Literal["refuse", "return"],
    ) -> None:
        self._sending = sending
        self._timeouts = timeouts
        self._max_response = max_response
        self._body_limit = body_limit
        self._redirects = redirects
        self._held = Held()

    async def __aenter__(self) -> _Exchange:
        self._response = response = await self._sending
        self.status = response.status
        self.headers = _headers(response)
        if 300 <= self.status < 400 and self._redirects == "refuse":
            response.close()
            raise redirect(self.status, self.headers.get("location", ""))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._body_limit.release(self._held)
        if not self._response.closed:
            self._response.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        source: AsyncIterator[bytes] = self._response.content.iter_any()
        if "content-encoding" in self.headers:
            source = unpacked(source, self.headers["content-encoding"])
        try:
            async for chunk in source:
                await self._body_limit.acquire(self._held, len(chunk))
                if self._held.size > self._max_response:
                    raise too_large(self._max_response)
                yield chunk
        except aiohttp.ClientError as error:
            fault = wire_fault(error, self._timeouts)
            if fault is not None and fault.code == "Local.ReadTimeout":
                raise fault from None
            return
        self.complete = True


@lru_cache(maxsize=64)
def _url(text: str) -> yarl.URL:
    """Returns a valid URL unchanged (yarl would decode some characters). Encodes the invalid characters of other
    URLs."""
    try:
        return yarl.URL(text if is_valid(text) else str(httpx.URL(text)), encoded=True)
    except (httpx.InvalidURL, ValueError) as error:
        raise Fault("rejected", "Local.InvalidUrl", f"{text.split('?')[0]}: {error}") from None


@lru_cache(maxsize=8)
def _stages(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=timeouts.connect, sock_connect=timeouts.connect, sock_read=timeouts.read
    )


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in response.raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
