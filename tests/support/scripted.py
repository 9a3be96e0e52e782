"""A wire that answers by a script, on whatever clock runs: for tests of the pool without sockets."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.errors import Fault
from pipeline.types import HttpRequest, Reply, Usage

UNKNOWN = Usage()


@dataclass
class Answer:
    """After `latency` seconds: this status, or this fault, or (status None, fault None) a hang."""

    status: int = 200
    latency: float = 0.2
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None
    complete: bool = True


@dataclass
class Sent:
    at: float
    row: int
    status: int


class ScriptedWire:
    """Transport whose `script(row, now)` says how each request is answered; keeps a log of what was sent."""

    def __init__(self, script: Callable[[int, float], Answer]) -> None:
        self._script = script
        self.sent: list[Sent] = []
        self.in_flight = 0
        self.most_in_flight = 0

    @asynccontextmanager
    async def exchange(self, request: HttpRequest, timeouts: Any) -> AsyncIterator[Any]:
        row = int(request.url.rsplit("/", 1)[1])
        now = anyio.current_time()
        answer = self._script(row, now)
        self.sent.append(Sent(now, row, answer.status))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await anyio.sleep(answer.latency)
            if answer.fault is not None:
                raise answer.fault
            yield _Exchange(answer)
        finally:
            self.in_flight -= 1

    def starts(self) -> list[float]:
        return [sent.at for sent in self.sent]

    def of_row(self, row: int) -> list[Sent]:
        return [sent for sent in self.sent if sent.row == row]


class _Exchange:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = dict(answer.headers)
        self.complete = answer.complete
        self.answer = answer

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"%d" % self.status


KINDS: dict[int, tuple[Any, Any]] = {
    400: ("rejected", "no"),
    401: ("account", "no"),
    403: ("blocked", "no"),
    410: ("rejected", "upload"),
    424: ("rejected", "once"),
    429: ("throttled", "yes"),
    599: ("malformed", "yes"),
}


class StatusReader:
    """A provider's reader in miniature: the status alone decides."""

    def __init__(self, status: int, headers: Mapping[str, str], usage: Usage = UNKNOWN) -> None:
        self.status = status
        self.usage = usage

    def feed(self, chunk: bytes) -> None:
        pass

    def end(self, *, complete: bool = True) -> Reply:
        if self.status == 200 and complete:
            return Reply(text="ok", usage=self.usage)
        kind, retry = KINDS.get(self.status, ("transient", "yes"))
        raise Fault(kind, f"E{self.status}", "scripted", http_status=self.status, retry=retry)


def prepared(row: int, *, body: bytes = b"", usage: Usage = UNKNOWN, **more: Any) -> PreparedRequest:
    """What `ask` gives for a row of the scripted wire."""
    return PreparedRequest(
        request=HttpRequest(method="POST", url=f"http://scripted.test/{row}", body=body),
        reader=lambda status, headers: StatusReader(status, headers, usage),
        **more,
    )


REFUSED = Fault("transient", "Local.ConnectFailed", "127.0.0.1:9: connection refused", retry="yes")
DROPPED = Fault("transient", "Local.Disconnected", "the server hung up before answering", retry="yes")


def outage(first: float, last: float) -> Callable[[int, float], Answer]:
    """Answers in half a second; refuses connections from `first` to `last` seconds after the first request."""
    began: list[float] = []

    def script(row: int, now: float) -> Answer:
        began.append(now)
        down = first <= now - began[0] < last
        return Answer(fault=REFUSED, status=0, latency=0.0) if down else Answer(latency=0.5)

    return script


class SlidingQuota:
    """A service that takes `count` requests in any `seconds`, and refuses the rest without counting them."""

    def __init__(self, count: int, seconds: float = 1.0) -> None:
        self.count = count
        self.seconds = seconds
        self.taken = 0
        self.refused = 0
        self._times: deque[float] = deque()

    def admits(self, now: float) -> bool:
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        if len(self._times) >= self.count:
            self.refused += 1
            return False
        self._times.append(now)
        self.taken += 1
        return True


def most_in_window(times: list[float], seconds: float) -> int:
    """The largest number of times within any window of `seconds` (half open)."""
    most = first = 0
    for last, time in enumerate(times):
        while times[first] <= time - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
