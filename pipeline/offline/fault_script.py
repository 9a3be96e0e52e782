"""Scripted faults: the script and the seed decide which request gets a fault, and the middleware produces the fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import blake2b
from typing import Any

import anyio

from pipeline.offline.service_options import ServiceOptions

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_DRIP_BYTES, _DRIP_PIECES, _DRIP_SECONDS = 64, 40, 0.25
_HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1></body>\r\n</html>\r\n"


class FaultScript:
    """Hands out faults in the order in which requests arrive: first the script, then by share.

    The same seed gives the same faults.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self._options = options
        self._count = 0

    def next(self) -> str:
        """Returns a kind of `service_options.FAULTS` for the next request; `ok` means no fault."""
        number, self._count = self._count, self._count + 1
        if number < len(self._options.script):
            return self._options.script[number]
        digest = blake2b(f"{self._options.seed}:{number}".encode(), digest_size=8).digest()
        draw = int.from_bytes(digest, "big") / 2**64
        for kind, share in self._options.fail:
            if draw < share:
                return kind
            draw -= share
        return "ok"


class Scripted:
    """ASGI middleware that puts the faults of the script into the model calls of an app. Every other request passes.

    If the server offers `scope["extensions"]["connection"]` (`close`, `abort`), faults of the connection use these
    functions. Otherwise the app returns without finishing its answer: an in-process transport takes that for a broken
    connection.
    """

    def __init__(self, app: App, script: FaultScript) -> None:
        self._app = app
        self._plan = script

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].startswith("/oss"):
            await self._app(scope, receive, send)
            return
        kind = self._plan.next()
        scope.setdefault("state", {})["fault"] = kind
        if kind in ("drop", "hang"):
            await _take_body(receive)
            if kind == "hang":
                await _gone(receive)
                return
            await _break(scope, receive, "abort")
        elif kind in _BODIES:
            await _take_body(receive)
            await _answer(send, *_BODIES[kind])
        elif kind == "cut":
            await self._app(scope, receive, _cutting(send))
            await _break(scope, receive, "close")
        else:
            await self._app(scope, receive, _dripping(send) if kind == "slow" else send)


_BODIES: dict[str, tuple[int, str, bytes]] = {
    "html": (502, "text/html", _HTML),
    "garbage": (200, "application/json", b'{"output": {"choices": [{"mess\xff\x00'),
    "empty": (200, "application/json", b""),
}


async def _answer(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _take_body(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        continue


async def _gone(receive: Receive) -> None:
    """Waits until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _break(scope: Scope, receive: Receive, how: str) -> None:
    connection = (scope.get("extensions") or {}).get("connection")
    if connection is not None:
        connection[how]()
        await _gone(receive)


def _cutting(send: Send) -> Send:
    """Returns a `send` that passes half of the body, or the first two pieces of a stream, and drops the rest."""
    pieces = 0

    async def cut(message: Message) -> None:
        nonlocal pieces
        if message["type"] != "http.response.body":
            await send(message)
            return
        body, pieces = message.get("body", b""), pieces + 1
        if pieces > 2 or not body:
            return
        part = body if message.get("more_body") else body[: len(body) // 2]
        await send({"type": "http.response.body", "body": part, "more_body": True})

    return cut


def _dripping(send: Send) -> Send:
    async def drip(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= _DRIP_BYTES:
            await send(message)
            return
        step = max(_DRIP_BYTES, len(body) // _DRIP_PIECES)
        for start in range(0, len(body), step):
            more = bool(message.get("more_body")) or start + step < len(body)
            await send({"type": "http.response.body", "body": body[start : start + step], "more_body": more})
            await anyio.sleep(_DRIP_SECONDS)

    return drip
