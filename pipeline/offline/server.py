"""The embedded service as an ASGI app and on a socket. The server reports its port and can break connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import JobError
from pipeline.offline import require
from pipeline.offline.fault_script import App, Receive, Scope, Send
from pipeline.offline.service_options import ServiceOptions

HEAD_SECONDS = 20.0
"""Seconds that a connection may take for the head of a request, or stay idle."""


class _Protocol(H11Protocol):
    """Gives the app its connection, so that a scripted fault can break the connection as a real network does.

    Closes a connection that sends no head of a request within HEAD_SECONDS.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head(transport)

        def arrived() -> None:
            self._head_timer.cancel()

        self.app: Any = _with_connection(_for_this_machine(self.app), transport, arrived)

    def _wait_for_head(self, transport: asyncio.Transport) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._wait_for_head(self.transport)


def _for_this_machine(app: App) -> App:
    """Answers 403 to a request with a foreign Host (DNS rebinding) or a foreign Origin.

    A web page on another site can make a browser send such requests.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        host, origin = headers.get("host", ""), headers.get("origin")
        if _is_here(f"http://{host}") and (origin is None or _is_here(origin)):
            await app(scope, receive, send)
            return
        body = b'{"error": {"message": "only 127.0.0.1 and localhost are served", "code": "Forbidden"}}'
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return wrapped


def _is_here(address: str) -> bool:
    try:
        return urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def _with_connection(app: App, transport: asyncio.Transport, arrived: Callable[[], None]) -> App:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        arrived()
        extensions = scope.setdefault("extensions", {})
        extensions["connection"] = {"close": transport.close, "abort": transport.abort}
        await app(scope, receive, send)

    return wrapped


class Server(uvicorn.Server):
    """uvicorn's server. It calls `on_ready` with its port when it listens. `should_exit = True` stops it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[int], None] | None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until `should_exit` is set. Blocking. Raises JobError if it cannot listen on the port."""
        super().run(sockets or [self._bound()])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready(int(self.servers[0].sockets[0].getsockname()[1]))

    def _bound(self) -> socket.socket:
        try:
            return socket.create_server((self.config.host, self.config.port), backlog=2048)
        except OSError as error:
            where = f"{self.config.host}:{self.config.port}"
            raise JobError(f"cannot listen on {where}: {error.strerror}; choose another port") from error

    @classmethod
    def over(cls, app: App, host: str, port: int, on_ready: Callable[[int], None] | None) -> Server:
        """Returns a server that does not run yet. `run()` starts the server and blocks."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=_Protocol,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
        return cls(config, on_ready)


def create_app(options: ServiceOptions | None = None) -> App:
    """Returns the app at once; each model loads on first use. The app runs on asyncio and trio. Raises MissingExtra."""
    require()
    from pipeline.offline.routes import build

    return build(options or ServiceOptions())


def make_server(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[int], None] | None = None,
) -> Server:
    """Returns a server that does not run yet. `run()` blocks until `should_exit` is set.

    Port 0 takes a free port. `on_ready` is called with the port. Raises MissingExtra.
    """
    require()

    return Server.over(create_app(options), host, port, on_ready)


def serve(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until interrupted. Blocking. Raises MissingExtra, and JobError if it cannot listen on the port."""
    make_server(options, host=host, port=port, on_ready=on_ready).run()
