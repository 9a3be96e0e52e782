"""The only file that knows httpx: real HTTP on asyncio, aiohttp carrying it.

The choice, measured side by side on a shared 2-core machine, 1 KB prompts, 20 ms latency, CPU per exchange in µs at
16 / 64 / 256 connections: httpx's client over httpx-aiohttp 336 / 347 / 399; httpx's request handed to that transport
without the client around it 215 / 184 / 204; aiohttp alone 129 / 107 / 137. All three are flat in the number of
connections; httpx's own pool is not (8 ms at 64), so it is never used. Building httpx's request and response costs as
much as sending, so that aiohttp's are used as they are: a row of the fan-out came from 383 to 240 µs. What httpx still
gives is its repair of URLs and its TLS defaults, and a move to its successor touches this file alone.
"""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
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
from pipeline.dispatch.descriptors import exhausted
from pipeline.dispatch.transport import (
    MAX_RESPONSE_BYTES,
    Timeouts,
    read_timeout,
    redirect,
    stale_connection,
    too_large,
)
from pipeline.errors import Fault, JobError
from pipeline.machine import is_scarce, pass_on, shortage
from pipeline.providers.faults import PROXY_HINT, PROXY_PASSWORD
from pipeline.types import HttpRequest
from pipeline.version import version

KEEP_ALIVE_SECONDS = 30.0
"""Below the idle times after which load balancers hang up (60 s is common), so that few connections go stale."""

UNBLOCKED_BYTES = 32 * 1024
"""A body that asyncio's write buffer (64 KiB) takes at once: writing it cannot hang, and needs no timer."""

_reused: ContextVar[bool] = ContextVar("_reused", default=False)


@asynccontextmanager
async def open_transport(*, max_response: int = MAX_RESPONSE_BYTES, private: bool = True) -> AsyncIterator[Http]:
    """Real HTTP for as long as the block lasts; needs asyncio. `private`: addresses of this machine and its networks
    may be asked; else they are refused (Fault `Local.PrivateAddress`), by name, by number and where DNS leads to them.
    Behind a proxy, the proxy looks names up.

    Proxies come from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY (never for loopback), certificate authorities
    from SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else certifi's. The number of connections
    is bounded by admission alone. Raises JobError for a proxy that is not spoken here.
    """
    http = Http(max_response, private)
    try:
        yield http
    finally:
        with anyio.CancelScope(shield=True):
            await http.aclose()


class Http:
    """Transport over sockets: one pool of connections, kept alive and reused."""

    def __init__(self, max_response: int, private: bool) -> None:
        self._max_response = max_response
        self._private = private
        self._body_limit = BodyLimit()
        self._context = _tls()
        self._proxies = _proxies()
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
        """As `Transport.exchange`. Leaving the block before the body's end closes the connection."""
        return _Exchange(
            self._send(request, timeouts), timeouts, self._max_response, self._body_limit, request.redirects
        )

    async def _send(self, request: HttpRequest, timeouts: Timeouts) -> aiohttp.ClientResponse:
        """The response's head."""
        _reused.set(False)
        try:
            if len(request.body) <= UNBLOCKED_BYTES:
                return await self._request(request, timeouts)
            with timed(now() + timeouts.connect + timeouts.write + timeouts.read):
                return await self._request(request, timeouts)
        except Exception as error:
            fault = _shortage(error) or _fault(error, timeouts)
            if fault is None:
                raise
            if fault.code == "Local.Disconnected" and _reused.get():
                raise stale_connection() from None
            raise fault from None
        raise _write_timeout(timeouts.write)

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
            proxy=_proxy_for(request.url, self._proxies),
        )


