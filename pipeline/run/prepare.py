"""Turns a row into the request to send: loads media outside of the loop's thread, fits, uploads, encodes."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from pipeline.dispatch.descriptors import patiently
from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.errors import Fault, MissingExtra, refusal
from pipeline.manifest.row_media import expand_frames, has_unlisted_frames
from pipeline.media.documents import Document
from pipeline.media.video_frames import FrameList, frames_of, require_video
from pipeline.providers.body import all_media
from pipeline.providers.cost import cost
from pipeline.providers.tokens import estimate
from pipeline.run.context import JobContext
from pipeline.run.fingerprinter import Fingerprinter, loaded_key
from pipeline.run.media_loading import MediaLoader, RequestMedia
from pipeline.run.request_media import (
    blank,
    least_frames,
    most_frames,
    replaced,
    request_without_bytes,
    to_be_cut,
    uploaded,
    with_frames,
    without_bytes,
)
from pipeline.run.sharing import lasting
from pipeline.run.thread_batcher import ThreadBatcher
from pipeline.run.work_item import WorkItem, continued, in_form
from pipeline.store.lookup import Turns
from pipeline.store.records import TurnRecord
from pipeline.tasks import facts
from pipeline.tasks.quality import Gate
from pipeline.types import Loaded, Media, Reader, Reply, Request, Row, Usage


class Uploads(Protocol):
    """Uploads bytes to a place where the service reads them. Equal files are uploaded once."""

    async def url(self, media: Loaded, *, renew: bool = False) -> str:
        """Returns the URL to send instead of the bytes. `renew`: the earlier upload has expired. Raises Fault."""
        ...


class Fetch(Protocol):
    """Downloads the file of a URL, for `media.fetch = "here"`."""

    def deadline(self) -> float:
        """Returns the time, by anyio's clock, at which a row that begins now gives up its downloads."""
        ...

    async def body(self, media: Media, deadline: float) -> bytes:
        """Returns the bytes of the file, unchanged. Raises Fault."""
        ...


Claim = Callable[[WorkItem], Awaitable[bool]]


async def everything(work: WorkItem) -> bool:
    """Claims every row: for a run that sends equal questions too."""
    return True


