"""What `pipeline plan --sizes` and `--similar` add: the cost of smaller pictures, and the near-equal pictures."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.report.state import count, money
from pipeline.report.terminal import one_line


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """One bound on the tokens of a picture. max_tokens: None = as the job is. smaller: the share of the pictures that
    would be made smaller. media_tokens: of all rows to send. cost, cost_per_1000: expected, of all rows and of 1,000
    rows; None: not known."""

    max_tokens: int | None
    smaller: float
    media_tokens: int
    cost: float | None = None
    cost_per_1000: float | None = None


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """looked_at: the rows whose pictures were measured. pictures: the pictures of these rows whose size is known.
    unknown: the pictures of unknown size, such as URLs, which are not made smaller. reason: why there is no table."""

    looked_at: int = 0
    pictures: int = 0
    unknown: int = 0
    table: tuple[Size, ...] = ()
    reason: str | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures that look nearly the same. rows: their number. ids: the first of their rows."""

    rows: int
    ids: tuple[str, ...]


class Similar(msgspec.Struct, frozen=True, kw_only=True):
    """looked_at: the rows that were compared, of `of` rows with one picture that is here. unreadable: rows whose
    picture could not be read. repeats: rows with the same bytes as an earlier row. groups: the number of groups of
    near-equal pictures; rows: the rows in them. spared, spared_cost: the rows to send, and their expected cost, that
    would fall away if one of each group were asked; scaled to all rows. examples: the largest groups."""

    looked_at: int
    of: int
    unreadable: int = 0
    repeats: int = 0
    groups: int = 0
    rows: int = 0
    spared: int = 0
    spared_cost: float | None = None
    examples: tuple[Group, ...] = ()


def sizes_lines(sizes: Sizes, currency: str | None) -> Iterator[str]:
    """Yields the table of sizes, and the line to put into the job."""
    if sizes.reason is not None:
        yield f"sizes:   {sizes.reason}"
        return
    yield f"sizes:   smaller pictures, from {count(sizes.pictures, 'picture')} in {count(sizes.looked_at, 'row')}"
    paid = sizes.table[0].cost is not None
    head = f"  {'1,000 rows':>14}  {'rows to send':>14}" if paid else ""
    yield f"{'max_tokens':>19}  {'smaller':>7}  {'picture tokens':>14}{head}"
    for size in sizes.table:
        name = "as it is" if size.max_tokens is None else str(size.max_tokens)
        cost = f"  {money(size.cost_per_1000, currency):>14}  {money(size.cost, currency):>14}" if paid else ""
        yield f"{name:>19}  {size.smaller:>7.0%}  {size.media_tokens:>14,}{cost}"
    if sizes.unknown:
        yield f"         {count(sizes.unknown, 'picture')} of unknown size (URLs, frames) are sent as they are"
    if (chosen := _chosen(sizes)) is not None:
        yield "         try one on a sample; the lines for the job file:"
        yield "         [media]"
        yield f"         max_tokens = {chosen}"


def _chosen(sizes: Sizes) -> int | None:
    """Returns the largest bound that saves at least a quarter of the picture tokens, else the smallest bound."""
    bounds = [size for size in sizes.table if size.max_tokens is not None]
    whole = sizes.table[0].media_tokens
    found = next((size for size in bounds if size.media_tokens <= whole * 0.75), None)
    return found.max_tokens if found is not None else bounds[-1].max_tokens if bounds else None


def similar_lines(similar: Similar, currency: str | None) -> Iterator[str]:
    """Yields what is known of near-equal pictures."""
    s = similar
    sampled = f" of {s.of:,}" if s.looked_at < s.of else ""
    pictures = f"{s.rows:,} of {count(s.looked_at, 'picture')}{sampled}"
    yield f"similar: {pictures} are nearly equal, in {count(s.groups, 'group')}"
    for group in s.examples:
        more = f" and {group.rows - len(group.ids):,} more" if group.rows > len(group.ids) else ""
        yield f"  {group.rows:>6,} × {one_line(', '.join(map(_short, group.ids)) + more)}"
    if s.spared:
        cost = "" if s.spared_cost is None else f", {money(s.spared_cost, currency)}"
        yield f"         one question for each group would spare {count(s.spared, 'row')}{cost}"
        yield "         (a report: no answer is ever taken from a similar picture)"
    if s.repeats:
        yield f"         {count(s.repeats, 'row')} besides have the same bytes as an earlier row"
    if s.unreadable:
        yield f"         {count(s.unreadable, 'file')} could not be read as one picture"


def _short(id_: str) -> str:
    return id_ if len(id_) <= 24 else f"…{id_[-23:]}"
