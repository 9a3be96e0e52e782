"""Counts the near-equal pictures of a manifest, for a plan. No answer is ever shared for it. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import msgspec

from pipeline.errors import Fault
from pipeline.manifest import Manifest
from pipeline.manifest.row_media import row_media
from pipeline.media.files import read
from pipeline.media.redact import public
from pipeline.media.similar import Seen, groups, seen
from pipeline.report.estimate_extras import Group, Similar
from pipeline.report.estimate_lines import Estimate
from pipeline.run.select import SENT, ManifestScan
from pipeline.run.thread_batcher import THREADS
from pipeline.types import Media, Row

MOST = 20_000
"""Pictures that are compared: some two minutes of decoding on two cores. Of more pictures, a sample is taken."""
EXAMPLES, IDS = 3, 3
"""Groups that are shown, and ids of each."""


class _Compared(msgspec.Struct, kw_only=True):
    """A row with one picture. sent: whether a run would send the row. look: None for a picture that cannot be read."""

    id: str
    sent: bool
    sha256: bytes = b""
    look: Seen | None = None


def find_similar(manifest: Manifest, scan: ManifestScan, drawn: Estimate) -> Similar:
    """Compares the pictures of all rows that have one picture which is here. drawn: gives the cost of a row."""
    of = sum(_picture(row) is not None for row in manifest.rows())
    step = max(1.0, of / MOST)
    chosen = _spread((row for row in manifest.rows() if _picture(row) is not None), step)
    compared: list[_Compared] = []
    with ThreadPoolExecutor(THREADS) as threads:
        while batch := list(islice(chosen, 256)):
            compared += threads.map(lambda row: _compare(row, scan, manifest.root), batch)
    return _summed(compared, of, drawn)


def _picture(row: Row) -> Media | None:
    """Returns the only medium of a row if it is a picture that is here."""
    found = list(islice(row_media(row), 2)) if row.problem is None else []
    return found[0] if len(found) == 1 and found[0].kind == "image" and found[0].url is None else None


def _spread(rows: Iterator[Row], step: float) -> Iterator[Row]:
    due = 0.0
    for index, row in enumerate(rows):
        if index >= due:
            due += step
            yield row


def _compare(row: Row, scan: ManifestScan, root: str) -> _Compared:
    picture = _picture(row)
    sent = row.ordinal < len(scan.states) and scan.states[row.ordinal] in SENT
    found = _Compared(id=row.id, sent=sent)
    if picture is None:
        return found
    try:
        body = picture.data if picture.data is not None else read(picture, confine=root)
        found.sha256 = hashlib.sha256(body).digest()
        found.look = seen(body, public(picture))
    except Fault:  # the run says why, with the row
        pass
    return found


def _summed(compared: list[_Compared], of: int, drawn: Estimate) -> Similar:
    first: dict[bytes, _Compared] = {}
    unreadable = repeats = 0
    for row in compared:
        if row.look is None:
            unreadable += 1
        elif row.sha256 in first:
            repeats += 1
            first[row.sha256].sent &= row.sent  # one answer of the two is enough for both
        else:
            first[row.sha256] = row
    known = list(first.values())
    found = [[known[place] for place in group] for group in groups([row.look for row in known if row.look is not None])]
    scale = of / len(compared) if compared else 0.0
    spared = round(scale * sum(_spared(group) for group in found))
    paid = drawn.send - drawn.shared - sum(group.rows for group in drawn.refused)
    largest = sorted(found, key=len, reverse=True)[:EXAMPLES]
    return Similar(
        looked_at=len(compared),
        of=of,
        unreadable=unreadable,
        repeats=repeats,
        groups=len(found),
        rows=sum(map(len, found)),
        spared=spared,
        spared_cost=None if drawn.cost is None or paid < 1 else drawn.cost / paid * spared,
        examples=tuple(Group(rows=len(group), ids=tuple(row.id for row in group[:IDS])) for group in largest),
    )


def _spared(group: list[_Compared]) -> int:
    """Returns the rows to send of a group that would fall away if one answer of the group were enough."""
    sent = sum(row.sent for row in group)
    return sent if sent < len(group) else sent - 1
