"""Uploads of local files to DashScope: one certificate for many files, one upload for equal files."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from pipeline.dispatch.retry import GiveUp, Past, decide, retrying
from pipeline.dispatch.transport import Response, Timeouts, Transport, read_all
from pipeline.errors import Fault
from pipeline.providers.upload_wire import (
    OBJECT_SECONDS,
    Certificate,
    certificate_request,
    check_upload,
    object_url,
    read_certificate,
    upload_request,
)
from pipeline.types import Endpoint, HttpRequest, Loaded

R = TypeVar("R")

KEPT_SECONDS = OBJECT_SECONDS - 3600.0
"""An upload is not used in the last hour before the service deletes the upload, because a row may wait long before it
is sent."""
RENEWED_SECONDS = 30.0
CERTIFICATE_MARGIN_SECONDS = 60.0
MOST_REMEMBERED = 20_000
ATTEMPTS = 4
PATIENCE_SECONDS = 300.0


class Uploads:
    """The uploads for one (endpoint, model). The model that is named at the upload must be the model that is called.

    Uploads need no admission and are no attempts: certificates have a quota of their own (100 a second).
    """

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        model_name: str,
        timeouts: Timeouts | None = None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._model_name = model_name
        self._timeouts = timeouts or Timeouts()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self._certificate: tuple[Certificate, float] | None = None
        self._lock: anyio.Lock | None = None
        self._files: OrderedDict[str, _File] = OrderedDict()

    async def url(self, media: Loaded, *, renew: bool = False) -> str:
        """Returns the `oss://` reference to send instead of the bytes. Raises Fault.

        Equal files are uploaded once, also at the same time. A reference is reused until an hour before it expires.
        renew: the service does not know the reference any more. Several rows may report this about one file, so a
        reference younger than half a minute is kept. After transient faults, up to four attempts are made.
        """
        if renew:
            self._forget(_digest(media))
        return await self._reference(media)

    def _forget(self, digest: str) -> None:
        file = self._files.get(digest)
        if file is not None and file.url is not None and anyio.current_time() - file.since > RENEWED_SECONDS:
            del self._files[digest]

    async def _reference(self, loaded: Loaded) -> str:
        digest = _digest(loaded)
        while True:
            file = self._files.get(digest)
            if file is None or (file.url is not None and anyio.current_time() - file.since >= KEPT_SECONDS):
                return await self._fresh(digest, loaded)
            if file.url is not None:
                self._files.move_to_end(digest)
                return file.url
            await file.ready.wait()

    async def _fresh(self, digest: str, loaded: Loaded) -> str:
        """Uploads the file. If the upload fails, each row that waits for the upload tries the upload itself."""
        file = self._files[digest] = _File()
        try:
            file.url = await self._patiently(lambda: self._upload(loaded))
            file.since = anyio.current_time()
        finally:
            if file.url is None:
                del self._files[digest]
            file.ready.set()
        while len(self._files) > MOST_REMEMBERED:
            self._files.popitem(last=False)
        return file.url

    async def _upload(self, loaded: Loaded) -> str:
        certificate = await self._certified()
        unique = secrets.token_hex(8)
        response = await self._send(upload_request(certificate, loaded, unique))
        fault = check_upload(response.status, response.body)
        if fault is None:
            return object_url(certificate, loaded, unique)
        if fault.retry == "upload":
            self._certificate = None
        raise fault

    async def _certified(self) -> Certificate:
        if self._lock is None:
            self._lock = anyio.Lock()
        async with self._lock:
            now = anyio.current_time()
            if self._certificate is None or now >= self._certificate[1]:
                response = await self._send(certificate_request(self._endpoint, self._model_name))
                certificate = read_certificate(response.status, response.headers, response.body)
                margin = min(CERTIFICATE_MARGIN_SECONDS, certificate.expires_in / 2)
                self._certificate = (certificate, now + certificate.expires_in - margin)
            return self._certificate[0]

    async def _send(self, request: HttpRequest) -> Response:
        response = await read_all(self._transport, request, self._timeouts)
        if not response.complete:
            raise Fault("transient", "Local.Disconnected", "the answer to an upload was cut", retry="yes")
        return response

    async def _patiently(self, step: Callable[[], Awaitable[R]]) -> R:
        """Runs a step with its retries."""
        began = anyio.current_time()
        state = {"attempts": 0, "once": 0, "seconds": 0.0}

        def again(error: BaseException) -> bool:
            if not isinstance(error, Fault):
                return False
            state["attempts"] += 1
            past = Past(
                attempts=int(state["attempts"]),
                once=int(state["once"]),
                remaining=began + PATIENCE_SECONDS - anyio.current_time(),
            )
            decision = decide(error, past, attempts=ATTEMPTS, retry_after=error.retry_after, rng=self._rng)
            if isinstance(decision, GiveUp):
                return False
            state["once"] += error.retry in ("once", "upload")
            state["seconds"] = decision.seconds
            return True

        return await retrying(step, wanted=again, pause=lambda: state["seconds"])


class _File:
    """One file. `url` is None while the file is being uploaded."""

    __slots__ = ("ready", "since", "url")

    def __init__(self) -> None:
        self.url: str | None = None
        self.since = 0.0
        self.ready = anyio.Event()


def _digest(loaded: Loaded) -> str:
    """Returns a hash of the fitted bytes, with the media type."""
    body = loaded.body or b""
    content = hashlib.blake2b(body, digest_size=16).hexdigest()
    return f"{content}:{loaded.mime}"
