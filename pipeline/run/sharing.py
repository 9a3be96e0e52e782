"""Asks equal questions once: decides which row is sent, which rows wait for its outcome, and which rows share an
earlier outcome.

A row leads if its question was not asked yet: the row is sent. Rows that ask the same question in the meantime wait for
its outcome. Later rows get the outcome from memory, or from a lookup in the journal and the parts.
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
"""Bytes of the rows that wait for an outcome: about 2,000 plain rows. In the meantime further rows are not read."""
ROW_BYTES = 2_048
"""The bytes that a waiting row counts for, without its long fields."""
RECENT_BYTES = 4 * 2**20
MOST_RECENT = 1_024
"""The most outcomes in memory: the outcomes that were used last."""
GATHER_SECONDS = 0.25
"""The time in which rows that need a lookup are gathered. A row group is then read once for all of them."""
SERVED_AT_ONCE = 256
"""Rows that get the result of their lookup in one step. After a step, other tasks of the loop have their turn."""


class Share(enum.Enum):
    """What happens to a row that gets no outcome at once: it leads, it waits, or there is no room for it."""

    LEADS = enum.auto()
    WAITS = enum.auto()
    NO_ROOM = enum.auto()


class Sharing:
    """The questions that were asked in one run and before the run. Everything happens in the loop's thread.

    index: the answers of earlier runs; the outcomes of this run are added. first: the lowest `seq` of this run. An
    outcome of an earlier run is shared only if all media of the row are hashed here. find: returns outcomes by `seq`;
    `look_up` raises the errors that `find` raises. write: keeps the given outcomes as the rows' own. cache: answers
    that other jobs bought. most_bytes: the bytes of rows that wait.
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
        """Tells whether some rows may still have to be sent.

        These rows are prepared or looked up at the moment, or wait to be taken again.
        """
        return bool(self._unsettled or self._returned)

    def expect(self, work: WorkItem) -> None:
        """Notes that a row without a known fingerprint will be prepared. The row is claimed later, or ends before."""
        work.expected = True
        self._unsettled += 1

    def returned(self) -> WorkItem | None:
        """Returns a row that must be taken again, because the outcome that it waited for is gone; else None."""
        return self._returned.popleft() if self._returned else None

    async def change(self) -> None:
        """Waits until there may be room again, or until no row may be `unsettled`."""
        await self._changed.wait()

    def take(self, work: WorkItem) -> OutcomeRecord | Share:
        """Returns the outcome that a row shares, or says what happens to the row. Its fingerprint must be known.

        LEADS: the row is sent, and must end by `ended`. WAITS: the row waits, and this object ends it later. NO_ROOM:
        nothing has changed; the caller tries again later.
        """
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
        """Tells whether a prepared row is sent. If not, this object ends the row."""
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
        """Ends rows with the outcomes that `take` returned for them."""
        self._write(pairs)

    def ended(self, work: WorkItem) -> list[WorkItem] | None:
        """Notes that a row has ended, with any ending. Returns the rows that waited for its outcome.

        The caller ends these rows in the same way. None: no row could wait, because the row did not lead.
        """
        self._settle(work)
        if not work.leads:
            return None
        work.leads = False
        waiting = self._waiting.pop(work.fingerprint or "", [])
        if waiting:
            self._release(waiting)
        return waiting

    def keep(self, work: WorkItem, known: OutcomeRecord, seq: int) -> None:
        """Keeps the outcome of a row's call for later rows. Gives an answer to the cache, for other jobs."""
        if self._cache is not None and isinstance(known, AnswerRecord) and lasting(work.row):
            self._cache.add(known)
        self._index.add(known.fingerprint, seq)
        self._lost.discard(known.fingerprint)
        self._recent.put(known)

    async def look_up(self) -> None:
        """Looks up the outcomes that are not in memory and ends their rows, until it is cancelled.

        Raises the same errors as `find`.
        """
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
                # The outcome is gone, or two fingerprints agree in 64 bits. The row is taken again, and sent.
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
    """The outcomes that were used last, by fingerprint. Bounded in bytes and number."""

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
    """Returns about how many bytes the values hold."""
    bytes_ = 0
    for value in values.values() if values else ():
        if isinstance(value, (str, bytes)):
            bytes_ += len(value)
        else:
            bytes_ += 500 * len(value) if isinstance(value, (list, tuple)) else 100
    return bytes_


def _size(work: WorkItem) -> int:
    """Returns about how many bytes a waiting row holds: its texts, and the pictures in its fields, as text and
    decoded."""
    texts = sum(len(value) for value in work.row.raw.values() if isinstance(value, (str, bytes)))
    return ROW_BYTES + texts + sum(3 * len(media.data) for media in row_media(work.row) if media.data is not None)


def lasting(row: Row) -> bool:
    """Tells whether an equal fingerprint means an equal question on any day, because all media are hashed here.

    False for a row with a URL: the URL may lead to another picture tomorrow.
    """
    return all(media.url is None for media in row_media(row))
