"""Two sets of answers to the same rows: the figures of both sides, and the rows, the most different first."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.report.html import lines_html
from pipeline.report.state import count, money
from pipeline.report.terminal import one_line

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 5
"""Rows that the terminal shows."""
PICKS = ("a", "b", "equal", "neither")
"""What a person may pick for a row: the better side, or none."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One side. `answered`: rows of the comparison with an answer. `failed`: open failures among its rows, by code.
    `sent`: rows that were sent for the comparison, and `cost`: what they cost; None: not known. `exit_code`, `stopped`:
    of the run that sent them, if something stopped it."""

    name: str
    model: str
    answered: int
    failed: Mapping[str, int] = {}
    sent: int = 0
    cost: float | None = None
    currency: str | None = None
    exit_code: int = 0
    stopped: str | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that both sides answered.

    `columns`: the columns of the answer. `table`: a pyarrow table with `id`, `source`, and each column of the answer,
    the tokens, the cost, the latency and the model twice, as `a_<name>` and `b_<name>`. `picks`: id → one of PICKS.
    """

    task: str
    columns: tuple[str, ...]
    table: Any
    sides: tuple[Side, Side]
    picks: Mapping[str, str] = {}

    @property
    def exit_code(self) -> int:
        """Returns 0, or the exit code of the run that was stopped."""
        return max(side.exit_code for side in self.sides)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return lines_html(lines(self))


def full_table(compared: Compared) -> pa.Table:
    """Returns the table with `similarity` (0 to 1) and `pick`, the most different rows first."""
    import pyarrow as pa

    table = compared.table
    likeness = [similarity(row, compared.columns[0]) for row in _answers(compared)]
    table = table.append_column("similarity", pa.array(likeness, pa.float64()))
    picked = [compared.picks.get(id_) for id_ in table.column("id").to_pylist()]
    return table.append_column("pick", pa.array(picked, pa.string())).sort_by("similarity")


def _answers(compared: Compared) -> list[dict[str, Any]]:
    name = compared.columns[0]
    rows: list[dict[str, Any]] = compared.table.select([f"a_{name}", f"b_{name}"]).to_pylist()
    return rows


def similarity(row: Mapping[str, Any], column: str) -> float | None:
    """Returns how alike two answers are, 0 to 1: of texts, the share of their words that both have; of vectors, the
    cosine of their angle. None: vectors of two lengths."""
    one, other = row[f"a_{column}"], row[f"b_{column}"]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return _cosine(one, other) if len(one) == len(other) else None
    words = [Counter(re.findall(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+", (text or "").lower())) for text in (one, other)]
    every = sum((words[0] | words[1]).values())
    return 1.0 if not every else sum((words[0] & words[1]).values()) / every


def _cosine(one: Sequence[float], other: Sequence[float]) -> float | None:
    import numpy as np

    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.dot(one, other)) / lengths if lengths else None


def figures(compared: Compared) -> list[tuple[str, str, str]]:
    """Returns (what, A's figure, B's figure) in words."""
    table, sides = compared.table, compared.sides
    found = [("model", *(side.model for side in sides)), ("answered", *(f"{side.answered:,}" for side in sides))]
    if any(side.failed for side in sides):
        found.append(("failed", *(_codes(side.failed) for side in sides)))
    for name, words in (("input_tokens", "tokens in, a row"), ("output_tokens", "tokens out, a row")):
        found.append((words, *(_mean(table, f"{key}_{name}", "{:,.0f}") for key in "ab")))
    found.append(("latency, median", *(_median(table, f"{key}_latency_ms") for key in "ab")))
    found.append(("cost of 1,000 rows", *(_cost(table, key) for key in "ab")))
    return [row for row in found if any(value not in ("", "not known") for value in row[1:])]  # type: ignore[misc]


def _codes(failed: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in failed.items()) or "0"


def _values(table: Any, column: str) -> list[float]:
    return [value for value in table.column(column).to_pylist() if value is not None]


def _mean(table: Any, column: str, form: str) -> str:
    values = _values(table, column)
    return form.format(statistics.fmean(values)) if values else "not known"


def _median(table: Any, column: str) -> str:
    values = _values(table, column)
    return f"{statistics.median(values) / 1000:.2f} s" if values else "not known"


def _cost(table: Any, key: str) -> str:
    values = _values(table, f"{key}_cost")
    currencies = sorted({name for name in table.column(f"{key}_currency").to_pylist() if name})
    if not values or len(currencies) != 1:
        return "not known"
    return money(statistics.fmean(values) * 1000, currencies[0])


def lines(compared: Compared) -> Iterator[str]:
    """Yields the comparison for people: the figures, then the rows that differ most."""
    sides = compared.sides
    yield f"A: {sides[0].name}"
    yield f"B: {sides[1].name}"
    rows = figures(compared)
    width = max(len(what) for what, _, _ in rows)
    middle = max(len(one) for _, one, _ in rows)
    for what, one, other in rows:
        yield f"{what:<{width}}  {one:<{middle}}  {other}"
    for letter, side in zip("AB", sides, strict=True):
        if side.sent:
            price = "" if side.cost is None else f" for {money(side.cost, side.currency)}"
            yield f"{count(side.sent, 'row')} sent for {letter}{price}"
        if side.stopped is not None:
            yield f"{letter} stopped: {side.stopped}"
    table = full_table(compared)
    yield f"{table.num_rows:,} rows have both answers, {_same(table):,} of them the same answer twice"
    if compared.picks:
        counted = Counter(compared.picks.values())
        yield "picks: " + ", ".join(f"{pick} {counted[pick]:,}" for pick in PICKS)
    yield from _most_different(compared, table)


def _same(table: Any) -> int:
    return sum(value is not None and value >= 1 - 1e-9 for value in table.column("similarity").to_pylist())


def _most_different(compared: Compared, table: Any) -> Iterator[str]:
    name = compared.columns[0]
    for row in table.slice(0, SHOWN).to_pylist():
        if row["similarity"] is None or row["similarity"] >= 1 - 1e-9:
            return
        yield f"{row['similarity']:.2f} alike: {one_line(row['id'])}"
        if not isinstance(row[f"a_{name}"], list):
            yield f"  A {one_line(row[f'a_{name}'] or '')}"
            yield f"  B {one_line(row[f'b_{name}'] or '')}"
