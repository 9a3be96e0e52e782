"""Downloads pictures, sounds and videos from http(s) URLs, for `media.fetch = "here"`."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from urllib.parse import urljoin

import anyio
import msgspec

from pipeline.dispatch.retry import Again, Past, decide, retrying
from pipeline.dispatch.transport import Exchange, Timeouts, Transport
from pipeline.errors import Fault, refusal
from pipeline.media.redact import public
from pipeline.providers import hints
from pipeline.types import HttpRequest, Media

MOST_REDIRECTS = 5
MOST_AT_ONCE = 64
"""The most downloads at the same time. Further rows wait for their turn."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Aside = Callable[[], AbstractAsyncContextManager[object]]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of downloads. `attempts` and `deadline` (seconds, over all downloads of a row) come from the job's
    [retry]."""

    timeouts: Timeouts = Timeouts()
    attempts: int = 6
    deadline: float = 600.0


class Fetch:
    """Downloads over its own transport, without a key. A download has the same bound in bytes as an answer.

    aside: opens a block in which a row waits for a host. Other rows are prepared in the meantime.
    """

    def __init__(self, transport: Transport, rules: Rules, aside: Aside = nullcontext) -> None:
        self._transport = transport
        self._rules = rules
        self._aside = aside
        self._rng = random.Random()  # noqa: S311 - jitter
        self._room = anyio.CapacityLimiter(MOST_AT_ONCE)

    def deadline(self) -> float:
        """Returns the time, by anyio's clock, at which a row that begins now gives up its downloads."""
        return anyio.current_time() + self._rules.deadline

    async def body(self, media: Media, deadline: float) -> bytes:
        """Returns the bytes of a URL. Repeats a failed download by the rules until `deadline`.

        Raises Fault: transient if the reason may pass, else rejected.
        """
        async with self._room, self._aside():
            return await _Download(self._transport, self._rules, media, deadline, self._rng).run()


class _Download:
    """The download of one URL, with its tries."""

    def __init__(self, transport: Transport, rules: Rules, media: Media, deadline: float, rng: random.Random) -> None:
        self._transport = transport
        self._rules = rules
        self._name = public(media)
        self._url = media.url or ""
        self._deadline = deadline
        self._rng = rng
        self._tries = self._once = 0
        self._pause = 0.0
        self._last: Fault | None = None

    async def run(self) -> bytes:
        with anyio.CancelScope(deadline=self._deadline):
            return await retrying(self._try, wanted=self._wanted, pause=lambda: self._pause)
        message = f"{self._name}: the row's deadline of {self._rules.deadline:g} s (retry.deadline) came"
        raise self._last or Fault("transient", "Local.Deadline", message)

    async def _try(self) -> bytes:
        self._tries += 1
        try:
            with anyio.move_on_after(self._rules.timeouts.total):
                return await self._followed()
            seconds = f"{self._rules.timeouts.total:g} s (timeouts.total)"
            raise _passing("TotalTimeout", f"{self._name}: not downloaded within {seconds}")
        except Fault as fault:
            self._last = fault.without_traceback()
            raise

    def _wanted(self, error: BaseException) -> bool:
        if not isinstance(error, Fault):
            return False
        remaining = self._deadline - anyio.current_time()
        past = Past(attempts=self._tries, once=self._once, remaining=remaining)
        attempts, asked = self._rules.attempts, error.retry_after
        decision = decide(error, past, attempts=attempts, retry_after=asked, rng=self._rng, isolated=True)
        self._once += error.retry == "once"
        if isinstance(decision, Again):
            self._pause = decision.seconds
        return isinstance(decision, Again)

    async def _followed(self) -> bytes:
        url = self._url
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._got(url)
            if isinstance(found, bytes):
                return found
            url = _target(self._name, url, found.location)
        raise refusal("Redirect", f"{self._name}: more than {MOST_REDIRECTS} redirects")

    async def _got(self, url: str) -> bytes | _Moved:
        request = HttpRequest(method="GET", url=url, redirects="return")
        try:
            async with self._transport.exchange(request, self._rules.timeouts) as answer:
                if answer.status in _REDIRECTS:
                    return _Moved(answer.headers.get("location", ""))
                if answer.status != 200:
                    raise _failed(self._name, answer)
                body = b"".join([chunk async for chunk in answer.chunks()])
        except Fault as fault:
            raise _of_host(self._name, fault) from None
        if not answer.complete:
            raise _passing("CutDownload", f"{self._name}: the download was cut")
        return body


class _Moved(msgspec.Struct, frozen=True):
    location: str


def _target(name: str, url: str, location: str) -> str:
    """Returns the address that a redirect leads to. Raises Fault if the address is not http or https.

    `location`: the text of the header, not decoded.
    """
    if not location.strip():
        raise refusal("Redirect", f"{name}: the host redirects to nowhere")
    target = urljoin(url, location.strip())
    if not target.lower().startswith(("http://", "https://")):
        scheme = target.partition(":")[0]
        raise refusal(
            "Redirect", f"{name}: the host redirects to a {scheme}: address; only http and https are followed"
        )
    return target


def _failed(name: str, answer: Exchange) -> Fault:
    status = answer.status
    message = f"{name}: the host answers HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return _passing("DownloadFailed", message, status, hints.read(answer.headers).retry_after)
    return Fault("rejected", "Local.DownloadFailed", message, http_status=status)


def _passing(code: str, message: str, status: int | None = None, wait: float | None = None) -> Fault:
    return Fault("transient", f"Local.{code}", message, retry="yes", http_status=status, retry_after=wait)


def _of_host(name: str, fault: Fault) -> Fault:
    """Returns a fault of the transport as a fault of this file.

    For example, the host's bad certificate says nothing about the service's account.
    """
    if fault.code == "Local.ResponseTooLarge":
        return refusal("TooLarge", f"{name}: {fault.message.replace('the answer', 'the file')}")
    if fault.code == "Local.InvalidUrl":
        return refusal("InvalidUrl", f"{name}: not an http(s) URL")
    if fault.kind == "account":
        return refusal(fault.code.removeprefix("Local."), f"{name}: {fault.message}")
    message = fault.message if fault.message.startswith(name) else f"{name}: {fault.message}"
    return Fault(
        fault.kind, fault.code, message, retry=fault.retry, http_status=fault.http_status, retry_after=fault.retry_after
    )
