"""What an account sent of late, in the order of sending: how it was answered, and what it came to in a second and a
minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

SECOND, MINUTE = 1.0, 60.0
"""How services count."""
CELLS_A_SECOND = 10
"""How finely the minute is kept: constant memory at any rate."""


class Sent:
    """The requests that started at one moment. `told`: their loads are known, and what they taught is learnt. `busy`:
    refused because the service is busy, not for a quota."""

    __slots__ = ("at", "busy", "chance", "counted", "refused", "sent", "slots", "taken", "told", "total", "unsure")

    def __init__(self, at: float) -> None:
        self.at = at
        self.sent = self.taken = self.refused = self.slots = 0
        self.told = self.busy = False
        self.chance = self.unsure = 0.0
        self.counted = self.total = 1.0


class Sends:
    """Requests in the order of sending. `unsettled`: those whose fate counts as unknown yet.

    A request is told once its answer is there and those of all before it, or once its refusal would be back: quick
    refusals beside slow answers must not count for more than they are.
    """

    def __init__(self) -> None:
        self.unsettled: deque[Sent] = deque()
        self.in_flight = 0
        self._by_time: dict[float, Sent] = {}
        self._second: deque[Sent] = deque()
        self._before: float | None = None
        self._sent = 0
        self._counted = self.unsure = 0.0
        self._cells: deque[list[float]] = deque()
        self.in_minute = 0.0

    def began(self, now: float) -> None:
        """A request starts."""
        self.in_flight += 1
        sent = self._by_time.get(now)
        if sent is None or sent.told:
            sent = self._by_time[now] = Sent(now)
            self.unsettled.append(sent)
        sent.sent += 1
        sent.slots = self.in_flight

    def ended(self, started: float, *, refused: bool | None) -> Sent | None:
        """A request is over; `refused` is None where it says nothing. Returns the requests of that moment."""
        self.in_flight = max(0, self.in_flight - 1)
        sent = self._by_time.get(started)
        if sent is None:
            return None
        if refused:
            sent.refused += 1
        elif refused is None and not sent.told:
            sent.sent -= 1
        else:
            sent.taken += 1
        if sent.told and sent.taken + sent.refused >= sent.sent:
            del self._by_time[started]
        return sent

    def told(self, until: float) -> Iterator[Sent]:
        """Those that are told now, their loads filled in. Ones without an answer that started by `until` count as
        taken."""
        unsettled = self.unsettled
        while unsettled and (
            unsettled[0].taken + unsettled[0].refused >= unsettled[0].sent or unsettled[0].at <= until
        ):
            sent = unsettled.popleft()
            sent.told = True
            if sent.taken + sent.refused >= sent.sent:
                del self._by_time[sent.at]
            self._load(sent)
            yield sent

    def count(self, sent: Sent, taken: int, chance: float = 0.0) -> None:
        """Counts requests among what the service took: those taken, and refused ones as far as chance refused them."""
        sent.chance, sent.unsure = chance, chance * (1 - chance / max(1, sent.sent - taken))
        self._second.append(sent)
        self._sent += sent.sent
        self._counted += taken + chance
        self.unsure += sent.unsure
        cell = int(sent.at * CELLS_A_SECOND)
        if not self._cells or self._cells[-1][0] != cell:
            self._cells.append([cell, 0.0])
        self._cells[-1][1] += taken
        self.in_minute += taken

    def uncount(self, sent: Sent) -> None:
        """One that was counted as taken was refused after all."""
        if self._second and self._second[0].at <= sent.at:
            self._counted -= 1
        cell = next((cell for cell in reversed(self._cells) if cell[0] == int(sent.at * CELLS_A_SECOND)), None)
        if cell is not None:
            cell[1] -= 1
            self.in_minute -= 1

    def turn(self) -> None:
        """The service's minute has turned: what it counted is forgotten."""
        self._cells.clear()
        self.in_minute = 0.0

    def forget(self, now: float) -> None:
        """Drops what is older than a minute."""
        while self._cells and self._cells[0][0] <= (now - MINUTE) * CELLS_A_SECOND:
            self.in_minute -= self._cells.popleft()[1]

    @property
    def in_second(self) -> float:
        """Requests that the service took in the last second."""
        return self._counted

    def _load(self, sent: Sent) -> None:
        """The requests of the second up to these, one of them included; of what left the second last, a part counts,
        so that even spacing gives the exact rate."""
        second = self._second
        while second and second[0].at <= sent.at - SECOND:
            old = second.popleft()
            self._before = old.at
            self._sent -= old.sent
            self._counted -= old.chance + self._taken(old)
            self.unsure -= old.unsure
        self.forget(sent.at)
        part = 1.0
        if second and self._before is not None:
            part = (second[0].at - sent.at + SECOND) / max(1e-9, second[0].at - self._before)
        sent.counted = max(1e-3, self._counted + part)
        sent.total = self._sent + part

    @staticmethod
    def _taken(sent: Sent) -> int:
        return sent.sent - sent.refused
