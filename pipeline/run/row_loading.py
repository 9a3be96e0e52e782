"""Loads a row: its question with all media, from files, URLs and videos, outside of the loop's thread."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from pipeline.errors import Fault, MissingExtra, refusal
from pipeline.manifest.row_media import expand_frames, has_unlisted_frames
from pipeline.media.documents import Document
from pipeline.media.video_frames import FrameList, FrameOptions, frames_of, require_video
from pipeline.providers.body import all_media
from pipeline.run.context import JobContext
from pipeline.run.fetch import Fetch
from pipeline.run.fingerprinter import Fingerprinter, loaded_key
from pipeline.run.media_loading import MediaLoader, RequestMedia
from pipeline.run.request_media import blank, least_frames, most_frames, replaced, to_be_cut, with_frames, without_bytes
from pipeline.run.thread_batcher import ThreadBatcher
from pipeline.run.work_item import WorkItem
from pipeline.tasks import facts
from pipeline.types import Loaded, Media, Request, Row


class RowLoader:
    """Loads the rows of one run. Writes the facts that it finds about a row into the row's WorkItem.

    root: the manifest's folder. fetch: downloads URLs, for `media.fetch = "here"`. base: the identity under the
    unchanged job file, if a reprocess asks with other settings. The answers of the reprocess then count for the rows'
    own fingerprints too.
    """

    def __init__(
        self,
        context: JobContext,
        fingerprinter: Fingerprinter,
        root: str,
        fetch: Fetch | None = None,
        base: Fingerprinter | None = None,
    ) -> None:
        self._context = context
        self._fingerprinter = fingerprinter
        self._root = root
        self._fetch = fetch
        self._base = base
        self._threads = ThreadBatcher()
        self._files = MediaLoader(context, root)

    async def load(self, work: WorkItem) -> Request:
        """Returns the row's first question with its media. Sets the row's fingerprint.

        Raises Fault for a row that cannot be sent. The row's fingerprint is known then too.
        """
        row = work.row
        if row.problem is not None:
            work.fingerprint = self._fingerprinter.fingerprint(row, _unasked)
            raise Fault("rejected", f"Local.{row.problem.code.removeprefix('Local.')}", row.problem.message)
        try:
            if row.frames is not None or row.contents or row.messages:
                row = await self._listed(row)
            request, loaded = await self._loaded(work, row)
        except Fault:
            work.fingerprint = work.fingerprint or await self._threads.run(self._fingerprinter.unsent, row, self._root)
            raise
        if loaded:
            work.loaded = tuple(without_bytes(media) for media in all_media(request) if isinstance(media, Loaded))

        def key(media: Media) -> str:
            return loaded_key(loaded[media])

        work.fingerprint = work.fingerprint or self._fingerprinter.fingerprint(row, key)
        if self._base is not None and (own := self._base.fingerprint(row, key)) != work.fingerprint:
            work.manifest_fingerprint = own
        return request

    async def page(self, document: Document, index: int, request: Request) -> Loaded:
        """Returns a page of a document. See `MediaLoader.page`."""
        return await self._threads.run(self._files.page, document, index, request)

    async def _listed(self, row: Row) -> Row:
        if has_unlisted_frames(row):
            return await self._threads.run(expand_frames, row)
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
            work.stat_key = await self._threads.run(self._load_files, row, here, into)
        for found in media:
            if self._fetch is not None and found.url is not None and found.url.startswith(("http://", "https://")):
                body = await self._fetch.body(found, deadline)
                await self._threads.run(self._files.load, into, found, body)
            elif found.url is not None:
                self._files.load(into, found)
        loaded = into.loaded
        if into.documents:
            request = await self._threads.run(self._files.with_pages, into)
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
        work.stat_key = work.stat_key or await self._threads.run(self._fingerprinter.stat_key, row)
        taken: dict[Media | Loaded, FrameList] = {}
        for video, options in cut.items():
            body = None
            if self._fetch is not None and video.url is not None:
                body = await self._fetch.body(video, deadline)
            wanted = FrameOptions(
                most=most_frames(self._context, options),
                least=least_frames(self._context),
                by=self._context.spec.job.media.frames_by,
                max_pixels=self._files.limits(request)["image"].frame_pixels,
            )
            take = functools.partial(frames_of, video, body, wanted, confine=self._root)
            loaded[video], taken[video] = await self._threads.run(take)
        return with_frames(request, taken, self._context)

    def _load_files(self, row: Row, files: list[Media], into: RequestMedia) -> str | None:
        """Loads the row's files. Returns the stat key, which is taken before the files are read. Blocking.

        So if a file changes in the meantime, a later run reads the file again.
        """
        stamp = self._fingerprinter.stat_key(row)
        for media in files:
            self._files.load(into, media)
        return stamp


def _unasked(media: Media) -> str:
    raise refusal("NotAsked", "a row with a problem has no media")
