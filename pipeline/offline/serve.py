"""The embedded service on a socket of this machine: uvicorn on 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.offline.app import create_app
from pipeline.offline.faults import App, Receive, Scope, Send
from pipeline.offline.options import ServiceOptions


class _Protocol(H11Protocol):
    """Hands the app its connection, so that a scripted fault can break it as a real network does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app: Any = _with_connection(self.app, transport)


def _with_connection(app: App, transport: asyncio.Transport) -> App:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.setdefault("extensions", {})
        extensions["connection"] = {"close": transport.close, "abort": transport.abort}
        await app(scope, receive, send)

    return wrapped


class Server(uvicorn.Server):
    """uvicorn's server that says, once it listens, on which port. `should_exit = True` stops it."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[int], None] | None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready(int(self.servers[0].sockets[0].getsockname()[1]))


def make_server(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[int], None] | None = None,
) -> Server:
    """A server not yet running; `run()` blocks. Port 0 takes a free one, told to `on_ready`."""
    config = uvicorn.Config(
        create_app(options),
        host=host,
        port=port,
        http=_Protocol,
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    return Server(config, on_ready)


def serve(
    options: ServiceOptions | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Serves until interrupted. Blocking."""
    make_server(options, host=host, port=port, on_ready=on_ready).run()
