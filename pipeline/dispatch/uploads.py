"""Brings local files to where DashScope reads them: one certificate for many files, one upload for equal files."""

from __future__ import annotations

import random
import secrets
from collections import OrderedDict

import anyio

from pipeline.dispatch.transport import Timeouts, Transport, whole
from pipeline.errors import Fault
from pipeline.providers.uploads import (
    OBJECT_SECONDS,
    Certificate,
    certificate_request,
    check_upload,
    object_url,
    read_certificate,
    upload_request,
)
from pipeline.types import Endpoint, Loaded

CERTIFICATE_MARGIN = 30.0
"""Seconds before its expiry from which a certificate is no longer begun with: an upload takes its time."""
OBJECT_MARGIN = 3600.0
"""Seconds before its expiry from which an object is not named any more: a request may wait for hours."""
REMEMBERED = 20_000
"""Objects remembered, some 4 MB; a file seen again later is uploaded again."""
ATTEMPTS = 4

Key = tuple[str | None, str | None, int]


class Uploads:
    """The uploads of one account and model. Certificates and objects are reused until shortly before they expire."""

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        model: str,
        timeouts: Timeouts,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._model = model
        self._timeouts = timeouts
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._objects: OrderedDict[Key, tuple[str, float]] = OrderedDict()
        self._flying: dict[Key, anyio.Event] = {}
        self._certificate: tuple[Certificate, float] | None = None
        self._certificate_lock = anyio.Lock()

    async def url(self, media: Loaded, *, renew: bool = False) -> str:
        """The `oss://` URL of `media`, uploaded if need be; callers with equal files wait for one upload.

        renew: the URL given before was refused as expired. Raises Fault: the service's words after the retries.
        """
        key = (media.sha256, media.mime, len(media.body or b""))
        if renew:
            self._objects.pop(key, None)
            self._certificate = None
        while (event := self._flying.get(key)) is not None:
            await event.wait()
        known = self._objects.get(key)
        if known is not None and known[1] > anyio.current_time():
            self._objects.move_to_end(key)
            return known[0]
        self._flying[key] = event = anyio.Event()
        try:
            url = await self._uploaded(media)
        finally:
            del self._flying[key]
            event.set()
        self._objects[key] = (url, anyio.current_time() + OBJECT_SECONDS - OBJECT_MARGIN)
        while len(self._objects) > REMEMBERED:
            self._objects.popitem(last=False)
        return url

    async def _uploaded(self, media: Loaded) -> str:
        """Uploads with a few attempts of its own: the row's attempts count trips to the model."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(media)
            except Fault as fault:
                if fault.retry == "no" or attempt == ATTEMPTS:
                    raise
                if fault.retry == "upload":
                    self._certificate = None
                pause = fault.retry_after or self._rng.uniform(0.5, 1.0) * 2 ** (attempt - 1)
            await anyio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, media: Loaded) -> str:
        certificate = await self._certified()
        # Unique for each upload: OSS refuses to overwrite, and two files may have one name.
        unique = secrets.token_hex(8)
        response = await whole(self._transport, upload_request(certificate, media, unique), self._timeouts)
        fault = check_upload(response.status, response.body)
        if fault is not None:
            raise fault
        return object_url(certificate, media, unique)

    async def _certified(self) -> Certificate:
        async with self._certificate_lock:
            now = anyio.current_time()
            if self._certificate is None or self._certificate[1] <= now:
                request = certificate_request(self._endpoint, self._model)
                response = await whole(self._transport, request, self._timeouts)
                certificate = read_certificate(response.status, response.headers, response.body)
                self._certificate = (certificate, now + max(1.0, certificate.expires_in - CERTIFICATE_MARGIN))
            return self._certificate[0]
