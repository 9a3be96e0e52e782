"""Equal questions are asked once: which row sends, which rows wait for its outcome, and which share one given before.

A row whose question nobody asked yet leads: it is sent. Rows that ask the same while it is on its way wait for its
outcome. Rows that come later get the outcome from memory, or have it looked up in the journal and the parts.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import msgspec

from pipeline.manifest.row_media import row_media
from pipeline.run.thread_batcher import ThreadBatcher
from pipeline.run.work_item import WorkItem
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.store.records import AnswerRecord, FailureRecord
from pipeline.types import Row

if TYPE_CHECKING:
    from pipeline.store.answer_cache import AnswerCache

OutcomeRecord = AnswerRecord | FailureRecord
Pairs = Sequence[tuple[WorkItem, OutcomeRecord]]

MOST_BYTES = 4 * 2**20
"""Of rows that wait for an outcome, 2,000 plain ones; further rows are not read meanwhile."""
ROW_BYTES = 2_048
"""What a waiting row counts for, besides long fields."""
RECENT_BYTES = 4 * 2**20
MOST_RECENT = 1_024
"""Outcomes held in memory: those that were used last."""
GATHER_SECONDS = 0.25
"""Rows whose outcome must be looked up are gathered: one reading of a row group serves them all."""
SERVED_AT_ONCE = 256
"""Rows given what was looked up for them in one go; then others have their turn in the loop."""


class Share(enum.Enum):
    """What becomes of a row besides being given an outcome."""

    LEADS = enum.auto()
    WAITS = enum.auto()
    NO_ROOM = enum.auto()


class Sharing:
    """What was asked in one run, and before it. All of it happens in the loop's thread.

    index: the answers of earlier runs; the outcomes of this one are added. first: the lowest `seq` of this run; an
    earlier outcome is shared only where all media are hashed here. find: outcomes by `seq`; it may raise what `look_up`
    is to raise. write: keeps the given outcomes as the rows' own. cache: answers that other jobs bought.
    most_bytes: of rows that wait.
    """

    def __init__(
        self,
        index: FingerprintIndex,
        first: int,
        find: Callable[[Collection[int]], Awaitable[Mapping[int, OutcomeRecord]]],
        write: Callable[[Pairs], None],
        cache: AnswerCache | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._index = index
        self._first = first
        self._find = find
        self._write = write
        self._cache = cache
        self._most_bytes = most_bytes
        self._readers = ThreadBatcher(most=1)
        self._waiting: dict[str, list[WorkItem]] = {}
        self._recent = _Recent()
        self._lost: set[str] = set()
        self._lookups: list[tuple[WorkItem, int]] = []
        self._returned: deque[WorkItem] = deque()
        self._unsettled = 0
        self._bytes = 0
        self._asked = anyio.Event()
        self._changed = anyio.Event()

    @property
    def unsettled(self) -> bool:
        """Some rows may still have to be sent: they are being prepared or looked up, or wait to be taken again."""
        return bool(self._unsettled or self._returned)

    def expect(self, work: WorkItem) -> None:
        """A row whose fingerprint is not known yet goes to be prepared; it will be claimed or end before that."""
        work.expected = True
        self._unsettled += 1

    def returned(self) -> WorkItem | None:
        """A row that waited for an outcome which is not there any more: to be taken again."""
        return self._returned.popleft() if self._returned else None

    async def change(self) -> None:
        """Until there may be room again, or nothing may be `unsettled` any more."""
        await self._changed.wait()

    def take(self, work: WorkItem) -> OutcomeRecord | Share:
        """What becomes of a row whose fingerprint is known: the outcome that it shares; or it LEADS and must end by
        `ended`; or it WAITS and is taken care of; or there is NO_ROOM now and nothing has changed."""
        fingerprint = work.fingerprint
        assert fingerprint is not None
        waiting = self._waiting.get(fingerprint)
        if waiting is None:
            known = self._recent.get(fingerprint)
            if known is not None:
                return known
            seq = self._index.get(fingerprint)
            if seq is None or fingerprint in self._lost or (seq < self._first and not lasting(work.row)):
                self._waiting[fingerprint] = []
                work.leads = True
                return Share.LEADS
        if not self._fits(work):
            return Share.NO_ROOM
        if waiting is not None:
            waiting.append(work)
        else:
            assert seq is not None
            self._lookups.append((work, seq))
            self._unsettled += 1
            self._asked.set()
        return Share.WAITS

    async def claim(self, work: WorkItem) -> bool:
        """Whether a prepared row is to be sent; else it is taken care of."""
        while not work.leads:
            found = self.take(work)
            if found is Share.NO_ROOM:
                await self.change()
            elif found is Share.WAITS:
                self._settle(work)
                return False
            elif not isinstance(found, Share):
                self._write([(work, found)])
                self._settle(work)
                return False
        known = None if self._cache is None else await self._cached(self._cache, work)
        if known is None:
            self._settle(work)
            return True
        self._recent.put(known)
        self._write([(work, known), *((other, known) for other in self.ended(work) or ())])
        return False

    async def _cached(self, cache: AnswerCache, work: WorkItem) -> OutcomeRecord | None:
        if cache.problem is not None or not lasting(work.row):
            return None
        return await self._readers.run(cache.get, work.fingerprint or "")

    def give(self, pairs: Pairs) -> None:
        """Ends rows with the outcomes that `take` gave for them."""
        self._write(pairs)

    def ended(self, work: WorkItem) -> list[WorkItem] | None:
        """A row is over, whatever came of it: the rows that waited for its outcome, to be ended alike; None where no
        row could wait for it, since it was never claimed."""
        self._settle(work)
        if not work.leads:
            return None
        work.leads = False
        waiting = self._waiting.pop(work.fingerprint or "", [])
        if waiting:
            self._release(waiting)
        return waiting

    def keep(self, work: WorkItem, known: OutcomeRecord, seq: int) -> None:
        """Keeps the outcome of a row's call for the rows that come later, and for other jobs."""
        if self._cache is not None and isinstance(known, AnswerRecord) and lasting(work.row):
            self._cache.add(known)
        self._index.add(known.fingerprint, seq)
        self._lost.discard(known.fingerprint)
        self._recent.put(known)

    async def look_up(self) -> None:
        """Serves the rows whose outcomes are not in memory, until it is cancelled. Raises what `find` raises."""
        while True:
            await self._asked.wait()
            await anyio.sleep(GATHER_SECONDS)
            batch, self._lookups, self._asked = self._lookups, [], anyio.Event()
            found = await self._find({seq for _, seq in batch})
            for first in range(0, len(batch), SERVED_AT_ONCE):
                self._serve(batch[first : first + SERVED_AT_ONCE], found)
                await anyio.lowlevel.checkpoint()

    def _serve(self, batch: list[tuple[WorkItem, int]], found: Mapping[int, OutcomeRecord]) -> None:
        pairs = []
        for work, seq in batch:
            known = found.get(seq)
            if known is not None and known.fingerprint == work.fingerprint:
                pairs.append((work, known))
                self._recent.put(known)
            else:
                # Gone meanwhile, or two fingerprints that agree in 64 bits: the row is sent.
                self._lost.add(work.fingerprint or "")
                self._returned.append(work)
        if pairs:
            self._write(pairs)
        self._unsettled -= len(batch)
        self._release([work for work, _ in batch])

    def _settle(self, work: WorkItem) -> None:
        if work.expected:
            work.expected = False
            self._unsettled -= 1
            if not self._unsettled:
                self._tell()

    def _fits(self, work: WorkItem) -> bool:
        bytes_ = _size(work)
        if self._bytes and self._bytes + bytes_ > self._most_bytes:
            return False
        self._bytes += bytes_
        return True

    def _release(self, works: list[WorkItem]) -> None:
        self._bytes -= sum(map(_size, works))
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class _Recent:
    """The outcomes that were used last, by fingerprint; bounded in bytes and number."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[OutcomeRecord, int]] = OrderedDict()
        self._bytes = 0

    def get(self, fingerprint: str) -> OutcomeRecord | None:
        found = self._known.get(fingerprint)
        if found is None:
            return None
        self._known.move_to_end(fingerprint)
        return found[0]

    def put(self, known: OutcomeRecord) -> None:
        if isinstance(known, FailureRecord) and known.row:
            known = msgspec.structs.replace(known, row={})
        before = self._known.pop(known.fingerprint, None)
        size = 1_000 + _weight(known.answer if isinstance(known, FailureRecord) else known.own) + _weight(known.extra)
        self._known[known.fingerprint] = known, size
        self._bytes += size - (before[1] if before else 0)
        while self._bytes > RECENT_BYTES or len(self._known) > MOST_RECENT:
            _, (_, gone) = self._known.popitem(last=False)
            self._bytes -= gone


def _weight(values: Mapping[str, object] | None) -> int:
    """About how many bytes the values hold."""
    bytes_ = 0
    for value in values.values() if values else ():
        if isinstance(value, (str, bytes)):
            bytes_ += len(value)
        else:
            bytes_ += 500 * len(value) if isinstance(value, (list, tuple)) else 100
    return bytes_


def _size(work: WorkItem) -> int:
    """About how many bytes a waiting row holds: its texts, and pictures in its fields as text and decoded."""
    texts = sum(len(value) for value in work.row.raw.values() if isinstance(value, (str, bytes)))
    return ROW_BYTES + texts + sum(3 * len(media.data) for media in row_media(work.row) if media.data is not None)


def lasting(row: Row) -> bool:
    """All media are hashed here, so that an equal fingerprint means an equal question on any day; what is behind an
    address may be another picture tomorrow."""
    return all(media.url is None for media in row_media(row))
