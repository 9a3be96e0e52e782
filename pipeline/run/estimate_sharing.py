"""Counts the rows of a plan that would share another row's answer. Blocking; decodes no picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import msgspec

from pipeline.errors import Fault
from pipeline.job.load import LoadedJob
from pipeline.manifest.row_media import expand_frames, row_media
from pipeline.media.files import file_size
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.sharing import lasting
from pipeline.store.fingerprints import FingerprintIndex
from pipeline.store.layout import Layout
from pipeline.types import Request, Row

N = TypeVar("N", int, float)

MOST_BYTES = 256 * 2**20
"""Bytes of local files that a plan reads to compare them, so that a plan takes seconds."""


class Figures(msgspec.Struct, kw_only=True):
    """The requests, tokens and money that rows would take. None: not known. A sum with an unknown part is unknown.

    cost: with answers of the expected length. silent: of the input alone. longest: with the longest answers, whose
    tokens are `output_most`. worst: with the upper bound of the input too.
    """

    requests: int = 0
    input_tokens: int | None = 0
    media_tokens: int | None = 0
    cost: float | None = 0.0
    worst: float | None = 0.0
    silent: float | None = 0.0
    longest: float | None = 0.0
    output_most: int | None = 0

    def add(self, other: Figures) -> None:
        """Adds the figures of other rows."""
        self.requests += other.requests
        self.input_tokens = plus(self.input_tokens, other.input_tokens)
        self.media_tokens = plus(self.media_tokens, other.media_tokens)
        self.cost = plus(self.cost, other.cost)
        self.worst = plus(self.worst, other.worst)
        self.silent = plus(self.silent, other.silent)
        self.longest = plus(self.longest, other.longest)
        self.output_most = plus(self.output_most, other.output_most)


def plus(total: N | None, value: N | None) -> N | None:
    """Returns the sum, None if a part is not known."""
    return None if total is None or value is None else total + value


class Looked(msgspec.Struct, kw_only=True):
    """One row that a plan looked at. `fingerprint`: None until the row's local files are read. `row`: kept only if the
    row's files may have to be read. `lasting`: see `sharing.lasting`. `stamp`: the stat key. `request`: kept for
    `plan --sizes` alone."""

    figures: Figures
    fingerprint: str | None
    row: Row | None
    lasting: bool
    stamp: str | None = None
    request: Request | None = None


class Equal(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `equal`. `asked`: the rows that would be sent. `shared`: the number of rows that share an answer.
    `unforeseen`: the number of shared rows that the survey cannot see, because the survey reads no file and no
    cache."""

    asked: Sequence[Looked]
    shared: int
    unforeseen: int


def looked(row: Row, fingerprint: str | None, fingerprinter: Fingerprinter, figures: Figures) -> Looked:
    """Returns the entry of a row."""
    if fingerprint is not None:
        return Looked(figures=figures, fingerprint=fingerprint, row=None, lasting=lasting(row))
    stamp = fingerprinter.stat_key(row)
    return Looked(figures=figures, fingerprint=None, row=row, lasting=lasting(row), stamp=stamp)


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """The earlier answers: the answers in the output, and the answers of other jobs in the cache."""

    index: FingerprintIndex
    cache: Any  # an AnswerCache, or None

    @property
    def any(self) -> bool:
        return bool(len(self.index)) or (self.cache is not None and self.cache.is_open)

    def cached(self, fingerprint: str) -> bool:
        """Tells whether the answer is known from another job alone."""
        return self.cache is not None and not self.kept(fingerprint) and self.cache.get(fingerprint) is not None

    def kept(self, fingerprint: str) -> bool:
        """Tells whether the output has an answer."""
        return self.index.get(fingerprint) is not None


@contextmanager
def answered_before(spec: LoadedJob) -> Iterator[Before]:
    """Yields the earlier answers of a job's output and cache. Blocking."""
    index = FingerprintIndex.load(Layout(spec.output))
    if spec.cache is None:
        yield Before(index=index, cache=None)
        return
    from pipeline.store.answer_cache import AnswerCache

    with closing(AnswerCache(spec.cache, spec.output)) as cache:
        cache.open(create=False)
        yield Before(index=index, cache=cache)


def equal(rows: Sequence[Looked], fingerprinter: Fingerprinter, root: str, before: Before) -> Equal:
    """Finds the rows that would be sent. `rows`: in the order of the manifest.

    Reads the files of rows whose files have the same sizes as another row's files. If there are earlier answers, reads
    the files of the other rows too. Stops after MOST_BYTES: there may be more shared rows than `shared` says.
    """
    _read(rows, fingerprinter, root, before.any)
    asked: list[Looked] = []
    seen: set[str] = set()
    unforeseen = 0
    for row in rows:
        known = row.fingerprint or row.stamp or ""
        told = known in seen or (row.stamp or "") in seen
        kept = row.fingerprint is not None and row.lasting and before.kept(row.fingerprint)
        cached = row.fingerprint is not None and row.lasting and not told and before.cached(row.fingerprint)
        if told or kept or cached:
            by_survey = (row.stamp or known) in seen or (kept and row.row is None)
            unforeseen += not by_survey
        else:
            asked.append(row)
        seen |= {known, row.stamp or known} - {""}
    return Equal(asked=asked, shared=len(rows) - len(asked), unforeseen=unforeseen)


def _read(rows: Sequence[Looked], fingerprinter: Fingerprinter, root: str, answers: bool) -> None:
    """Finds the fingerprints of rows with local files. Rows that are likely equal come first."""
    groups: dict[Hashable, list[Looked]] = defaultdict(list)
    for row in rows:
        if row.row is not None and row.stamp is not None:
            groups[_sizes(row.row)].append(row)
    left = MOST_BYTES
    for sizes, group in sorted(groups.items(), key=lambda item: len(item[1]) < 2):
        if len(group) < 2 and not answers:
            continue
        for row in group:
            assert row.row is not None
            assert isinstance(sizes, tuple)
            left -= sum(sizes)
            if left < 0:
                return
            row.fingerprint = fingerprinter.unsent(row.row, root)


def _sizes(row: Row) -> tuple[int, ...]:
    """Returns the sizes of a row's local files, in order. Rows that ask the same have the same sizes."""
    try:
        return tuple(file_size(media) for media in row_media(expand_frames(row)) if media.path is not None)
    except (OSError, Fault, ValueError):
        return ()
