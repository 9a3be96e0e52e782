"""The requests that an account sent lately, in the order of sending: how they were answered, and how many requests the
service took in a second and in a minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

SECOND, MINUTE = 1.0, 60.0
"""The windows by which services count, in seconds."""
CELLS_A_SECOND = 10
"""Cells for each second of the minute. With cells, the memory is constant at any rate."""


class Sent:
    """The requests that started at one moment. `told`: the loads of the requests are known, and were handed on to be
    learnt. `busy`: the service refused because it is busy, not for a quota."""

    __slots__ = ("at", "busy", "chance", "counted", "refused", "sent", "slots", "taken", "told", "total", "unsure")

    def __init__(self, at: float) -> None:
        self.at = at
        self.sent = self.taken = self.refused = self.slots = 0
        self.told = self.busy = False
        self.chance = self.unsure = 0.0
        self.counted = self.total = 1.0


class Sends:
    """Requests in the order of sending. `unsettled`: the requests whose result counts as not known yet.

    A request is told when its result and the results of all requests before it are known, or when its refusal would
    have come back. Otherwise quick refusals beside slow answers would count for too much.
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
        """Counts a request that starts at `now`."""
        self.in_flight += 1
        sent = self._by_time.get(now)
        if sent is None or sent.told:
            sent = self._by_time[now] = Sent(now)
            self.unsettled.append(sent)
        sent.sent += 1
        sent.slots = self.in_flight

    def ended(self, started: float, *, refused: bool | None) -> Sent | None:
        """Counts a request that ended. refused: None if the request says nothing about a limit. Returns the requests
        that started at the same moment, None if they are not kept any more."""
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
        """Yields the requests that are told now, with their loads filled in. Requests that started by `until` and have
        no answer count as taken."""
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
        """Counts the requests that the service took: `taken` requests, and the part of the refused requests that chance
        refused. chance: the expected number of requests in that part."""
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
        """Takes back a request that was counted as taken and was refused after all."""
        if self._second and self._second[0].at <= sent.at:
            self._counted -= 1
        cell = next((cell for cell in reversed(self._cells) if cell[0] == int(sent.at * CELLS_A_SECOND)), None)
        if cell is not None:
            cell[1] -= 1
            self.in_minute -= 1

    def turn(self) -> None:
        """Forgets the requests of the minute, because the service's own minute has begun anew."""
        self._cells.clear()
        self.in_minute = 0.0

    def forget(self, now: float) -> None:
        """Drops the requests that are older than a minute."""
        while self._cells and self._cells[0][0] <= (now - MINUTE) * CELLS_A_SECOND:
            self.in_minute -= self._cells.popleft()[1]

    @property
    def in_second(self) -> float:
        """Returns how many requests the service took in the last second."""
        return self._counted

    def _load(self, sent: Sent) -> None:
        """Fills in the loads of `sent`: the requests in the second before `sent`, and one request of `sent`. If
        requests have left the second, only a part of one request is added, so that evenly spaced requests give the
        exact rate."""
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
