"""One row on its way through a run: what is learnt of it between the manifest and the journal."""

from __future__ import annotations

import msgspec

from pipeline.media.documents import Document
from pipeline.store.records import TurnRecord
from pipeline.types import Loaded, Request, Row


class WorkItem(msgspec.Struct, kw_only=True):
    """`fingerprint` is known early for rows without local files, else once they are read. `stat_key`: see
    fingerprinter.py.

    `manifest_fingerprint`: the manifest row's own fingerprint, where a reprocess asks with other settings than the job
    file's. `request` is what was encoded, less the bytes; None while nothing is asked. `loaded`: its media, in order,
    likewise. `leads`: other rows may wait for its outcome; `expected`: it is not claimed yet (both: see sharing.py).
    `turns`: of a conversation, the questions that were answered so far, in this run or an earlier one. `document`: the
    row's file of several pages, of which each is asked by itself; its `turns` are pages.
    """

    row: Row
    fingerprint: str | None = None
    stat_key: str | None = None
    manifest_fingerprint: str | None = None
    request: Request | None = None
    loaded: tuple[Loaded, ...] = ()
    turns: tuple[TurnRecord, ...] = ()
    document: Document | None = None
    leads: bool = False
    expected: bool = False
