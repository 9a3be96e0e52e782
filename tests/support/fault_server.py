"""A loopback HTTP server on raw streams that misbehaves by a script."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

GOOD = b'{"text":"ok"}'


@dataclass(frozen=True)
class Act:
    """What happens to one request, after `latency` seconds.

    drop: hang up before the head. cut: hang up in the middle of the body. garbage: bytes that are not HTTP.
    hang: never answer. drip: the body a byte at a time, `gap` seconds apart. wrong_length: announce more than comes.
    endless: a body that never ends. deaf: the request's body is not read. closed: no length is announced, the body ends
    with the connection. open: likewise, but the connection never ends. ticking: likewise, with a comment and a ping
    each `gap`.
    """

    kind: Literal[
        "answer",
        "drop",
        "cut",
        "garbage",
        "hang",
        "drip",
        "wrong_length",
        "endless",
        "deaf",
        "closed",
        "open",
        "ticking",
    ] = "answer"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = GOOD
    latency: float = 0.0
    gap: float = 0.05


@dataclass(frozen=True)
class Asked:
    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FaultServer:
    """`script(asked)` decides each request; `asked` keeps them all. `url` ends without a slash.

    answer: decides instead of `script` once the request's body has been read.
    """

    def __init__(self, script: Callable[[Asked], Act]) -> None:
        self.script = script
        self.answer: Callable[[Asked], Act] | None = None
        self.asked: list[Asked] = []
        self.connections = 0
        self.in_flight = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        asked = Asked(asyncio.get_running_loop().time(), method, path, headers, b"")
        act = self.script(asked)
        if act.kind == "deaf":
            await asyncio.sleep(3600)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append(Asked(asked.at, method, path, headers, body))
        if self.answer is not None:
            act = self.answer(self.asked[-1])
        self.in_flight += 1
        try:
            await asyncio.sleep(act.latency)
            return await self._act(act, writer)
        finally:
            self.in_flight -= 1

    async def _act(self, act: Act, writer: asyncio.StreamWriter) -> bool:
        if act.kind == "hang":
            await asyncio.sleep(3600)
        if act.kind == "garbage":
            writer.write(b"\x16\x03\x01 this is not the protocol you expect\r\n\r\n")
        if act.kind in ("hang", "drop", "garbage"):
            await writer.drain()
            return False
        body = act.body
        length = len(body) + (10 if act.kind == "wrong_length" else 0)
        lines = [f"HTTP/1.1 {act.status} Scripted"]
        if act.kind not in ("closed", "open", "ticking"):
            lines.append(f"content-length: {length if act.kind != 'endless' else 1 << 40}")
        lines += [f"{name}: {value}" for name, value in act.headers]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if act.kind == "drip":
            for index in range(len(body)):
                writer.write(body[index : index + 1])
                await writer.drain()
                await asyncio.sleep(act.gap)
            return True
        while act.kind == "endless":
            writer.write(b"x" * 65536)
            await writer.drain()
        writer.write(body[: len(body) // 2] if act.kind == "cut" else body)
        await writer.drain()
        if act.kind == "open":
            await asyncio.sleep(3600)
        while act.kind == "ticking":
            await asyncio.sleep(act.gap)
            writer.write(b": still here\n\nevent: ping\ndata: {}\n\n")
            await writer.drain()
        return act.kind == "answer"


@contextlib.asynccontextmanager
async def serving(script: Callable[[Asked], Act]) -> AsyncIterator[FaultServer]:
    """The server on a free port of 127.0.0.1, for as long as the block lasts."""
    server = FaultServer(script)
    listener = await asyncio.start_server(server._serve, "127.0.0.1", 0, backlog=2048)
    port = listener.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listener.close()
        for task in list(server._tasks):
            task.cancel()
        await asyncio.gather(*server._tasks, return_exceptions=True)


def shares(rng: random.Random, table: Mapping[Act, float], usual: Act) -> Callable[[Asked], Act]:
    """A script that draws each act with its share, the usual one otherwise."""

    def script(asked: Asked) -> Act:
        draw = rng.random()
        for act, share in table.items():
            if draw < share:
                return act
            draw -= share
        return usual

    return script
