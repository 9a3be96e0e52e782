"""The fixed lines that show a running job on a terminal, fitted to the width of the terminal.

Line 1: name, bar, share, rows, elapsed time and time left. Line 2: rate of the last half minute, requests in flight,
the rate limit, cost and tokens. Line 3, once there is something to say: failures by reason, throttling, retries, a
pause. What does not fit is dropped piece by piece, the least important first; the bar and the time left stay to the
end.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.report.state import RunState, count, money, span
from pipeline.report.terminal import one_line

WINDOW = 30.0
"""Seconds over which the rate is taken."""
LONGEST_BAR, SHORTEST_BAR = 40, 8
MOST_REASONS = 4
"""Reasons of failures that are named; the rest are counted."""
LONGEST_NAME = 24
SAID_SECONDS = 10.0
"""A pause of the whole account that is longer than this is said."""


class Pace:
    """Rows per second over the last WINDOW seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, elapsed: float, ended: int) -> float:
        """Returns the rate when `ended` rows have ended after `elapsed` seconds."""
        seen = self._seen
        seen.append((elapsed, ended))
        while len(seen) > 2 and elapsed - seen[0][0] > WINDOW:
            seen.popleft()
        (began, before) = seen[0] if len(seen) > 1 else (0.0, 0)
        return (ended - before) / (elapsed - began) if elapsed > began else 0.0


class Piece(NamedTuple):
    """A piece of a line. The pieces of the lowest rank are dropped first."""

    rank: int
    text: str


def run_lines(name: str, state: RunState, elapsed: float, rate: float, bar: Callable[[float, int], str]) -> Lines:
    """Returns what is to be shown. rate: rows per second of late. bar: draws a share in so many columns."""
    return Lines(_first(name, state, elapsed, rate), _second(state, rate), _third(state), state, bar)


class Lines(NamedTuple):
    """The pieces of the three lines, and what they are drawn from."""

    first: Sequence[Piece]
    second: Sequence[Piece]
    third: Sequence[Piece]
    state: RunState
    bar: Callable[[float, int], str]

    def fitted(self, width: int) -> list[str]:
        """Returns the lines, each in at most `width` columns."""
        share = self.state.ended / self.state.total if self.state.total else 0.0
        beside = fitted(self.first, width - SHORTEST_BAR - 2, "  ")
        columns = min(LONGEST_BAR, width - cells(beside) - 2)
        head = f"{self.bar(share, columns)}  {beside}" if columns >= SHORTEST_BAR else beside
        lines = [head, fitted(self.second, width - 2, " · "), fitted(self.third, width - 2, " · ")]
        return [line for line in lines if line]


def fitted(pieces: Sequence[Piece], width: int, between: str) -> str:
    """Returns the pieces in their order, joined, without the least important pieces that do not fit."""
    kept = list(pieces)
    while kept:
        text = between.join(piece.text for piece in kept)
        if cells(text) <= width:
            return text
        least = min(piece.rank for piece in kept)
        kept.remove(next(piece for piece in reversed(kept) if piece.rank == least))
    return ""


def cells(text: str) -> int:
    """Returns the columns that a text takes on a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def _first(name: str, state: RunState, elapsed: float, rate: float) -> list[Piece]:
    remaining = state.total - state.ended
    short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
    pieces = [Piece(5, f"{state.ended / state.total:.0%}")] if state.total else []
    pieces += [Piece(3, f"{state.ended:,}/{state.total:,}"), Piece(4, span(elapsed))]
    if rate > 0 and remaining > 0:
        pieces.append(Piece(6, f"< {span(remaining / rate)} left"))
    return [Piece(2, one_line(short)), *pieces]


def _second(state: RunState, rate: float) -> list[Piece]:
    gauges = state.gauges
    pieces = [Piece(6, f"{rate:.1f} rows/s"), Piece(5, f"{gauges.in_flight:,} in flight")]
    if gauges.rate is not None:
        pieces.append(Piece(4, f"limit {gauges.rate:,.0f}/min"))
    if state.currency is not None or state.max_cost is not None:
        of = "" if state.max_cost is None else f" of {state.max_cost:g}"
        pieces.append(Piece(3, f"{money(state.cost or 0.0, None)}{of} {state.currency or ''}".rstrip()))
    if tokens := (state.input_tokens or 0) + (state.output_tokens or 0):
        pieces.append(Piece(2, f"{tokens:,} tokens"))
    return pieces


def _third(state: RunState) -> list[Piece]:
    pieces = []
    if (paused := state.gauges.paused) > SAID_SECONDS:
        pieces.append(Piece(9, f"paused until {time.strftime('%H:%M:%S', time.localtime(time.time() + paused))}"))
    if state.failed:
        reasons = sorted(state.reasons.items(), key=lambda item: -item[1])
        pieces.append(Piece(8, f"{count(state.failed, 'failure')}"))
        named = enumerate(reasons[:MOST_REASONS])
        pieces += [Piece(7 - place, f"{rows:,} {one_line(code)}") for place, (code, rows) in named]
    if state.throttled:
        pieces.append(Piece(2, f"{state.throttled:,} throttled"))
    if state.gauges.waiting:
        pieces.append(Piece(1, f"{state.gauges.waiting:,} wait to be sent again"))
    return pieces
