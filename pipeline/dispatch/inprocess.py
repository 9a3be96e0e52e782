"""A transport that calls an ASGI app in this process, with streaming, timeouts and disconnects.

A server on 127.0.0.1 in a thread would be slower. 600 embedded texts took 6.0 s instead of 2.5 s, because two event
loops wait for one interpreter lock. Every offline command began 0.3 s later, because uvicorn and aiohttp are imported.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from pipeline.dispatch.transport import MAX_RESPONSE_BYTES, Timeouts, read_timeout, redirect, too_large
from pipeline.errors import Fault
from pipeline.types import HttpRequest

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_log = logging.getLogger(__name__)


class InProcess:
    """A transport over `app` (ASGI 3, no lifespan), on asyncio or trio."""

    def __init__(self, app: App, *, max_response: int = MAX_RESPONSE_BYTES) -> None:
        self._app = app
        self._max_response = max_response

    @asynccontextmanager
    async def exchange(self, request: HttpRequest, timeouts: Timeouts) -> AsyncIterator[_Exchange]:
        """Does the same as `Transport.exchange`. Leaving the block early disconnects and cancels the app."""
        conversation = _Conversation(request)
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(conversation.serve, self._app)
            try:
                yield await conversation.head(timeouts, self._max_response)
            except Exception as error:
                failure = error  # is raised outside the task group, because the task group would wrap it
            finally:
                conversation.disconnect()
                group.cancel_scope.cancel()
        if failure is not None:
            raise failure


class _Conversation:
    """One request and its response, between the task of the client and the task of the app."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._asked = False
        self._gone = anyio.Event()
        self._started = anyio.Event()
        self._finished = False
        self.status = 0
        self.headers: dict[str, str] = {}
        streams: tuple[MemoryObjectSendStream[bytes], MemoryObjectReceiveStream[bytes]]
        streams = anyio.create_memory_object_stream[bytes](0)
        self._out, self.body = streams

    async def head(self, timeouts: Timeouts, max_response: int) -> _Exchange:
        with anyio.move_on_after(timeouts.read):
            await self._started.wait()
        if not self._started.is_set():
            raise read_timeout(timeouts.read)
        if not self.status:
            raise Fault(
                "transient",
                "Local.Disconnected",
                "the embedded service closed the connection without an answer",
                retry="yes",
            )
        if 300 <= self.status < 400:
            raise redirect(self.status, self.headers.get("location", ""))
        return _Exchange(self, timeouts.read, max_response)

    async def serve(self, app: App) -> None:
        """Runs the app as a server does: an error before the head gives a 500, a later error cuts the body."""
        try:
            await app(_scope(self._request), self._receive, self._send)
        except Exception:
            _log.exception("the embedded service failed")
            if not self.status:
                await self._send({"type": "http.response.start", "status": 500, "headers": []})
                await self._send({"type": "http.response.body", "body": b"Internal Server Error"})
        finally:
            self._started.set()
            self._out.close()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            for name, value in message.get("headers", ()):
                _join(self.headers, name.decode("latin-1").lower(), value.decode("latin-1"))
            self._started.set()
            return
        if message["type"] != "http.response.body" or self._finished:
            return
        body = bytes(message.get("body", b""))
        self._finished = not message.get("more_body", False)
        if body:
            try:
                await self._out.send(body)
            except anyio.BrokenResourceError:
                raise OSError("the client has gone") from None
        if self._finished:
            self._out.close()

    @property
    def complete(self) -> bool:
        """Tells whether the app sent its last piece."""
        return self._finished

    def disconnect(self) -> None:
        self._gone.set()
        self.body.close()


class _Exchange:
    def __init__(self, conversation: _Conversation, silence: float, max_response: int) -> None:
        self.status = conversation.status
        self.headers = conversation.headers
        self.complete = False
        self._conversation = conversation
        self._silence = silence
        self._max_response = max_response

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        body = self._conversation.body
        while True:
            chunk: bytes | None = None
            with anyio.move_on_after(self._silence) as scope:
                try:
                    chunk = await body.receive()
                except anyio.EndOfStream:
                    break
            if chunk is None:
                assert scope.cancelled_caught
                raise read_timeout(self._silence)
            size += len(chunk)
            if size > self._max_response:
                raise too_large(self._max_response)
            yield chunk
        announced = self.headers.get("content-length")
        self.complete = self._conversation.complete and (announced is None or size == int(announced))


def _scope(request: HttpRequest) -> Message:
    parts = urlsplit(request.url)
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    headers.append((b"host", parts.netloc.encode("latin-1")))
    if request.body:
        headers.append((b"content-length", str(len(request.body)).encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode("ascii"),
        "query_string": parts.query.encode("ascii"),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": (parts.hostname or "localhost", parts.port or 80),
    }


def _join(headers: dict[str, str], name: str, value: str) -> None:
    headers[name] = f"{headers[name]}, {value}" if name in headers else value
