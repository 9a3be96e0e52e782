"""Loads the files of one request: pictures, sounds and videos in the form to send, documents as pages. Blocking."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.errors import Fault
from pipeline.media.documents import Document, document
from pipeline.media.limits import PAGES
from pipeline.media.load import from_bytes, load, load_page, read
from pipeline.media.redact import public
from pipeline.run.context import JobContext
from pipeline.run.request_media import check_count, takes_pages, with_pages
from pipeline.tasks import facts
from pipeline.types import Loaded, Media, MediaLimits, Request


class RequestMedia:
    """The files that were loaded for a request. A document is only in `documents` until its pages are loaded."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.loaded: dict[Media | Loaded, Loaded] = {}
        self.documents: dict[Media | Loaded, Document] = {}


class MediaLoader:
    """Loads files by the rules of one job. `root`: the manifest's folder."""

    def __init__(self, context: JobContext, root: str) -> None:
        self._context = context
        self._root = root
        self._limits = context.media_limits(context.spec.job.provider.parameters)
        self._options = context.fit_options

    def limits(self, request: Request) -> Mapping[str, MediaLimits]:
        """Returns the limits for each kind of media, for this request."""
        own = request.parameters is not self._context.spec.job.provider.parameters
        return self._context.media_limits(request.parameters) if own else self._limits

    def load(self, into: RequestMedia, media: Media, body: bytes | None = None) -> None:
        """Loads one file. `body`: the bytes, if the file was downloaded.

        Raises the same Faults as `pipeline.media.load.load`.
        """
        limits = self.limits(into.request)[media.kind]
        try:
            if body is None:
                into.loaded[media] = load(media, limits, self._options, confine=self._root)
            else:
                into.loaded[media] = from_bytes(body, media, limits, self._options)
        except Fault as fault:
            if fault.code != PAGES or not takes_pages(into.request, media):
                raise
            body = read(media, confine=self._root) if body is None else body
            found = document(body, public(media), self._options.dpi)
            if found is None:  # the file changed in the meantime
                raise
            into.documents[media] = found

    def with_pages(self, into: RequestMedia) -> Request:
        """Returns the request with all pages of its documents.

        If the task asks for each page by itself (ocr), the request has the first page alone. Raises Fault
        (`Local.TooManyPages`), and the same Faults as `load_page`.
        """
        pages: dict[Media | Loaded, tuple[Loaded, ...]] = {}
        for media, found in into.documents.items():
            check_count(found, self._context)
            into.loaded[media] = Loaded(kind="image", source=found.name, sha256=found.sha256)
            count = 1 if facts(into.request.task).pages == "each" else found.pages
            pages[media] = tuple(self.page(found, index, into.request) for index in range(count))
        return with_pages(into.request, pages)

    def page(self, found: Document, index: int, request: Request) -> Loaded:
        """Returns a page of a document. `index` counts from 0. Raises the same Faults as `load_page`."""
        return load_page(found, index, self.limits(request)["image"], self._options)
