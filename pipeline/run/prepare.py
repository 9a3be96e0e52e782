"""Turns a row into the requests to send: its questions or pages one after the other, with uploads, encoded."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import msgspec

from pipeline.dispatch.descriptors import patiently
from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.errors import Fault
from pipeline.media.documents import Document
from pipeline.providers.cost import cost
from pipeline.providers.tokens import estimate
from pipeline.run.context import JobContext
from pipeline.run.request_media import replaced, request_without_bytes, uploaded, without_bytes
from pipeline.run.row_loading import RowLoader
from pipeline.run.sharing import lasting
from pipeline.run.work_item import WorkItem, continued, in_form
from pipeline.store.lookup import Turns
from pipeline.store.records import TurnRecord
from pipeline.tasks.quality import Gate
from pipeline.types import Loaded, Reader, Reply, Request, Usage


class Uploads(Protocol):
    """Uploads bytes to a place where the service reads them. Equal files are uploaded once."""

    async def url(self, media: Loaded, *, renew: bool = False) -> str:
        """Returns the URL to send instead of the bytes. `renew`: the earlier upload has expired. Raises Fault."""
        ...


Claim = Callable[[WorkItem], Awaitable[bool]]


async def everything(work: WorkItem) -> bool:
    """Claims every row: for a run that sends equal questions too."""
    return True


class Preparer:
    """Prepares the rows of one run. Writes the facts that it finds about a row into the row's WorkItem.

    begun: the answers so far of conversations that an earlier run began. claim: called once for each row whose
    fingerprint is known; tells whether the row is sent. A row that is not sent is prepared as None, and the claim ends
    the row.
    """

    def __init__(
        self,
        context: JobContext,
        loader: RowLoader,
        gate: Gate,
        uploads: Uploads | None = None,
        begun: Turns = {},  # noqa: B006 - never written to
        claim: Claim = everything,
    ) -> None:
        self._context = context
        self._loader = loader
        self._gate = gate
        self._uploads = uploads
        self._begun = begun
        self._claim = claim

    async def __call__(self, work: WorkItem) -> PreparedRequest | None:
        """Returns the prepared request of a row; None if the row is not sent and the claim ends it.

        Raises Fault for a row that cannot be sent. The row's fingerprint is known then too.
        """
        request = await patiently(functools.partial(self._loader.load, work))
        if not await self._claim(work):
            return None
        return await patiently(functools.partial(self._sent, work, request))

    async def _renewed(self, work: WorkItem) -> PreparedRequest:
        """Prepares a row again, with fresh uploads. Raises Fault."""
        return await self._sent(work, await self._loader.load(work), renew=True)

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
            page = await self._loader.page(document, index, first)
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
