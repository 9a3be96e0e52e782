"""A loopback server of the OpenAI-compatible protocol that counts: which row was asked when, and what it was told.

The row's id stands in the prompt as `[id]`; the answer follows from the request, so a test knows what must be stored.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_ID = re.compile(r"\[([^\]]+)\]")


@dataclass
class Asked:
    """One request. `answered`: the whole response was handed to the kernel; `status` None: none was given.

    history: role and text of the turns before the question.
    """

    id: str
    model: str
    prompt: str
    pictures: tuple[str, ...] = ()
    history: tuple[tuple[str, str], ...] = ()
    status: int | None = None
    answered: bool = False


@dataclass(frozen=True)
class Told:
    """A scripted response; `text` None: what follows from the request. `seconds` before it, None: never."""

    status: int = 200
    text: str | None = None
    finish: str = "stop"
    code: str = ""
    seconds: float | None = 0.0
    raw: bytes | None = None
    headers: str = ""


PLAIN = Told()


def answer_to(model: str, prompt: str) -> str:
    """The text that this server gives for a question."""
    return f"{model} says of {prompt}"


@dataclass
class CountingServer:
    """`script(asked, n)` chooses the response to the n-th request (from 1) for that id. Use as a context manager."""

    script: Callable[[Asked, int], Told] = lambda asked, n: PLAIN
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._changed = threading.Condition()
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> CountingServer:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def forget(self) -> None:
        """A new page: nothing was asked yet."""
        with self._changed:
            self.asked.clear()
            self._counts.clear()

    def wait_asked(self, count: int, seconds: float) -> bool:
        """Until `count` requests have come in all; False when the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.asked) >= count, seconds)

    def wait_idle(self, seconds: float = 10.0) -> None:
        """Until every connection is closed: nothing of a dead client is still on its way here."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._open == 0, seconds), "connections of a dead client stay open"

    def times_asked(self) -> Counter[str]:
        return Counter(asked.id for asked in self.asked)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._count_open(1)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)
            self._count_open(-1)

    def _count_open(self, by: int) -> None:
        with self._changed:
            self._open += by
            self._changed.notify_all()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"(?im)^content-length:\s*(\d+)", head)
        body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
        asked, told = self._take(body)
        if told.seconds is None:
            await reader.read()
            return False
        if told.seconds:
            await self._pause(reader, told.seconds)
        asked.status = told.status
        content = told.raw if told.raw is not None else json.dumps(_body(asked, told)).encode()
        writer.write(
            f"HTTP/1.1 {told.status} X\r\nContent-Type: application/json\r\n"
            f"{told.headers}Content-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        await writer.drain()
        asked.answered = True
        return True

    async def _pause(self, reader: asyncio.StreamReader, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if reader.at_eof():
            raise ConnectionResetError

    def _take(self, body: dict[str, Any]) -> tuple[Asked, Told]:
        prompt, pictures = _prompt(body["messages"][-1]["content"])
        found = _ID.search(prompt)
        history = tuple((turn["role"], _prompt(turn["content"])[0]) for turn in body["messages"][:-1])
        asked = Asked(found[1] if found else "", body["model"], prompt, pictures, history)
        with self._changed:
            self._counts[asked.id] += 1
            told = self.script(asked, self._counts[asked.id])
            self.asked.append(asked)
            self._changed.notify_all()
        return asked, told


def _prompt(content: Any) -> tuple[str, tuple[str, ...]]:
    if isinstance(content, str):
        return content, ()
    texts = [part["text"] for part in content if part["type"] == "text"]
    return "".join(texts), tuple(part["image_url"]["url"] for part in content if part["type"] == "image_url")


def _body(asked: Asked, told: Told) -> dict[str, Any]:
    if told.status != 200:
        return {"error": {"message": f"scripted {told.status}", "code": told.code or None, "type": told.code or "x"}}
    text = answer_to(asked.model, asked.prompt) if told.text is None else told.text
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chat-{asked.id}",
        "object": "chat.completion",
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": told.finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
