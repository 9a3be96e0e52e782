"""Loads pictures and sounds behind http(s) URLs, for `media.fetch = "here"`."""

from __future__ import annotations

import functools
from typing import Literal

import anyio.to_thread

from pipeline.dispatch.transport import Timeouts, Transport
from pipeline.errors import Fault, refusal
from pipeline.manifest.load import from_bytes
from pipeline.manifest.refs import public
from pipeline.types import HttpRequest, Loaded, Media, MediaLimits


class Fetch:
    """Fetches over the run's HTTP transport: without a key, bounded in bytes as every answer is."""

    def __init__(
        self, transport: Transport, timeouts: Timeouts, resize: Literal["fit", "off"], *, upright: bool
    ) -> None:
        self._transport = transport
        self._timeouts = timeouts
        self._resize = resize
        self._upright = upright

    async def __call__(self, media: Media, limits: MediaLimits) -> Loaded:
        """What is sent for a URL, as for a local file. Raises Fault: transient for what may clear, else rejected."""
        body = await self.body(media)
        fit = functools.partial(from_bytes, body, media, limits, resize=self._resize, upright=self._upright)
        return await anyio.to_thread.run_sync(fit)

    async def body(self, media: Media) -> bytes:
        """The bytes behind a URL. Raises Fault: transient for what may clear, else rejected."""
        name = public(media)
        try:
            async with self._transport.exchange(
                HttpRequest(method="GET", url=media.url or ""), self._timeouts
            ) as answer:
                if answer.status != 200:
                    raise _refused(name, answer.status)
                body = b"".join([chunk async for chunk in answer.chunks()])
        except Fault as fault:
            if fault.code == "Local.Redirect":
                raise refusal("Redirect", f"{name}: the server sends us elsewhere; write that address") from None
            raise
        if not answer.complete:
            raise Fault("transient", "Local.CutDownload", f"{name}: the download was cut", retry="yes")
        return body


def _refused(name: str, status: int) -> Fault:
    message = f"{name}: the server answers HTTP {status}"
    if status == 429 or status >= 500 or status == 408:
        return Fault("transient", "Local.DownloadFailed", message, retry="yes", http_status=status)
    return refusal("DownloadFailed", message)
