"""Says when so many calls fail that the service or the job is broken, never for a few bad rows."""

from __future__ import annotations

import re
from collections import deque
from typing import Generic, TypeVar

from pipeline.errors import Fault
from pipeline.types import Answered, Ending, Failed, Left

T = TypeVar("T")

BROKEN = frozenset({"throttled", "transient", "malformed", "rejected"})
"""Faults that speak of the service or the job. Blocked and suspect answers speak of a picture."""

_PASSING = frozenset({"throttled", "transient", "malformed"})
_ID = re.compile(r"[\w.:/-]*\d[\w.:/-]*")


class Circuit:
    """Opens when, of the last `min_calls` calls that were sent, at least `ratio` failed."""

    def __init__(self, ratio: float, min_calls: int) -> None:
        self._ratio = ratio
        self._calls: deque[bool] = deque(maxlen=max(1, min_calls))
        self._failed = 0

    def ended(self, fault: Fault | None) -> bool:
        """Counts one call that was sent; True when the circuit opens."""
        calls = self._calls
        broken = fault is not None and fault.kind in BROKEN
        if len(calls) == calls.maxlen:
            self._failed -= calls[0]
        calls.append(broken)
        self._failed += broken
        return len(calls) == calls.maxlen and self._failed >= self._ratio * len(calls)

    def message(self, fault: Fault) -> str:
        """For people: the counts and the last fault."""
        return f"{self._failed} of the last {len(self._calls)} calls failed, the last one with {fault}"


class FirstCalls(Generic[T]):
    """The beginning of a run: when its first `most` calls are all refused alike, the job is wrong and not the rows.

    Until it is known, the refusals are held back. A call that ends otherwise shows that the job can work (an answer, a
    blocked or suspect one, a refusal in other words): then they are the failures of their rows. Else they are left, so
    that a run of the mended job sends them again. What passes (throttled, transient, malformed) and rows that were
    refused here, before anything was sent, say nothing of it. `most` = 0: nothing is held back.
    """

    def __init__(self, most: int) -> None:
        self.refusal: Fault | None = None
        self._most = most
        self._count = 0
        self._held: list[tuple[T, Failed]] = []
        self._alike: tuple[str, str] | None = None
        self._watching = most > 0

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def ended(self, item: T, ending: Ending) -> list[tuple[T, Ending]]:
        """One row is over. Returns the rows whose endings are known now; `refusal` is set when the run must stop."""
        if not self._watching or not _is_call(ending):
            return [(item, ending)]
        if isinstance(ending, Failed) and ending.fault.kind == "rejected" and self._is_like(ending.fault):
            self._held.append((item, ending))
            self._count += 1
            if self.refusal is None and self._count >= self._most:
                self.refusal = ending.fault
            return self.rest(left=True) if self.refusal is not None else []
        if self.refusal is not None:
            return [(item, ending)]
        self._watching = False
        return [*self.rest(left=False), (item, ending)]

    def rest(self, *, left: bool) -> list[tuple[T, Ending]]:
        """What is held back: as rows that are left, or as the failures that they are. The count goes on."""
        held, self._held = self._held, []
        return [(item, Left(attempts=ending.attempts) if left else ending) for item, ending in held]

    def message(self) -> str:
        """For people: what was refused, how often, what to check."""
        return (
            f"the first {self._most} calls were all refused alike, with {self.refusal}. Their rows are left, for it is "
            "the job that is refused: check provider.model, provider.base_url, provider.parameters and the prompt, "
            "then run again; circuit.refusals = 0 sends the rows all the same"
        )

    def _is_like(self, fault: Fault) -> bool:
        alike = fault.code, _ID.sub("#", fault.message)
        self._alike = self._alike or alike
        return alike == self._alike


def _is_call(ending: Ending) -> bool:
    """Whether a row's ending says anything of the job: it was sent, and came back with more than a passing fault."""
    if isinstance(ending, Answered):
        return True
    return isinstance(ending, Failed) and bool(ending.attempts) and ending.fault.kind not in _PASSING
