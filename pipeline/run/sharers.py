"""The source of a run's rows without the rows that share an outcome: the pool sees only rows that may be sent."""

from __future__ import annotations

import enum

import anyio.lowlevel

from pipeline.dispatch.prefetch import END, NOT_READY, Mark, Source
from pipeline.run.sharing import OutcomeRecord, Share, Sharing
from pipeline.run.work_item import WorkItem

AT_ONCE = 64
"""Rows that get their outcome in one step of 2 ms. After a step, other tasks of the loop have their turn."""


class _Awaited(enum.Enum):
    TURN = enum.auto()
    ROWS = enum.auto()
    CHANGE = enum.auto()


class Sharers:
    """A source for the pool that reads from another source.

    Ends the rows that share an outcome. Passes on the rows whose fingerprint is not known yet: such a row is claimed
    when it has been prepared.
    """

    def __init__(self, rows: Source[WorkItem], sharing: Sharing) -> None:
        self._rows = rows
        self._sharing = sharing
        self._held: WorkItem | None = None
        self._awaited = _Awaited.TURN

    def poll(self) -> WorkItem | Mark:
        """Does the same as `Source.poll`."""
        given: list[tuple[WorkItem, OutcomeRecord]] = []
        item = self._pass_over(given)
        if given:
            self._sharing.give(given)
        return item

    async def wait(self) -> None:
        """Does the same as `Source.wait`."""
        awaited = self._awaited
        if awaited is _Awaited.ROWS:
            await self._rows.wait()
        elif awaited is _Awaited.CHANGE:
            await self._sharing.change()
        else:
            await anyio.lowlevel.checkpoint()

    def _pass_over(self, given: list[tuple[WorkItem, OutcomeRecord]]) -> WorkItem | Mark:
        """Returns the next row that may have to be sent. Adds the rows before it that share an outcome to `given`."""
        sharing = self._sharing
        while len(given) < AT_ONCE:
            item = self._next()
            if isinstance(item, Mark):
                if item is END and not sharing.unsettled:
                    return END
                return self._later(_Awaited.CHANGE if item is END else _Awaited.ROWS)
            if item.row.problem is not None:
                return item
            if item.fingerprint is None:
                sharing.expect(item)
                return item
            found = sharing.take(item)
            if found is Share.LEADS:
                return item
            if found is Share.NO_ROOM:
                self._held = item
                return self._later(_Awaited.CHANGE)
            if not isinstance(found, Share):
                given.append((item, found))
        return self._later(_Awaited.TURN)

    def _next(self) -> WorkItem | Mark:
        held, self._held = self._held, None
        return held or self._sharing.returned() or self._rows.poll()

    def _later(self, awaited: _Awaited) -> Mark:
        self._awaited = awaited
        return NOT_READY