class Preparer:
    """Prepares the rows of one run. Writes the facts that it finds about a row into the row's WorkItem.

    begun: the answers so far of conversations that an earlier run began. claim: called once for each row whose
    fingerprint is known; tells whether the row is sent. A row that is not sent is prepared as None, and the claim ends
    the row. base: the identity under the unchanged job file, if a reprocess asks with other settings. The answers of
    the reprocess then count for the rows' own fingerprints too.
    """

    def __init__(
        self,
        context: JobContext,
        fingerprinter: Fingerprinter,
        gate: Gate,
        root: str,
        uploads: Uploads | None,
        fetch: Fetch | None,
        base: Fingerprinter | None = None,
        begun: Turns = {},  # noqa: B006 - never written to
        claim: Claim = everything,
    ) -> None:
        self._context = context
        self._base = base
        self._fingerprinter = fingerprinter
        self._gate = gate
        self._root = root
        self._uploads = uploads
        self._fetch = fetch
        self._begun = begun
        self._claim = claim
        self._loaders = ThreadBatcher()
        self._loader = MediaLoader(context, root)

    async def __call__(self, work: WorkItem) -> PreparedRequest | None:
        """Returns the prepared request of a row; None if the row is not sent and the claim ends it.

        Raises Fault for a row that cannot be sent. The row's fingerprint is known then too.
        """
        request = await patiently(functools.partial(self._asked, work))
        if not await self._claim(work):
            return None
        return await patiently(functools.partial(self._sent, work, request))

    async def _renewed(self, work: WorkItem) -> PreparedRequest:
        """Prepares a row again, with fresh uploads. Raises Fault."""
        return await self._sent(work, await self._asked(work), renew=True)

    async def _asked(self, work: WorkItem) -> Request:
        """Returns the row's first question with its media. Sets the row's fingerprint. Raises Fault."""
        row = work.row
        if row.problem is not None:
            work.fingerprint = self._fingerprinter.fingerprint(row, _unasked)
            raise Fault("rejected", f"Local.{row.problem.code.removeprefix('Local.')}", row.problem.message)
        try:
            if row.frames is not None or row.contents or row.messages:
                row = await self._listed(row)
            request, loaded = await self._loaded(work, row)
        except Fault:
            work.fingerprint = work.fingerprint or await self._loaders.run(self._fingerprint_unsent, row)
            raise
        if loaded:
            work.loaded = tuple(without_bytes(media) for media in all_media(request) if isinstance(media, Loaded))

        def key(media: Media) -> str:
            return loaded_key(loaded[media])

        work.fingerprint = work.fingerprint or self._fingerprinter.fingerprint(row, key)
        if self._base is not None and (own := self._base.fingerprint(row, key)) != work.fingerprint:
            work.manifest_fingerprint = own
        return request

    async def _sent(self, work: WorkItem, request: Request, *, renew: bool = False) -> PreparedRequest:
        if (request.follow_ups or work.document is not None) and not work.turns:
            work.turns = self._answered_before(work)
        if work.document is not None:
            return await self._page(work, work.document, request, renew)
        if self._uploads is not None:
            request = await self._uploaded(self._uploads, request, renew=renew)
        return await self._turn(work, request)

    async def _page(self, work: WorkItem, document: Document, first: Request, renew: bool = False) -> PreparedRequest:
        """Returns the prepared request of the next page without an answer. `first`: the request for the first page."""
        index, request = len(work.turns), first
        if index:
            page = await self._loaders.run(self._loader.page, document, index, first)
            request = replaced(first, lambda _: page)
            work.loaded = (without_bytes(page),)
        if self._uploads is not None:
            request = await self._uploaded(self._uploads, request, renew=renew)
        prepared = self._prepared(work, request)
        if index + 1 < document.pages:
            return msgspec.structs.replace(prepared, follow=functools.partial(self._page, work, document, first))
        return prepared

    def _answered_before(self, work: WorkItem) -> tuple[TurnRecord, ...]:
        """Returns the turns of this conversation from an earlier run.

        If equal questions are asked once, the turns of an equal conversation count too.
        """
        fingerprint = work.fingerprint or ""
        own = self._begun.get((work.row.id, fingerprint))
        if own is not None or not self._context.spec.job.dedupe.equal or not lasting(work.row):
            return own or ()
        return next((turns for (_, asked), turns in self._begun.items() if asked == fingerprint), ())

    async def _turn(self, work: WorkItem, first: Request) -> PreparedRequest:
        """Returns the prepared request of the next question without an answer. `first`: the row's first question."""
        asked = continued(first, [turn.answer for turn in work.turns])
        prepared = self._prepared(work, asked)
        if asked.follow_ups:
            # Each question sends the media of the first question. So the media are held until the last question.
            return msgspec.structs.replace(prepared, follow=functools.partial(self._turn, work, first))
        return prepared

    async def _listed(self, row: Row) -> Row:
        if has_unlisted_frames(row):
            return await self._loaders.run(expand_frames, row)
        return expand_frames(row)

    async def _loaded(self, work: WorkItem, row: Row) -> tuple[Request, dict[Media | Loaded, Loaded]]:
        context = self._context
        request = context.ask(row)
        named = all_media(request)
        if not (named or row.parameters):
            return request, {}
        cut = to_be_cut(request, context)
        media = [found for found in dict.fromkeys(named) if isinstance(found, Media) and found not in cut]
        here = [found for found in media if found.url is None]
        if here or cut or self._fetch is not None or row.parameters:
            # An error in the question itself is found here, before a picture is read. Without media to read, encoding
            # finds the error.
            asked = with_frames(request, {found: blank(found, context) for found in cut}, context)
            context.provider.check(asked, context.model, context.endpoint)
        deadline = math.inf if self._fetch is None else self._fetch.deadline()
        into = RequestMedia(request)
        if here:
            work.stat_key = await self._loaders.run(self._load_files, row, here, into)
        for found in media:
            if self._fetch is not None and found.url is not None and found.url.startswith(("http://", "https://")):
                body = await self._fetch.body(found, deadline)
                await self._loaders.run(self._loader.load, into, found, body)
            elif found.url is not None:
                self._loader.load(into, found)
        loaded = into.loaded
        if into.documents:
            request = await self._loaders.run(self._loader.with_pages, into)
            work.document = next(iter(into.documents.values())) if facts(request.task).pages == "each" else None
            if work.document is not None and context.answer is not None:
                raise refusal(
                    "AnswerPages", "[answer] takes one reply a row, and each page is asked by itself: use ask"
                )
        if cut:
            request = await self._cut(work, row, request, cut, loaded, deadline)
        return replaced(request, lambda found: loaded.get(found, found)), loaded

    async def _cut(
        self,
        work: WorkItem,
        row: Row,
        request: Request,
        cut: Mapping[Media, Mapping[str, Any]],
        loaded: dict[Media | Loaded, Loaded],
        deadline: float,
    ) -> Request:
        """Returns the request with frames in the place of the video files in `cut`. Puts the loaded videos, with their
        hashes, into `loaded`."""
        try:
            require_video()
        except MissingExtra as error:
            raise refusal("MissingExtra", str(error)) from None
        work.stat_key = work.stat_key or await self._loaders.run(self._fingerprinter.stat_key, row)
        taken: dict[Media | Loaded, FrameList] = {}
        for video, options in cut.items():
            body = None
            if self._fetch is not None and video.url is not None:
                body = await self._fetch.body(video, deadline)
            most, least = most_frames(self._context, options), least_frames(self._context)
            take = functools.partial(frames_of, video, body, most=most, least=least)
            by, pixels = self._context.spec.job.media.frames_by, self._loader.limits(request)["image"].frame_pixels
            loaded[video], taken[video] = await self._loaders.run(
                functools.partial(take, by=by, max_pixels=pixels, confine=self._root)
            )
        return with_frames(request, taken, self._context)

    def _load_files(self, row: Row, files: list[Media], into: RequestMedia) -> str | None:
        """Loads the row's files. Returns the stat key, which is taken before the files are read. Blocking.

        So if a file changes in the meantime, a later run reads the file again.
        """
        stamp = self._fingerprinter.stat_key(row)
        for media in files:
            self._loader.load(into, media)
        return stamp

    async def _uploaded(self, uploads: Uploads, request: Request, *, renew: bool) -> Request:
        async def upload(media: Loaded) -> Loaded:
            return msgspec.structs.replace(media, url=await uploads.url(media, renew=renew), body=None)

        return await uploaded(request, upload)

    def _prepared(self, work: WorkItem, request: Request) -> PreparedRequest:
        context = self._context
        request = in_form(request)
        http = context.provider.encode(request, context.model, context.endpoint)
        work.request = request = request_without_bytes(request)
        content = work.fingerprint or ""

        def reader(status: int, headers: Mapping[str, str]) -> Reader:
            return context.provider.reader(request, context.model, status, headers)

        def price(usage: Usage) -> tuple[float | None, str | None]:
            return (None, None) if context.spec.offline else cost(usage, context.model, request)

        def check(reply: Reply) -> Fault | None:
            return self._gate(reply, request, content)

        return PreparedRequest(
            request=http,
            reader=reader,
            tokens=estimate(request, context.model),
            worst_cost=context.reserved(request),
            price=price,
            check=check,
            renew=functools.partial(self._renewed, work) if self._uploads is not None else None,
        )

    def _fingerprint_unsent(self, row: Row) -> str:
        """Returns the fingerprint of a row if some of its media cannot be sent. Blocking."""
        return unsent_fingerprint(self._fingerprinter, row, self._root)


def unsent_fingerprint(fingerprinter: Fingerprinter, row: Row, root: str) -> str:
    """Returns the fingerprint by the bytes of the local files, even if the bytes are no pictures. Blocking.

    For a file that cannot be read, the reason counts. So the row is new again when the reason changes.
    """

    def key(media: Media) -> str:
        try:
            return fingerprinter.file_key(media, root)
        except Fault as fault:
            return f"unreadable:{fault.code}"

    try:
        return fingerprinter.fingerprint(expand_frames(row), key)
    except Fault as fault:
        return fingerprinter.broken(row, fault.code)


def _unasked(media: Media) -> str:
    raise refusal("NotAsked", "a row with a problem has no media")