class _Connector(aiohttp.TCPConnector):
    """Notes for the request under way whether its connection has served one before."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._known: WeakSet[Any] = WeakSet()
        add_sleeper(self)

    def slept(self, seconds: float) -> None:
        """What arrived in a sleep has not been read yet: the silence is counted from now on."""
        for protocol in list(self._known):
            # aiohttp has no public word for a timer that runs; without it, a sleep costs the answers that it met.
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
    """The block of one exchange, and in it the response."""

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
            fault = _fault(error, self._timeouts)
            if fault is not None and fault.code == "Local.ReadTimeout":
                raise fault from None
            return
        self.complete = True


@lru_cache(maxsize=64)
def _url(text: str) -> yarl.URL:
    """A valid URL to the byte (yarl would decode what need not be encoded); in others what is not is encoded."""
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


def _shortage(error: Exception) -> Fault | None:
    """The fault where this machine had no descriptor or no memory for the connection."""
    if is_scarce(error) or (isinstance(error, aiohttp.ClientConnectorDNSError) and exhausted()):
        return shortage(error)
    return None


def _fault(error: Exception, timeouts: Timeouts) -> Fault | None:
    """The fault for an error of the wire, None for a bug. aiohttp's own class says more than httpx's."""
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    match cause:
        case aiohttp.ClientConnectorCertificateError():
            return Fault("account", "Local.CertificateRefused", f"{cause.host}: {cause.certificate_error}")
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return _of_proxy(cause)
        case aiohttp.ClientConnectorError():
            return _transient("ConnectFailed", f"{cause.host}:{cause.port}: {_words(cause.os_error)}")
        case aiohttp.ConnectionTimeoutError():
            return _transient("ConnectTimeout", f"no connection within {timeouts.connect:g} s (timeouts.connect)")
        case aiohttp.SocketTimeoutError():
            return read_timeout(timeouts.read)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return Fault("rejected", "Local.InvalidUrl", "the address is not an http(s) URL: correct provider.base_url")
        case aiohttp.ClientConnectionError() | ConnectionError():
            return _transient("Disconnected", f"the server hung up before answering: {_words(cause)}")
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return Fault("malformed", "Local.NotHttp", f"the answer is not HTTP: {type(cause).__name__}", retry="yes")
        case httpx.TransportError() | aiohttp.ClientError() | OSError():
            return _transient("ConnectFailed", _words(cause))
    return None


def _of_proxy(error: aiohttp.ClientError) -> Fault:
    if getattr(error, "status", None) == PROXY_PASSWORD:
        return Fault("account", "Local.ProxyFailed", f"the proxy refused the connection (HTTP 407): {PROXY_HINT}")
    return _transient("ProxyFailed", f"the proxy refused the connection: {_words(error)}")


def _transient(name: str, message: str) -> Fault:
    return Fault("transient", f"Local.{name}", message, retry="yes")


def _write_timeout(seconds: float) -> Fault:
    return _transient("WriteTimeout", f"the request could not be sent within {seconds:g} s (timeouts.write)")


def _words(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:200]


def _tls() -> ssl.SSLContext:
    """Verifies host and chain; the authorities as the environment names them."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        place = os.environ.get(name)
        if place:
            return _authorities(name, place)
    return httpx.create_ssl_context()


def _authorities(name: str, place: str) -> ssl.SSLContext:
    """Raises JobError for a file that is not there, or holds no certificates."""
    try:
        if Path(place).is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as error:  # an SSLError is one
        pass_on(error)
        reason = error.strerror or error
        raise JobError(f"{name} names {place}, from which no certificates can be read: {reason}") from None


def _proxies() -> dict[str, str]:
    """Scheme → proxy URL, from the environment. Raises JobError for schemes other than http and https."""
    found: dict[str, str] = {}
    for scheme, address in urllib.request.getproxies_environment().items():
        if scheme == "no" or not address:
            continue
        if "://" not in address:
            address = f"http://{address}"
        if not address.startswith(("http://", "https://")):
            kind = address.split("://")[0]
            raise JobError(f"{scheme.upper()}_PROXY names a {kind} proxy; only http and https proxies are supported")
        found[scheme] = address
    return found


def _proxy_for(url: str, proxies: Mapping[str, str]) -> str | None:
    if not proxies:
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _loopback(host) or urllib.request.proxy_bypass_environment(host):  # type: ignore[attr-defined]
        return None
    return proxies.get(parts.scheme) or proxies.get("all")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
